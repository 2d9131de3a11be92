"""One window's Hann-tapered spectrum, and which of its bins a band covers, in float64."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Spectrum = NDArray[np.float64]


def hann(n: int) -> Spectrum:
    """Return the periodic Hann taper: 0.5 - 0.5 cos(2 pi k / n), shape (n,)."""
    return np.asarray(0.5 - 0.5 * np.cos(2.0 * np.pi / n * np.arange(n)))


def band_bins(frequencies_hz: Spectrum, low_hz: float, high_hz: float) -> slice:
    """Return the bins with low_hz <= f <= high_hz.

    A bin that rounding put beside a limit is on it: within 1e-9 of the value.
    """
    first = int(np.searchsorted(frequencies_hz, low_hz * (1.0 - 1e-9), side="left"))
    end = int(np.searchsorted(frequencies_hz, high_hz * (1.0 + 1e-9), side="right"))
    return slice(first, end)


def power_spectrum(window: NDArray[np.float64], taper: Spectrum) -> Spectrum:
    """Return the squared peak amplitude of each bin, mean removed, tapered.

    (2 |FFT| / sum(w))^2, shape (n,) -> (n // 2 + 1,).
    """
    spectrum = scipy.fft.rfft((window - window.mean()) * taper, workers=1)
    return np.asarray((spectrum.real**2 + spectrum.imag**2) * (2.0 / np.sum(taper)) ** 2)


def amplitude_spectrum(window: NDArray[np.float64], taper: Spectrum) -> Spectrum:
    """Return the peak amplitude of each bin, mean removed, tapered: 2 |FFT| / sum(w), shape (n,) -> (n // 2 + 1,)."""
    return np.asarray(np.sqrt(power_spectrum(window, taper)))
