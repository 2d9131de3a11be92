"""The platform's vibration features of many windows at once, in float32.

Constraints
- The numbers of a window are the same bits whatever batch it comes in, alone or with overlapping neighbours: a
  recording scored offline agrees with the live agent.
- Formulas are those of `time_domain` and `spectral`; accuracy against them in float64 is a few 1e-7 of the value
  (kurtosis and skewness: a few 1e-6 absolute), also under an offset of 4000 standard deviations.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.core.samples import Samples
from edge_agent.dsp.extractor import Extracted
from edge_agent.dsp.moments import BLOCK_WINDOWS, Column, Moments, blocks_of, half_moments, merged, shared_halves
from edge_agent.dsp.spectral import HIGH_FREQUENCY_HZ, positive_frequencies_hz
from edge_agent.errors import SignalError

VIBRATION_FEATURES: Final = (
    "rms",
    "peak_to_peak",
    "kurtosis",
    "skewness",
    "std",
    "crest_factor",
    "dominant_freq",
    "dominant_freq_amplitude",
    "spectral_centroid",
    "high_freq_energy",
    "mean",
)
"""The platform's column names in its order, and the mean."""

_N_SPECTRAL: Final = 4
_HIGH_ENERGY: Final = VIBRATION_FEATURES.index("high_freq_energy")
_FIRST_SPECTRAL: Final = VIBRATION_FEATURES.index("dominant_freq")


