"""The training features by the source libraries in float64: scipy.stats, numpy.fft, librosa.

Constraints
- Written from the platform's definitions with the libraries the platform used, and sharing no code with
  `edge_agent.dsp`: golden vectors made here test the edge, so they must not come from it.
- The order of columns is that of the names below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import librosa
import numpy as np
import scipy.stats
from numpy.typing import NDArray

Windows = NDArray[np.float64]

VIBRATION_NAMES: Final = (
    "rms", "peak_to_peak", "kurtosis", "skewness", "std", "crest_factor",
    "dominant_freq", "dominant_freq_amplitude", "spectral_centroid", "high_freq_energy",
)  # fmt: skip
VIBRATION_UNITS: Final = ("signal", "signal", "", "", "signal", "", "Hz", "signal", "Hz", "")
HIGH_FREQUENCY_HZ: Final = 1000.0

_TWO_AXIS: Final = (
    ("rms", "signal"), ("peak_to_peak", "signal"), ("kurtosis", ""), ("skewness", ""), ("std", "signal"),
    ("mean", "signal"), ("crest_factor", ""), ("dominant_frequency", "Hz"), ("dominant_amplitude", "signal"),
    ("spectral_centroid", "Hz"), ("high_freq_energy", "signal^2"),
)  # fmt: skip
TWO_AXIS_NAMES: Final = tuple(f"{axis}_{name}" for axis in "hv" for name, _ in _TWO_AXIS)
TWO_AXIS_UNITS: Final = 2 * tuple(unit for _, unit in _TWO_AXIS)
TWO_AXIS_SLICE: Final = 2048

MFCC_RATE_HZ: Final = 22_050
MFCC_RESAMPLER: Final = "kaiser_fast"
MFCC_COUNT: Final = 40
MFCC_FFT: Final = 2048
MFCC_HOP: Final = 512
MFCC_MELS: Final = 128
MFCC_NAMES: Final = tuple(f"mfcc_{index}" for index in range(MFCC_COUNT))


def cut(samples: NDArray[np.float32], *, window: int, hop: int) -> Windows:
    """Return windows of a recording, (n_channels, n) -> float64 (n_channels, n_windows, window). A rest is left out."""
    starts = range(0, samples.shape[1] - window + 1, hop)
    return np.stack([samples[:, start : start + window] for start in starts], axis=1).astype(np.float64)


def vibration(windows: Windows, *, sample_rate_hz: float) -> NDArray[np.float64]:
    """Return the ten vibration features: (..., window) -> (..., 10). Fisher kurtosis, rms with DC, no taper."""
    rms = np.sqrt(np.mean(windows**2, axis=-1))
    magnitude, frequencies = _positive_spectrum(windows, sample_rate_hz)
    strongest = np.argmax(magnitude, axis=-1)
    energy = magnitude**2
    return np.stack(
        [
            rms,
            np.max(windows, axis=-1) - np.min(windows, axis=-1),
            scipy.stats.kurtosis(windows, axis=-1, fisher=True),
            scipy.stats.skew(windows, axis=-1),
            np.std(windows, axis=-1),
            np.max(np.abs(windows), axis=-1) / rms,
            frequencies[strongest],
            np.max(magnitude, axis=-1),
            np.sum(frequencies * magnitude, axis=-1) / np.sum(magnitude, axis=-1),
            np.sum(energy[..., frequencies > HIGH_FREQUENCY_HZ], axis=-1) / np.sum(energy, axis=-1),
        ],
        axis=-1,
    )


def two_axes(windows: Windows, *, sample_rate_hz: float) -> NDArray[np.float64]:
    """Return the platform's 22 features of a bearing in two axes: (2k, ..., window) -> (k, ..., 22)."""
    of_axes = _of_one_axis(windows, sample_rate_hz)
    return np.concatenate([of_axes[0::2], of_axes[1::2]], axis=-1)


