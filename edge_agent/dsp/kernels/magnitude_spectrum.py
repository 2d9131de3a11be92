"""Statistics of the magnitude spectrum, exactly as the platform's models were trained.

Constraints
- The spectrum is |FFT(x)|: no taper, no normalisation, so an amplitude grows with the window's length.
- Only bins 1..ceil(n/2)-1 count: DC is out, and so is the Nyquist bin of an even n (the platform keeps the
  positive half of `fftfreq`, where that bin has a negative frequency).

These are the definitions. `vibration.VibrationExtractor` computes the same numbers faster and is tested against them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from edge_agent.errors import SignalError

Signal = NDArray[np.floating]

HIGH_FREQUENCY_HZ: Final = 1000.0
"""Energy strictly above this counts as high. Part of the formula: another limit is another version."""

MIN_SAMPLES: Final = 4
"""Fewer have no two positive frequencies to tell apart."""


def positive_frequencies_hz(*, n_samples: int, sample_rate_hz: float) -> NDArray[np.float64]:
    """Return k * sample_rate / n for k = 1..ceil(n/2)-1, in Hz. Raises SignalError for a short window or a bad rate."""
    if n_samples < MIN_SAMPLES:
        raise SignalError(f"a spectrum needs a window of at least {MIN_SAMPLES} samples, not {n_samples}")
    if not (np.isfinite(sample_rate_hz) and sample_rate_hz > 0):
        raise SignalError(f"the sample rate must be above 0 Hz, not {sample_rate_hz}")
    bins = np.arange(1, (n_samples + 1) // 2, dtype=np.float64)
    return np.asarray(bins * (sample_rate_hz / n_samples), dtype=np.float64)


def magnitude_spectrum(*, samples: Signal) -> Signal:
    """Return |FFT(x)| at the positive frequencies, shape (..., n) -> (..., ceil(n/2)-1), in the unit of the samples."""
    n = samples.shape[-1]
    if n < MIN_SAMPLES:
        raise SignalError(f"a spectrum needs a window of at least {MIN_SAMPLES} samples, not {n}")
    return np.asarray(np.abs(scipy.fft.rfft(samples, axis=-1, workers=1))[..., 1 : (n + 1) // 2])


def dominant_frequency(*, samples: Signal, sample_rate_hz: float) -> Signal:
    """Return the frequency of the largest |FFT| bin (the lowest of equals), shape (..., n) -> (...), in Hz."""
    frequencies = positive_frequencies_hz(n_samples=samples.shape[-1], sample_rate_hz=sample_rate_hz)
    return np.asarray(frequencies[np.argmax(magnitude_spectrum(samples=samples), axis=-1)])


def dominant_amplitude(*, samples: Signal) -> Signal:
    """Return the largest |FFT|, not normalised: A * n / 2 for a sine of amplitude A on a bin.

    Shape (..., n) -> (...).
    """
    return np.asarray(np.max(magnitude_spectrum(samples=samples), axis=-1))


def spectral_centroid(*, samples: Signal, sample_rate_hz: float) -> Signal:
    """Return sum(f * |X|) / sum(|X|), shape (..., n) -> (...), in Hz; NaN where the spectrum is zero."""
    frequencies = positive_frequencies_hz(n_samples=samples.shape[-1], sample_rate_hz=sample_rate_hz)
    magnitude = magnitude_spectrum(samples=samples)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sum(frequencies * magnitude, axis=-1) / np.sum(magnitude, axis=-1))


def high_frequency_energy_ratio(*, samples: Signal, sample_rate_hz: float) -> Signal:
    """Return sum(|X|^2, f > 1000 Hz) / sum(|X|^2), shape (..., n) -> (...), 0..1; NaN where the spectrum is zero."""
    frequencies = positive_frequencies_hz(n_samples=samples.shape[-1], sample_rate_hz=sample_rate_hz)
    energy = np.square(magnitude_spectrum(samples=samples))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sum(energy[..., frequencies > HIGH_FREQUENCY_HZ], axis=-1) / np.sum(energy, axis=-1))


def high_frequency_energy_sum(*, samples: Signal, sample_rate_hz: float) -> Signal:
    """Return sum(|X|^2, f > 1000 Hz), shape (..., n) -> (...), in the square of the samples' unit; grows with the
    window.
    """
    frequencies = positive_frequencies_hz(n_samples=samples.shape[-1], sample_rate_hz=sample_rate_hz)
    energy = np.square(magnitude_spectrum(samples=samples))
    return np.asarray(np.sum(energy[..., frequencies > HIGH_FREQUENCY_HZ], axis=-1))
