"""The spectrum over multiples of the shaft's rotation: 1x imbalance, 2x misalignment, 0.5x looseness, and on.

Constraints
- Samples are taken again at equal angles of the shaft, by cubic interpolation, over a whole, even number of turns; so
  every order and half order falls on a bin, whatever the speed.
- There are at least as many samples per turn as before, so nothing is folded down. The interpolation's own error is
  below 0.4 % of an amplitude up to a tenth of the sampling rate; higher orders are refused.
- Speed within a window may vary if it is known at every sample (`at_equal_angles`); a tag gives one for the window.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.family_base.family import Example, FeatureFamily, Formula
from edge_agent.dsp.family_base.parameters import Parameters
from edge_agent.dsp.family_base.windows import Row, Window, check_sampling, columns_of
from edge_agent.dsp.kernels.hann_spectrum import Spectrum, amplitude_spectrum, hann
from edge_agent.dsp.kernels.shaft_speed import WindowsAtSpeed, fixed_speed_hz
from edge_agent.errors import SignalError

NAME: Final = "orders"
MAX_ORDER: Final = 10
MIN_TURNS: Final = 4
"""Turns of the shaft a window must hold: then the half order is two bins from the mean, outside the taper's lobe."""

MAX_SHARE_OF_RATE: Final = 0.1
"""Up to which share of the sampling rate cubic interpolation is true to 0.4 %."""

_ORDERS: Final = (0.5, *(float(order) for order in range(1, MAX_ORDER + 1)))
_SOURCE: Final = "Randall, Vibration-based Condition Monitoring (2011), order tracking by digital resampling"


def _name(order: float) -> str:
    return f"order_{order:g}".replace(".", "_")


FORMULAS: Final = tuple(
    Formula(
        NAME,
        _name(order),
        1,
        "signal",
        f"peak amplitude of the highest bin within +-tolerance of {order:g} x shaft speed; cubic interpolation to"
        " equal angles, whole even number of turns, mean removed, periodic Hann taper",
        _SOURCE,
        rtol=1e-6,
    )
    for order in _ORDERS
)


_PARAMETERS: Final = ("shaft_hz", "tolerance")


