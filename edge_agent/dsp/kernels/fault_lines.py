"""How high a family of lines (a frequency and its harmonics) stands in an amplitude spectrum, and above what.

Constraints
- Lines are searched for within a tolerance (rolling elements slip, speeds are not exact): the highest bin within
  +- max(1 bin, tolerance * f) of each harmonic. A line between two bins reads up to 1.4 dB low (Hann).
- The background of a harmonic is the noise's mean power, from the median of the 16 bins on either side beyond two
  guard bins (the taper's main lobe): median / ln 2, which is exact for noise and which lines beside it do not move.
- Where there is no line, the highest of several bins is still above the mean: white noise reads 1 to 5 dB, more the
  wider the tolerance.
- The ratio is the mean over harmonics of decibels, not decibels of a sum: one strong foreign line among the harmonics
  (a neighbour's line, a multiple of the shaft) cannot speak for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_agent.dsp.kernels.hann_spectrum import Spectrum
from edge_agent.errors import SignalError

MIN_PERIODS: Final = 4.0
"""Periods of a line that a window must hold: below, the line cannot be told from what is left of the mean."""

_GUARD_BINS: Final = 2
_BACKGROUND_BINS: Final = 16
_FIRST_BIN: Final = 2
"""Bins 0 and 1 hold the mean's remains."""


@dataclass(frozen=True, slots=True)
class LineSearch:
    """How to look: in the spectrum of windows of `duration_s` with `n_bins` bins, of an envelope `max_hz` wide."""

    n_harmonics: int
    tolerance: float
    duration_s: float
    n_bins: int
    max_hz: float

    def problem(self, line_hz: float) -> str | None:
        """Return why a line cannot be looked for here, in words, or None."""
        periods = line_hz * self.duration_s
        if periods < MIN_PERIODS * (1.0 - 1e-9):
            return (
                f"a window of {self.duration_s:g} s holds {periods:.3g} periods of {line_hz:.5g} Hz,"
                f" and {MIN_PERIODS:g} are needed: use windows of at least {MIN_PERIODS / line_hz:.3g} s"
            )
        highest_hz = self.n_harmonics * line_hz * (1.0 + self.tolerance)
        if highest_hz > self.max_hz:
            return (
                f"harmonic {self.n_harmonics} of {line_hz:.5g} Hz is at {highest_hz:.5g} Hz, and the envelope of this"
                f" band changes no faster than {self.max_hz:.5g} Hz: use a wider band or fewer harmonics"
            )
        if self._last_bin(line_hz) >= self.n_bins:
            return f"harmonic {self.n_harmonics} of {line_hz:.5g} Hz has no background: its spectrum ends there"
        return None

    def check(self, name: str, line_hz: float) -> None:
        """Raise SignalError with the problem, if there is one."""
        if (problem := self.problem(line_hz)) is not None:
            raise SignalError(f"{name} cannot be looked for: {problem}")

    def measure(self, power: Spectrum, line_hz: float) -> tuple[float, float]:
        """Return the height of the lines and their mean ratio to the background.

        Parameters
        ----------
        power : float64 ndarray [shape=(n_bins,)]
            Squared peak amplitudes of a Hann-tapered window's bins.

        Returns
        -------
        amplitude : root of the sum over harmonics of squared peak amplitudes, in the root of power's unit
        snr_db : mean over harmonics of 10 log10(line / background)

        Both NaN where `problem` is not None.
        """
        if not np.isfinite(line_hz) or self.problem(line_hz) is not None:
            return np.nan, np.nan
        lines = np.empty((2, self.n_harmonics))
        for index in range(self.n_harmonics):
            lines[:, index] = self._line(power, (index + 1) * line_hz)
        peaks, backgrounds = lines
        return float(np.sqrt(np.sum(peaks))), float(np.mean(10.0 * np.log10(peaks / backgrounds)))

    def _line(self, power: Spectrum, hz: float) -> tuple[float, float]:
        centre, reach = round(hz * self.duration_s), self._reach(hz)
        first, end = centre - reach, centre + reach + 1
        below = power[max(_FIRST_BIN, first - _GUARD_BINS - _BACKGROUND_BINS) : max(_FIRST_BIN, first - _GUARD_BINS)]
        above = power[end + _GUARD_BINS : end + _GUARD_BINS + _BACKGROUND_BINS]
        return float(power[first:end].max()), float(np.median(np.concatenate([below, above])) / np.log(2.0))

    def _reach(self, hz: float) -> int:
        return max(1, round(self.tolerance * hz * self.duration_s))

    def _last_bin(self, line_hz: float) -> int:
        highest = self.n_harmonics * line_hz
        return round(highest * self.duration_s) + self._reach(highest) + _GUARD_BINS + _BACKGROUND_BINS