class VibrationExtractor:
    """Any of `VIBRATION_FEATURES`, in any order.

    Raises
    ------
    SignalError
        If the sample rate or the window cannot carry these features, or a feature is not of this family.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.features: tuple[FeatureId, ...] = spec.features
        self._columns = _columns(spec.features)
        self._window_samples = spec.window_samples
        if spec.parameters:
            raise SignalError(f"the vibration family takes no parameters, not {', '.join(spec.parameters)}")
        frequencies = positive_frequencies_hz(n_samples=spec.window_samples, sample_rate_hz=spec.sample_rate_hz)
        self._frequencies_hz = frequencies
        self._weights = frequencies.astype(np.float32)
        self._first_high = int(np.searchsorted(frequencies, HIGH_FREQUENCY_HZ, side="right"))
        if _HIGH_ENERGY in self._columns and self._first_high == len(frequencies):
            raise SignalError(
                f"high_freq_energy needs frequencies above {HIGH_FREQUENCY_HZ:g} Hz;"
                f" at {spec.sample_rate_hz:g} Hz there are none",
                hint=f"sample faster than {2 * HIGH_FREQUENCY_HZ:g} Hz",
            )
        self._needs_spectrum = any(
            _FIRST_SPECTRAL <= column < _FIRST_SPECTRAL + _N_SPECTRAL for column in self._columns
        )

    def extract(self, samples: Samples) -> Extracted:
        """See `Extractor.extract`."""
        self._check(samples)
        if not samples.size:
            n_channels, n_windows, _ = samples.shape
            return np.empty((n_channels, n_windows, len(self._columns)), np.float32), np.empty(samples.shape[:2], bool)
        # A bad window must not warn for the good ones beside it: it is reported by `is_usable`.
        with np.errstate(invalid="ignore", divide="ignore", over="ignore", under="ignore"):
            return self._extract(samples)

    def _check(self, samples: Samples) -> None:
        if samples.ndim != 3 or samples.shape[-1] != self._window_samples:
            raise SignalError(
                f"these windows have shape {samples.shape}; this extractor takes"
                f" (n_channels, n_windows, {self._window_samples})",
                hint="cut the windows to the length the model was trained on",
            )
        if samples.dtype != np.float32:
            raise SignalError(f"samples must be float32, not {samples.dtype}")

    def _extract(self, samples: Samples) -> Extracted:
        moments = window_moments(samples)
        table = np.empty((len(VIBRATION_FEATURES), *samples.shape[:2]))
        _fill_time_domain(table, moments)
        if self._needs_spectrum:
            self._fill_spectral(table[_FIRST_SPECTRAL : _FIRST_SPECTRAL + _N_SPECTRAL], samples, moments)
        values = np.moveaxis(table[self._columns], 0, -1).astype(np.float32, order="C")
        is_usable = np.isfinite(values).all(axis=-1) & (moments.highest > moments.lowest)
        is_usable &= np.isfinite(moments.s4)
        values[~is_usable] = np.nan
        return values, is_usable

    def _fill_spectral(self, table: NDArray[np.float64], samples: Samples, moments: Moments) -> None:
        """Rows of `table`: dominant frequency, its amplitude, centroid, high-frequency share of the energy."""
        n_channels, n_windows, n = samples.shape
        # The offset is in no bin we look at, but its rounding errors would be in all of them.
        pivot = moments.mean.astype(np.float32)[..., np.newaxis]
        for block in blocks_of(n_channels, n_windows, BLOCK_WINDOWS):
            centred = samples[block] - pivot[block]
            self._block_spectra(centred.reshape(-1, n), table[(slice(None), *block)])

    def _block_spectra(self, centred: Samples, out: NDArray[np.float64]) -> None:
        shape = out.shape[1:]
        energy = _energy(scipy.fft.rfft(centred, axis=-1, overwrite_x=True, workers=1), len(self._weights))
        high = np.sum(energy[:, self._first_high :], axis=-1)
        low = np.sum(energy[:, : self._first_high], axis=-1)
        out[3] = (high / (low + high)).reshape(shape)
        magnitude = np.sqrt(energy, out=energy)
        largest = np.argmax(magnitude, axis=-1)
        out[0] = self._frequencies_hz[largest].reshape(shape)
        out[1] = magnitude[np.arange(len(magnitude)), largest].reshape(shape)
        # einsum and not matmul: BLAS picks its kernel, and so the last bit, by the number of rows.
        weighted = np.einsum("wf,f->w", magnitude, self._weights)
        out[2] = (weighted / np.sum(magnitude, axis=-1)).reshape(shape)


def window_moments(samples: Samples) -> Moments:
    """Moments of each window, shape (n_channels, n_windows, n) -> arrays of shape (n_channels, n_windows)."""
    n_channels, n_windows, n = samples.shape
    channel_stride, window_stride, sample_stride = samples.strides
    half = n // 2
    if n_windows > 1 and n % 2 == 0 and window_stride == half * sample_stride:
        halves = as_strided(
            samples, (n_channels, n_windows + 1, half), (channel_stride, window_stride, sample_stride), writeable=False
        )
        return shared_halves(half_moments(halves))
    return merged(half_moments(samples[..., :half]), half_moments(samples[..., half:]))


def _fill_time_domain(table: NDArray[np.float64], m: Moments) -> None:
    m2, m3, m4 = m.s2 / m.n, m.s3 / m.n, m.s4 / m.n
    rms = np.sqrt(m2 + m.mean * m.mean)
    std = np.sqrt(m2)
    rows: dict[str, Column] = {
        "rms": rms,
        "peak_to_peak": m.highest - m.lowest,
        "kurtosis": m4 / (m2 * m2) - 3.0,
        "skewness": m3 / (m2 * std),
        "std": std,
        "crest_factor": np.maximum(m.highest, -m.lowest) / rms,
        "mean": m.mean,
    }
    for name, row in rows.items():
        table[VIBRATION_FEATURES.index(name)] = row


def _energy(spectrum: NDArray[np.complex64], n_positive: int) -> Samples:
    """|X|^2 at the positive frequencies; overwrites the spectrum."""
    parts = spectrum.view(np.float32)
    parts *= parts
    return np.add(parts[:, 2 : 2 + 2 * n_positive : 2], parts[:, 3 : 3 + 2 * n_positive : 2])


def _columns(features: tuple[FeatureId, ...]) -> list[int]:
    unknown = [feature.name for feature in features if feature.name not in VIBRATION_FEATURES]
    if unknown or not features:
        raise SignalError(
            f"no vibration feature is called {', '.join(unknown)}" if unknown else "the spec names no features",
            hint=f"known: {', '.join(VIBRATION_FEATURES)}",
        )
    return [VIBRATION_FEATURES.index(feature.name) for feature in features]
