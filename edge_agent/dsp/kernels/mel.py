"""Mel spectrum and cepstrum with librosa's definitions, in float32.

Constraints
- `librosa.feature.mfcc` with its defaults is the definition: frames centred with zeros, periodic Hann window, power
  spectrum, Slaney mel scale and area norm, 10 log10 with a floor of 1e-10 and of 80 dB under the loudest cell of the
  clip, orthonormal DCT-II.
- The floor depends on the whole clip, so a clip's coefficients are not those of its frames put together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from edge_agent.dsp.kernels.hann_spectrum import hann
from edge_agent.errors import SignalError

Signal = NDArray[np.float32]
Matrix = NDArray[np.float64]

POWER_FLOOR: Final = 1e-10
DYNAMIC_RANGE_DB: Final = 80.0

MAX_FFT: Final = 32_768
MAX_MELS: Final = 1_024
"""Both at once take 134 MB of filters; beyond, a slip of the pen in a bundle would fill the memory."""

_FRAMES_PER_BLOCK: Final = 32
_BANDS_PER_GROUP: Final = 16
"""Mel bands overlap only their neighbours: eight narrow matrices do an eighth of the work of one full one."""

# Slaney's Auditory Toolbox: linear to 1000 Hz in steps of 200/3 Hz, then 27 steps for each factor of 6.4.
_LINEAR_STEP_HZ: Final = 200.0 / 3.0
_LOG_FROM_HZ: Final = 1000.0
_LOG_FROM_MEL: Final = _LOG_FROM_HZ / _LINEAR_STEP_HZ
_LOG_STEP: Final = np.log(6.4) / 27.0


@dataclass(frozen=True, slots=True)
class MelParameters:
    """What a cepstrum is computed with. Raises SignalError naming a value that makes none."""

    sample_rate_hz: float
    n_mfcc: int = 40
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 128

    def __post_init__(self) -> None:
        if not (np.isfinite(self.sample_rate_hz) and self.sample_rate_hz > 0):
            raise SignalError(f"the sample rate must be above 0 Hz, not {self.sample_rate_hz}")
        if self.n_fft < 4 or self.n_fft % 2:
            raise SignalError(f"n_fft must be even and at least 4, not {self.n_fft}")
        if self.n_fft > MAX_FFT:
            raise SignalError(f"n_fft must be at most {MAX_FFT}, not {self.n_fft}")
        if self.n_mels > MAX_MELS:
            raise SignalError(f"n_mels must be at most {MAX_MELS}, not {self.n_mels}")
        for name in ("hop_length", "n_mels", "n_mfcc"):
            if getattr(self, name) < 1:
                raise SignalError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.n_mfcc > self.n_mels:
            raise SignalError(f"n_mfcc ({self.n_mfcc}) cannot be more than n_mels ({self.n_mels})")


@dataclass(frozen=True, slots=True, eq=False)
class _Band:
    first: int
    begin: int
    matrix: Signal


class MelCepstrum:
    """Tables computed once for one set of parameters."""

    def __init__(self, parameters: MelParameters) -> None:
        self._p = parameters
        self._taper = hann(parameters.n_fft).astype(np.float32)
        self._bands = _banded(
            mel_filters(
                sample_rate_hz=parameters.sample_rate_hz, n_fft=parameters.n_fft, n_mels=parameters.n_mels
            ).astype(np.float32)
        )
        self._dct = dct_matrix(n_out=parameters.n_mfcc, n_in=parameters.n_mels)

    def decibels(self, samples: Signal) -> Signal:
        """Return the mel power in dB, shape (n,) -> (1 + n // hop_length, n_mels), at most 80 dB under its maximum."""
        decibels = self._mel_power(self._frames(samples))
        np.maximum(decibels, np.float32(POWER_FLOOR), out=decibels)
        np.log10(decibels, out=decibels)
        decibels *= np.float32(10)
        np.maximum(decibels, decibels.max() - np.float32(DYNAMIC_RANGE_DB), out=decibels)
        return decibels

    def coefficients(self, samples: Signal) -> Matrix:
        """Return MFCC, shape (n,) -> (n_mfcc, 1 + n // hop_length): `librosa.feature.mfcc(y=samples)`."""
        return np.asarray(self._dct @ self.decibels(samples).T.astype(np.float64))

    def mean_coefficients(self, samples: Signal) -> Matrix:
        """Return the mean over time of the coefficients, shape (n,) -> (n_mfcc,).

        The DCT is linear: the mean goes first.
        """
        return np.asarray(self._dct @ self.decibels(samples).mean(axis=0, dtype=np.float64))

    def _frames(self, samples: Signal) -> Signal:
        n_fft, hop = self._p.n_fft, self._p.hop_length
        padded = np.zeros(len(samples) + n_fft, np.float32)
        padded[n_fft // 2 : n_fft // 2 + len(samples)] = samples
        return as_strided(padded, (1 + len(samples) // hop, n_fft), (4 * hop, 4), writeable=False)

    def _mel_power(self, frames: Signal) -> Signal:
        power = np.empty((len(frames), self._p.n_mels), np.float32)
        for begin in range(0, len(frames), _FRAMES_PER_BLOCK):
            block = slice(begin, begin + _FRAMES_PER_BLOCK)
            tapered = frames[block] * self._taper
            energy = np.abs(scipy.fft.rfft(tapered, axis=1, overwrite_x=True, workers=1))
            energy *= energy
            for band in self._bands:
                width, n_bands = band.matrix.shape
                inputs = energy[:, band.begin : band.begin + width]
                np.matmul(inputs, band.matrix, out=power[block, band.first : band.first + n_bands])
        return power


def mel_from_hz(frequency_hz: Matrix) -> Matrix:
    """Return Slaney's mel scale, any shape."""
    above = _LOG_FROM_MEL + np.log(np.maximum(frequency_hz, _LOG_FROM_HZ) / _LOG_FROM_HZ) / _LOG_STEP
    return np.asarray(np.where(frequency_hz < _LOG_FROM_HZ, frequency_hz / _LINEAR_STEP_HZ, above))


def hz_from_mel(mel: Matrix) -> Matrix:
    """Return the inverse of `mel_from_hz`, any shape."""
    above = _LOG_FROM_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _LOG_FROM_MEL) - _LOG_FROM_MEL))
    return np.asarray(np.where(mel < _LOG_FROM_MEL, mel * _LINEAR_STEP_HZ, above))


def mel_filters(*, sample_rate_hz: float, n_fft: int, n_mels: int) -> Matrix:
    """Return triangles of unit area, equally spaced in mel up to half the rate.

    Shape (n_mels, 1 + n_fft // 2), 1/Hz.
    """
    nyquist_hz = np.array(sample_rate_hz / 2.0)
    edges_hz = hz_from_mel(np.linspace(0.0, mel_from_hz(nyquist_hz), n_mels + 2))
    bins_hz = np.arange(1 + n_fft // 2) * (sample_rate_hz / n_fft)
    low, centre, high = (edges_hz[i : i + n_mels, np.newaxis] for i in range(3))
    rising = (bins_hz - low) / (centre - low)
    falling = (high - bins_hz) / (high - centre)
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (high - low)))


def dct_matrix(*, n_out: int, n_in: int) -> Matrix:
    """Return the orthonormal DCT-II.

    sqrt(2/n) cos(pi k (2 i + 1) / 2n), the first row divided by sqrt(2); shape (n_out, n_in).
    """
    k, i = np.arange(n_out)[:, np.newaxis], np.arange(n_in)[np.newaxis]
    matrix = np.sqrt(2.0 / n_in) * np.cos(np.pi * k * (2 * i + 1) / (2 * n_in))
    matrix[0] /= np.sqrt(2.0)
    return np.asarray(matrix)


def _banded(filters: Signal) -> list[_Band]:
    bands = []
    for first in range(0, len(filters), _BANDS_PER_GROUP):
        group = filters[first : first + _BANDS_PER_GROUP]
        used = np.flatnonzero(group.any(axis=0))
        # A band narrower than a bin may be empty: it is zero power then, as in librosa.
        begin, end = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        bands.append(_Band(first, begin, np.ascontiguousarray(group[:, begin:end].T)))
    return bands
