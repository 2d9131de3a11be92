"""Vibration severity from acceleration: velocity and displacement RMS in a band, by integration in the spectrum.

Constraints
- The window's mean (gravity, bias) is removed, then a periodic Hann taper is applied; its loss of energy is given back
  as sum(w^2) / n, which is exact on average over phase for tones and for noise.
- Integration is division by j 2 pi f in each bin. Limits are inclusive: a bin on 10 Hz or on 1000 Hz counts.
- Below four periods of the lower limit, the taper's main lobe reaches from the mean's remains into the band, and
  division by the smallest frequency magnifies it; such a window is refused and not computed badly.

Calibration point: 10 m/s2 RMS at 159.155 Hz (1000 rad/s) is 10 mm/s RMS.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.core.samples import Samples
from edge_agent.dsp.family_base.family import Example, Extracted, FeatureFamily, Formula
from edge_agent.dsp.family_base.parameters import Parameters
from edge_agent.dsp.family_base.windows import Row, Window, check_sampling, check_windows, columns_of, each_window
from edge_agent.dsp.kernels.hann_spectrum import band_bins, hann
from edge_agent.errors import SignalError

NAME: Final = "velocity"
STANDARD_GRAVITY_M_S2: Final = 9.80665
"""CGPM 1901, exact by definition."""

MIN_PERIODS: Final = 4.0
"""Periods of the lower limit a window must hold."""

_M_S2_PER_UNIT: Final = {"m/s2": 1.0, "g": STANDARD_GRAVITY_M_S2}
_SOURCE: Final = "ISO 20816-1 (broadband r.m.s. velocity); band 10 Hz to 1000 Hz unless the spec says otherwise"

_VELOCITY: Final = (
    "sqrt(sum over low_hz <= f <= high_hz of the one-sided mean square of A(f) / (j 2 pi f)); mean removed, periodic"
    " Hann taper, divided by mean(w^2)"
)

FORMULAS: Final = (
    Formula(NAME, "velocity_rms", 1, "mm/s", _VELOCITY, _SOURCE, rtol=1e-6),
    Formula(NAME, "displacement_rms", 1, "um", "the same with A(f) / (j 2 pi f)^2", _SOURCE, rtol=1e-6),
)

_PARAMETERS: Final = ("signal_unit", "low_hz", "high_hz")
_MM_PER_M: Final = 1e3
_UM_PER_M: Final = 1e6


class VelocityExtractor:
    """`velocity_rms` and `displacement_rms`: parameters signal_unit ("m/s2" or "g"), low_hz (10) and high_hz (1000).

    Raises
    ------
    SignalError
        If the band is none, reaches the Nyquist frequency, or begins too low for the window's length.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        parameters = Parameters(NAME, spec.parameters, known=_PARAMETERS)
        unit = parameters.choice("signal_unit", "m/s2", known=tuple(_M_S2_PER_UNIT))
        low_hz, high_hz = parameters.positive("low_hz", 10.0), parameters.positive("high_hz", 1000.0)
        check_sampling(NAME, window_samples=spec.window_samples, sample_rate_hz=spec.sample_rate_hz)
        _check_band(low_hz, high_hz, window_samples=spec.window_samples, sample_rate_hz=spec.sample_rate_hz)
        self.features: tuple[FeatureId, ...] = spec.features
        self._columns = columns_of(spec.features, FORMULAS)
        self._window_samples = spec.window_samples
        self._taper = hann(spec.window_samples)
        frequencies_hz = scipy.fft.rfftfreq(spec.window_samples, 1.0 / spec.sample_rate_hz)
        self._band = band_bins(frequencies_hz, low_hz, high_hz)
        self._per_power = _per_power(frequencies_hz[self._band], self._taper) * _M_S2_PER_UNIT[unit] ** 2

    def extract(self, samples: Samples) -> Extracted:
        """See `Extractor.extract`."""
        check_windows(samples, self._window_samples)
        return each_window(samples, len(self._columns), lambda window, _at: self._window_features(window))

    def _window_features(self, window: Window) -> Row:
        spectrum = scipy.fft.rfft((window - window.mean()) * self._taper, workers=1)[self._band]
        power = spectrum.real**2 + spectrum.imag**2
        return np.asarray(np.sqrt(np.sum(self._per_power * power, axis=-1))[self._columns])


def _per_power(frequencies_hz: NDArray[np.float64], taper: NDArray[np.float64]) -> NDArray[np.float64]:
    """(mm/s)^2 and um^2 of a bin for each |X|^2 in (m/s2)^2, shape (2, n_bins)."""
    one_sided = 2.0 / (len(taper) * np.sum(taper**2))
    omega = 2.0 * np.pi * frequencies_hz
    return np.stack([one_sided * (_MM_PER_M / omega) ** 2, one_sided * (_UM_PER_M / omega**2) ** 2])


def _check_band(low_hz: float, high_hz: float, *, window_samples: int, sample_rate_hz: float) -> None:
    if not low_hz < high_hz:
        raise SignalError(f"{NAME}: the band must rise, not {low_hz:g} to {high_hz:g} Hz")
    if high_hz >= sample_rate_hz / 2:
        raise SignalError(
            f"velocity up to {high_hz:g} Hz cannot be had at {sample_rate_hz:g} Hz:"
            f" half of that rate is {sample_rate_hz / 2:g} Hz",
            hint=f"sample at {2.56 * high_hz:g} Hz or faster, or set high_hz lower",
        )
    duration_s = window_samples / sample_rate_hz
    if duration_s * low_hz < MIN_PERIODS * (1.0 - 1e-9):
        raise SignalError(
            f"a window of {duration_s:g} s is too short for velocity from {low_hz:g} Hz:"
            f" it holds {duration_s * low_hz:.5g} periods, and {MIN_PERIODS:g} are needed",
            hint=f"use windows of at least {MIN_PERIODS / low_hz:g} s ({round(MIN_PERIODS / low_hz * sample_rate_hz)}"
            " samples)",
        )


FAMILY: Final = FeatureFamily(
    name=NAME,
    title="Vibration severity",
    about="From acceleration; parameters `signal_unit` (`m/s2` or `g`), `low_hz`, `high_hz`. Calibration point: 10 m/s2"
    " RMS at 159.155 Hz is 10 mm/s. A tone on a limit of the band itself reads 10 % low, or up to 30 % where the"
    " limit falls between two bins: set low_hz clearly below the shaft's speed. Zones A to D are a table of values"
    " that you answer for"
    " (`edge_agent/reference_tables/severity_zones.toml`). Windows of one second.",
    build=VelocityExtractor,
    formulas=FORMULAS,
    parameters=_PARAMETERS,
    default_features=("velocity_rms", "displacement_rms"),
    reports_max=frozenset({"velocity_rms"}),
    example=Example(20_480, {"signal_unit": "g"}),
)
