"""A sensor that is dead, driven beyond its range, or hears the mains: a fault of the measurement, not of the machine.

Constraints
- One channel of samples in, one fault or none out. Pure; recordings and live samples are judged by the same formulas.
- Every threshold stands far from what healthy and damaged machines do: bearings to their end, fans, pumps and valves.
  What is doubtful is no fault. docs/SENSOR_HEALTH.md has the figures.
- A healthy second costs some passes over its samples; what sorts or transforms them is done on suspicion only.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Final, Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray

FaultKind = Literal["not_finite", "flat", "clipped", "saturated", "light_clipping", "bias", "mains_hum"]

MIN_SAMPLES: Final = 256
"""Fewer say nothing about a sensor."""
NOT_FINITE_SHARE: Final = 0.01
"""Of the samples, NaN or infinite: fewer cost the windows that they are in."""
FLAT_SHARE: Final = 0.25
"""Of the samples, in one run of one value. A quiet microphone repeats a value some ten times, a broken cable for
ever."""
FEW_LEVELS: Final = 2
"""A converter without a signal flickers between two of its steps; a sensor on a machine at rest fills more."""
CLIPPED_SHARE: Final = 0.02
"""At the highest and the lowest value together. The last bursts of a bearing that breaks strike a range of 50 g with
0.6 % of their samples, and that is the machine; a gain that is set wrong cuts off far more."""
LIGHT_SHARE: Final = 0.001
"""From here on the peaks are too low, and the machine is judged all the same."""
PILE_UP: Final = 4.0
"""How much fuller the outermost level is than those next to it. Of a noise it is emptier, of a sine 2.4 times as
full."""
FULL_SCALE_SHARE: Final = 0.99
"""Of a channel's full scale: an amplifier that is overdriven bends before it ends."""
TOP_SHARE: Final = 1 / 256
"""Of the range: so much noise an amplifier has that stands at its rail before the converter."""
TOP_PILE_UP: Final = 20.0
"""How much fuller such a top is than as much of the range next to it. Of a sine 3 times, of tones that add up to the
flattest tops 12 times."""
_NEXT_LEVELS: Final = 3
_MIN_AT_END: Final = 4
_MIN_ON_TOP: Final = 8
HUM_SHARE: Final = 0.9
"""Of the variance, in the mains' frequency and its harmonics. A motor that runs at 49.5 Hz puts less into 50 Hz."""
ODD_SHARE: Final = 0.5
"""Of the lines, at the mains' frequency and its odd multiples, as a cable picks it up. The pull of a motor's field has
twice the frequency: a machine that hums at 100 Hz is no fault of its sensor."""
MAINS_HZ: Final = (50.0, 60.0)
_HARMONICS: Final = 10
HUM_SECONDS: Final = 1.0
"""In a second, 49.5 Hz and 50 Hz are half a period apart; in less they are one."""
_HUM_LAG_S: Final = 0.1
"""Whole periods of 50 and of 60 Hz: what hums is like itself so much later."""
_HUM_LIKENESS: Final = 0.5
_SHAFT_HARMONICS: Final = 10
_SHAFT_NEAR: Final = 0.02