def _of_one_axis(windows: Windows, sample_rate_hz: float) -> NDArray[np.float64]:
    """Statistics of the whole burst; spectrum of a slice from a quarter of it on, DC included, as the platform's."""
    n = windows.shape[-1]
    piece = windows[..., n // 4 : n // 4 + TWO_AXIS_SLICE]
    half = piece.shape[-1] // 2
    magnitude = np.abs(np.fft.fft(piece, axis=-1))[..., :half]
    frequencies = np.fft.fftfreq(piece.shape[-1], 1.0 / sample_rate_hz)[:half]
    rms = np.sqrt(np.mean(windows**2, axis=-1))
    return np.stack(
        [
            rms,
            np.max(windows, axis=-1) - np.min(windows, axis=-1),
            scipy.stats.kurtosis(windows, axis=-1, fisher=True),
            scipy.stats.skew(windows, axis=-1),
            np.std(windows, axis=-1),
            np.mean(windows, axis=-1),
            np.max(np.abs(windows), axis=-1) / rms,
            frequencies[np.argmax(magnitude, axis=-1)],
            np.max(magnitude, axis=-1),
            np.sum(frequencies * magnitude, axis=-1) / np.sum(magnitude, axis=-1),
            np.sum(magnitude[..., frequencies > HIGH_FREQUENCY_HZ] ** 2, axis=-1),
        ],
        axis=-1,
    )


def mfcc_mean(windows: Windows, *, sample_rate_hz: int) -> NDArray[np.float64]:
    """Return the mean over time of 40 MFCC, as `librosa.load(sr=22050, res_type="kaiser_fast")` would see each window.

    Shape (..., window) -> (..., 40).
    """
    flat = windows.reshape(-1, windows.shape[-1])
    return np.stack([_mfcc_mean_of_one(window, sample_rate_hz) for window in flat]).reshape(*windows.shape[:-1], -1)


def _mfcc_mean_of_one(window: Windows, sample_rate_hz: int) -> NDArray[np.float64]:
    resampled = librosa.resample(window, orig_sr=sample_rate_hz, target_sr=MFCC_RATE_HZ, res_type=MFCC_RESAMPLER)
    mfcc = librosa.feature.mfcc(
        y=resampled, sr=MFCC_RATE_HZ, n_mfcc=MFCC_COUNT, n_fft=MFCC_FFT, hop_length=MFCC_HOP, n_mels=MFCC_MELS
    )
    return np.asarray(np.mean(mfcc, axis=1), np.float64)


def _positive_spectrum(windows: Windows, sample_rate_hz: float) -> tuple[Windows, NDArray[np.float64]]:
    frequencies = np.fft.fftfreq(windows.shape[-1], 1.0 / sample_rate_hz)
    positive = frequencies > 0
    return np.abs(np.fft.fft(windows, axis=-1))[..., positive], np.asarray(frequencies[positive], np.float64)


@dataclass(frozen=True, slots=True)
class Reference:
    """A family's features by its source libraries: (..., window) and a rate in Hz -> (..., len(names))."""

    names: tuple[str, ...]
    parameters: Mapping[str, float | int | str | bool]
    compute: Callable[[Windows, float], NDArray[np.float64]]


REFERENCES: Final[Mapping[str, Reference]] = {
    "vibration": Reference(VIBRATION_NAMES, {}, lambda windows, rate_hz: vibration(windows, sample_rate_hz=rate_hz)),
    "mfcc_mean": Reference(
        MFCC_NAMES,
        {
            "target_rate_hz": MFCC_RATE_HZ,
            "resampler": MFCC_RESAMPLER,
            "n_mfcc": MFCC_COUNT,
            "n_fft": MFCC_FFT,
            "hop_length": MFCC_HOP,
            "n_mels": MFCC_MELS,
        },
        lambda windows, rate_hz: mfcc_mean(windows, sample_rate_hz=int(rate_hz)),
    ),
}
"""By family, each with the only parameters it is the reference for."""