class OrderExtractor(WindowsAtSpeed):
    """`order_0_5` and `order_1` to `order_10`: parameters shaft_hz, unless speeds come with the windows, and
    tolerance (0.01 of the order: how wrong the speed may be).

    Raises
    ------
    SignalError
        If a fixed speed gives fewer than four turns in a window, or puts an order above a tenth of the sampling rate.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        parameters = Parameters(NAME, spec.parameters, known=_PARAMETERS)
        check_sampling(NAME, window_samples=spec.window_samples, sample_rate_hz=spec.sample_rate_hz)
        super().__init__(spec, shaft_hz=fixed_speed_hz(parameters))
        self._orders = [_ORDERS[column] for column in columns_of(spec.features, FORMULAS)]
        self._rate_hz = spec.sample_rate_hz
        self._tolerance = parameters.number("tolerance", 0.01)
        if not 0 <= self._tolerance < 0.2:
            raise SignalError(
                f"{NAME}: tolerance is a share of the order, from 0 to below 0.2, not {self._tolerance:g}"
            )
        if self._shaft_hz is not None and (problem := self._problem(self._shaft_hz)) is not None:
            raise SignalError(f"orders of {self._shaft_hz:g} Hz cannot be had: {problem}")

    def _problem(self, shaft_hz: float) -> str | None:
        turns = self._window_samples / self._rate_hz * shaft_hz
        if turns < MIN_TURNS * (1.0 - 1e-9):
            return (
                f"a window of {self._window_samples / self._rate_hz:g} s holds {turns:.3g} turns, and {MIN_TURNS}"
                f" are needed: use windows of at least {MIN_TURNS / shaft_hz:.3g} s"
            )
        highest_hz = max(self._orders) * shaft_hz
        if highest_hz > MAX_SHARE_OF_RATE * self._rate_hz * (1.0 + 1e-9):
            return (
                f"order {max(self._orders):g} is at {highest_hz:g} Hz, above a tenth of {self._rate_hz:g} Hz:"
                " sample faster or ask for lower orders"
            )
        return None

    def _window_features(self, window: Window, shaft_hz: float) -> Row:
        """A speed that gives too few turns or too high orders gives none."""
        if not np.isfinite(shaft_hz) or self._problem(shaft_hz) is not None:
            return np.full(len(self._orders), np.nan)
        amplitudes, n_turns = order_spectrum(window, sample_rate_hz=self._rate_hz, shaft_hz=shaft_hz)
        return np.array([self._highest(amplitudes, order, n_turns) for order in self._orders])

    def _highest(self, amplitudes: Spectrum, order: float, n_turns: int) -> float:
        centre, reach = round(order * n_turns), math.floor(self._tolerance * order * n_turns)
        return float(amplitudes[centre - reach : centre + reach + 1].max())


def order_spectrum(
    samples: NDArray[np.floating], *, sample_rate_hz: float, shaft_hz: float | NDArray[np.floating]
) -> tuple[Spectrum, int]:
    """Return peak amplitudes over order, shape (n,) -> (n_bins,), and the number of turns: bin k is order k / n_turns.

    Raises SignalError as `at_equal_angles` does.
    """
    turned, n_turns = at_equal_angles(samples, sample_rate_hz=sample_rate_hz, shaft_hz=shaft_hz)
    return amplitude_spectrum(turned, hann(len(turned))), n_turns


def at_equal_angles(
    samples: NDArray[np.floating], *, sample_rate_hz: float, shaft_hz: float | NDArray[np.floating]
) -> tuple[Window, int]:
    """Return samples at equal angles of the shaft, beginning with the first sample, over an even number of whole turns.

    Parameters
    ----------
    samples : floating ndarray [shape=(n,)]
    shaft_hz : float or floating ndarray [shape=(n,)]
        The shaft's speed, or its speed at each sample.

    Returns
    -------
    turned : float64 ndarray [shape=(n_turns * 2^k,)]
        At least as many samples per turn as the slowest turn had.
    n_turns : int

    Raises
    ------
    SignalError
        If the shaft stands still or turns backwards, speeds are of another shape, or there are fewer than two turns.
    """
    x = samples.astype(np.float64)
    speeds = _checked(np.asarray(shaft_hz, dtype=np.float64), len(x))
    turns_at = _turns(speeds, len(x), sample_rate_hz)
    n_turns = 2 * math.floor(turns_at[-1] * (1.0 + 1e-12) / 2)
    if n_turns < 2:
        raise SignalError(f"{turns_at[-1]:.3g} turns are too few for orders: two are needed")
    per_turn = 2 ** math.ceil(math.log2(sample_rate_hz / float(np.min(speeds)) * (1.0 - 1e-12)))
    wanted = np.arange(n_turns * per_turn) / per_turn
    # Where each wanted angle lies among the samples, as a fractional index.
    if speeds.ndim:
        place = np.interp(wanted, turns_at, np.arange(len(turns_at), dtype=np.float64))
    else:
        place = wanted * (sample_rate_hz / speeds)
    return _cubic(x, place), n_turns


def _checked(speeds: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    if speeds.shape not in ((), (n,)):
        raise SignalError(f"speeds of shape {speeds.shape} came with {n} samples")
    if not (np.isfinite(speeds).all() and (speeds > 0).all()):
        raise SignalError("the shaft's speed must be above 0 Hz throughout")
    return speeds


def _turns(speeds: NDArray[np.float64], n: int, sample_rate_hz: float) -> NDArray[np.float64]:
    """Turns since the first sample: at the end of the last, shape (1,), for one speed; else at each, shape (n + 1,)."""
    if speeds.ndim == 0:
        return np.array([n / sample_rate_hz * float(speeds)])
    following = np.append(speeds[1:], speeds[-1])
    steps = (speeds + following) / (2.0 * sample_rate_hz)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _cubic(x: Window, place: NDArray[np.float64]) -> Window:
    """Values at fractional indices by the cubic through the four nearest samples (Lagrange); at the ends, one-sided."""
    first = np.clip(place.astype(np.intp) - 1, 0, len(x) - 4)
    t = place - first
    t -= 1.0  # 0 to 1 between the second and the third of the four
    before, after = t + 1.0, t - 1.0
    outer, inner = t * after / 6.0, before * (t - 2.0) / 2.0
    return np.asarray(
        outer * (before * x[first + 3] - (t - 2.0) * x[first]) + inner * (after * x[first + 1] - t * x[first + 2])
    )


FAMILY: Final = FeatureFamily(
    name=NAME,
    title="Order spectrum",
    about="Amplitudes at multiples of the shaft's speed, resampled to equal angles, as many per turn as the next power"
    " of two; parameters `shaft_hz`, or a speed per window from a tag, and `tolerance` (0.01). Windows of one second.",
    build=OrderExtractor,
    formulas=FORMULAS,
    parameters=_PARAMETERS,
    default_features=("order_0_5", "order_1", "order_2", "order_3"),
    speed_features=frozenset(formula.name for formula in FORMULAS),
    example=Example(20_480, {"shaft_hz": 2000 / 60}),
)