@dataclass(frozen=True, slots=True)
class SensorFault:
    """`share` is what part of the samples (of the variance, for hum) shows it; `words` say it to a person."""

    kind: FaultKind
    share: float
    words: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a channel, in the unit of its samples: nothing, unless its settings say it.

    `full_scale` is where sensor or amplifier end, `mean_range` where the mean belongs. `shaft_hz` are the speeds of
    what turns there: lines of the mains' frequency may be the machine's own then.
    """

    full_scale: float | None = None
    mean_range: tuple[float, float] | None = None
    shaft_hz: tuple[float, ...] = ()


UNKNOWN: Final = Expected()


def sensor_fault(
    samples: NDArray[np.float32], sample_rate_hz: float, expected: Expected = UNKNOWN
) -> SensorFault | None:
    """Return the fault of one channel, samples of shape (n,), that leaves nothing to be judged; None for any other.

    Samples that are missing are passed over, and light clipping is none.
    """
    found = signal_fault(samples[np.isfinite(samples)], sample_rate_hz, expected)
    return None if found is None or found.kind == "light_clipping" else found


def signal_fault(
    samples: NDArray[np.float32], sample_rate_hz: float, expected: Expected = UNKNOWN
) -> SensorFault | None:
    """Return the fault of one channel, also that samples are missing or, as light clipping, cut off."""
    if len(samples) < MIN_SAMPLES:
        return None
    ends = _Ends.of(samples)
    if not isfinite(ends.low + ends.high):  # a NaN or an infinity anywhere shows there
        is_finite = np.isfinite(samples)
        return _not_finite(is_finite) or signal_fault(samples[is_finite], sample_rate_hz, expected)
    cut_off = _beyond(samples, ends, expected.full_scale) or _clipped(samples, ends) or _flat_tops(samples, ends)
    if cut_off is not None and cut_off.share >= CLIPPED_SHARE:
        return _flat(samples, ends) or cut_off
    return (
        _flat(samples, ends)
        or _bias(samples, expected.mean_range)
        or _mains_hum(samples, sample_rate_hz, expected.shaft_hz)
        or _light(cut_off)
    )


@dataclass(frozen=True, slots=True)
class _Ends:
    """The lowest and the highest value, and how many samples have them."""

    low: float
    high: float
    n_low: int
    n_high: int

    @classmethod
    def of(cls, samples: NDArray[np.float32]) -> _Ends:
        low, high = samples.min(), samples.max()
        n_low, n_high = int(np.count_nonzero(samples == low)), int(np.count_nonzero(samples == high))
        return cls(float(low), float(high), n_low, n_high)


def _not_finite(is_finite: NDArray[np.bool_]) -> SensorFault | None:
    share = 1.0 - np.count_nonzero(is_finite) / len(is_finite)
    if share < NOT_FINITE_SHARE:
        return None
    return SensorFault("not_finite", share, f"not finite ({_percent(share)} of the samples are NaN or infinite)")


def _flat(samples: NDArray[np.float32], ends: _Ends) -> SensorFault | None:
    n = len(samples)
    if ends.low == ends.high:
        return SensorFault("flat", 1.0, f"flat line (every sample is {ends.low:.4g})")
    is_same = samples[1:] == samples[:-1]
    if np.count_nonzero(is_same) >= FLAT_SHARE * n - 1:
        changes = np.flatnonzero(~is_same)
        longest = int(np.diff(np.concatenate([[-1], changes, [n - 1]])).max())
        if longest >= FLAT_SHARE * n:
            share = longest / n
            return SensorFault("flat", share, f"flat line ({share:.0%} of the samples in one run)")
    if ends.n_low + ends.n_high == n:
        return SensorFault("flat", 1.0, f"flat line (no more than {FEW_LEVELS} values occur)")
    return None


def _light(cut_off: SensorFault | None) -> SensorFault | None:
    if cut_off is None:
        return None
    share = cut_off.share
    return SensorFault("light_clipping", share, f"light clipping ({_percent(share)} of samples at full scale)")


def _beyond(samples: NDArray[np.float32], ends: _Ends, full_scale: float | None) -> SensorFault | None:
    if full_scale is None or max(-ends.low, ends.high) < FULL_SCALE_SHARE * full_scale:
        return None
    share = np.count_nonzero(np.abs(samples) >= FULL_SCALE_SHARE * full_scale) / len(samples)
    if share < LIGHT_SHARE:
        return None
    return SensorFault("saturated", share, f"saturated ({_percent(share)} of samples at full_scale {full_scale:g})")


def _clipped(samples: NDArray[np.float32], ends: _Ends) -> SensorFault | None:
    n = len(samples)
    if max(ends.n_low, ends.n_high) < _MIN_AT_END or ends.n_low + ends.n_high < LIGHT_SHARE * n:
        return None
    levels, counts = np.unique(samples, return_counts=True)
    if len(levels) <= 2 * (_NEXT_LEVELS + 1):
        return None
    at_ends = [
        int(end)
        for end, beside in ((counts[0], counts[1 : 1 + _NEXT_LEVELS]), (counts[-1], counts[-1 - _NEXT_LEVELS : -1]))
        if end >= _MIN_AT_END and end > PILE_UP * beside.mean()
    ]
    share = sum(at_ends) / n
    if share < LIGHT_SHARE:
        return None
    return SensorFault("clipped", share, f"clipped ({_percent(share)} of samples at full scale)")


def _flat_tops(samples: NDArray[np.float32], ends: _Ends) -> SensorFault | None:
    """Return that an amplifier stood at its rail: samples crowd at the extremes without being equal."""
    n, width = len(samples), (ends.high - ends.low) * TOP_SHARE
    crowds = []
    for end, inwards in ((ends.high, -width), (ends.low, width)):
        at_end = _n_outside(samples, end + inwards, inwards)
        if at_end < _MIN_ON_TOP or at_end < CLIPPED_SHARE / 2 * n:
            continue
        beside = (_n_outside(samples, end + (1 + _NEXT_LEVELS) * inwards, inwards) - at_end) / _NEXT_LEVELS
        crowds += [at_end] if at_end > TOP_PILE_UP * beside else []
    share = sum(crowds) / n
    if share < CLIPPED_SHARE or _step(samples) > width / 2:
        return None
    return SensorFault("saturated", share, f"saturated ({_percent(share)} of samples on flat tops)")


def _n_outside(samples: NDArray[np.float32], limit: float, inwards: float) -> int:
    return int(np.count_nonzero(samples >= limit if inwards < 0 else samples <= limit))


def _step(samples: NDArray[np.float32]) -> float:
    """Return the smallest step between two values: a converter with few steps crowds samples, too."""
    return float(np.diff(np.unique(samples)).min(initial=np.inf))


def _bias(samples: NDArray[np.float32], mean_range: tuple[float, float] | None) -> SensorFault | None:
    if mean_range is None:
        return None
    mean = float(samples.mean(dtype=np.float64))
    if mean_range[0] <= mean <= mean_range[1]:
        return None
    limits = f"{mean_range[0]:g}..{mean_range[1]:g}"
    return SensorFault("bias", 1.0, f"bias (the mean {mean:.4g} is outside mean_range {limits})")


def _mains_hum(samples: NDArray[np.float32], sample_rate_hz: float, shaft_hz: tuple[float, ...]) -> SensorFault | None:
    length = round(HUM_SECONDS * sample_rate_hz)
    if len(samples) < length or length < MIN_SAMPLES:
        return None
    pieces = samples[: len(samples) // length * length].reshape(-1, length)
    pieces = pieces - pieces.mean(axis=1, keepdims=True)
    if not any(_may_hum(piece, sample_rate_hz) for piece in pieces):
        return None
    total = np.sum(pieces.astype(np.float64) ** 2, axis=1)
    if not (total > 0).all():
        return None
    powers = np.abs(scipy.fft.rfft(pieces, axis=1)).astype(np.float64) ** 2 * 2 / length
    for mains_hz in MAINS_HZ:
        if any(_is_multiple(mains_hz, shaft) for shaft in shaft_hz):
            continue
        lines = _lines(powers, mains_hz, sample_rate_hz)
        share = float(np.median(lines.sum(axis=1) / total))
        if share >= HUM_SHARE and lines[:, ::2].sum() >= ODD_SHARE * lines.sum():
            return SensorFault(
                "mains_hum", share, f"mains hum ({_percent(share)} of the signal at {mains_hz:g} Hz and its multiples)"
            )
    return None


def _may_hum(piece: NDArray[np.float32], sample_rate_hz: float) -> bool:
    """Return whether a second, its mean taken off, is like itself five or six periods of the mains later."""
    lag = round(_HUM_LAG_S * sample_rate_hz)
    return bool(np.dot(piece[lag:], piece[:-lag]) >= _HUM_LIKENESS * np.dot(piece, piece))


def _is_multiple(mains_hz: float, shaft_hz: float) -> bool:
    order = mains_hz / shaft_hz if shaft_hz > 0 else 0.0
    return 1 <= round(order) <= _SHAFT_HARMONICS and abs(order - round(order)) <= _SHAFT_NEAR * round(order)


def _lines(powers: NDArray[np.float64], mains_hz: float, sample_rate_hz: float) -> NDArray[np.float64]:
    """Per piece and line; a second holds whole periods of each line, so the lines do not overlap."""
    orders = np.arange(1, _HARMONICS + 1) * mains_hz
    return powers[:, np.rint(orders[orders < sample_rate_hz / 2] * HUM_SECONDS).astype(int)]


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.01 else f"{100 * share:.0f} %"
