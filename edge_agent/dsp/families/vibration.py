"""The platform's vibration features of many windows at once, in float32.

Constraints
- The numbers of a window are the same bits whatever batch it comes in, alone or with overlapping neighbours: a
  recording scored offline agrees with the live agent.
- Formulas are those of `time_domain` and `spectral`. Against them in float64 the error is below 1e-6 of the value,
  also under an offset of 4000 standard deviations. (Kurtosis: of the value before 3 is subtracted. Skewness: 2e-5
  absolute, which is for impacts of 40 standard deviations; 1e-6 for ordinary signals.)
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.core.samples import Samples
from edge_agent.dsp.family_base.family import Example, Extracted, FeatureFamily, Formula, ProofTolerance
from edge_agent.dsp.family_base.windows import check_windows, columns_of
from edge_agent.dsp.kernels.magnitude_spectrum import HIGH_FREQUENCY_HZ, positive_frequencies_hz
from edge_agent.dsp.kernels.moments import Column, Moments, blocks_of, half_moments, merged, shared_halves
from edge_agent.errors import SignalError

NAME: Final = "vibration"
_SOURCE: Final = "platform vibration champion"

FORMULAS: Final = tuple(
    Formula(NAME, name, 1, unit, definition, _SOURCE, rtol, atol)
    for name, unit, definition, rtol, atol in (
        ("rms", "signal", "sqrt(sum(x^2) / n), with DC", 1e-6, 0.0),
        ("peak_to_peak", "signal", "max x - min x", 1e-6, 0.0),
        ("kurtosis", "", "m4 / m2^2 - 3, biased (Fisher: 0 for a normal distribution)", 1e-6, 3e-6),
        ("skewness", "", "m3 / m2^1.5, biased", 0.0, 2e-5),
        ("std", "signal", "sqrt(sum((x - mean)^2) / n)", 1e-6, 0.0),
        ("crest_factor", "", "max |x| / rms", 1e-6, 0.0),
        ("dominant_freq", "Hz", "frequency of the largest |FFT| bin, DC and Nyquist excluded", 1e-6, 0.0),
        ("dominant_freq_amplitude", "signal", "the largest |FFT|, no taper, not divided by n", 1e-6, 0.0),
        ("spectral_centroid", "Hz", "sum(f |X|) / sum(|X|), DC and Nyquist excluded", 1e-6, 0.0),
        ("high_freq_energy", "", "sum(|X|^2, f > 1000 Hz) / sum(|X|^2), DC and Nyquist excluded", 1e-6, 0.0),
        ("mean", "signal", "sum(x) / n; atol is for an rms up to 1 and grows with it", 1e-6, 1e-7),
        (
            "high_freq_energy_sum",
            "signal^2",
            "sum(|X|^2, f > 1000 Hz), no taper, not divided by n, Nyquist excluded",
            1e-6,
            0.0,
        ),
    )
)
"""The platform's column names in its order, the mean, and its XJTU variant's energy, which is a sum and no share."""

VIBRATION_FEATURES: Final = tuple(formula.name for formula in FORMULAS)

_N_SPECTRAL: Final = 4
_HIGH_ENERGIES: Final = ("high_freq_energy", "high_freq_energy_sum")
_HIGH_ENERGY_SUM: Final = VIBRATION_FEATURES.index("high_freq_energy_sum")
_FIRST_SPECTRAL: Final = VIBRATION_FEATURES.index("dominant_freq")

# Of a window's samples. Beyond these its spectrum is scaled: |X|^2 of a quiet bin, or the sum of them, leaves float32.
_SAFE_SPREAD_MIN: Final = 1e-12
_SAFE_SPREAD_MAX: Final = 1e12
_MAX_EXPONENT: Final = 120


class VibrationExtractor:
    """Any of `VIBRATION_FEATURES`, in any order.

    Raises
    ------
    SignalError
        If the sample rate or the window cannot carry these features, or a feature is not of this family.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.features: tuple[FeatureId, ...] = spec.features
        self._columns = columns_of(spec.features, FORMULAS)
        self._window_samples = spec.window_samples
        if spec.parameters:
            raise SignalError(f"the vibration family takes no parameters, not {', '.join(spec.parameters)}")
        frequencies = positive_frequencies_hz(n_samples=spec.window_samples, sample_rate_hz=spec.sample_rate_hz)
        self._frequencies_hz = frequencies
        self._bins = np.arange(1, len(frequencies) + 1, dtype=np.float32)
        self._ones = np.ones_like(self._bins)
        self._first_high = int(np.searchsorted(frequencies, HIGH_FREQUENCY_HZ, side="right"))
        high_energies = [feature.name for feature in spec.features if feature.name in _HIGH_ENERGIES]
        if high_energies and self._first_high == len(frequencies):
            raise SignalError(
                f"{high_energies[0]} needs frequencies above {HIGH_FREQUENCY_HZ:g} Hz;"
                f" at {spec.sample_rate_hz:g} Hz there are none",
                hint=f"sample faster than {2 * HIGH_FREQUENCY_HZ:g} Hz",
            )
        spectral = (*range(_FIRST_SPECTRAL, _FIRST_SPECTRAL + _N_SPECTRAL), _HIGH_ENERGY_SUM)
        self._needs_spectrum = not set(spectral).isdisjoint(self._columns)

    def extract(self, samples: Samples) -> Extracted:
        """See `Extractor.extract`."""
        check_windows(samples, self._window_samples)
        if not samples.size:
            n_channels, n_windows, _ = samples.shape
            return np.empty((n_channels, n_windows, len(self._columns)), np.float32), np.empty(samples.shape[:2], bool)
        # A bad window must not warn for the good ones beside it: it is reported by `is_usable`.
        with np.errstate(invalid="ignore", divide="ignore", over="ignore", under="ignore"):
            return self._extract(samples)

    def _extract(self, samples: Samples) -> Extracted:
        if samples.strides[-1] != samples.itemsize:
            samples = np.ascontiguousarray(samples)
        moments = window_moments(samples)
        table = np.empty((len(VIBRATION_FEATURES), *samples.shape[:2]))
        _fill_time_domain(table, moments)
        if self._needs_spectrum:
            self._fill_spectral(table, samples, moments)
        values = np.moveaxis(table[self._columns], 0, -1).astype(np.float32, order="C")
        is_usable = np.isfinite(values).all(axis=-1) & (moments.highest > moments.lowest)
        is_usable &= np.isfinite(moments.s4)
        values[~is_usable] = np.nan
        return values, is_usable

    def _fill_spectral(self, table: NDArray[np.float64], samples: Samples, moments: Moments) -> None:
        """Rows of `table`: the four spectral features and the energy sum."""
        n_channels, n_windows = samples.shape[:2]
        pivot = _pivot(moments)[..., np.newaxis]
        scale = _scale(moments)
        sums = np.empty((5, n_channels, n_windows), np.float32)
        largest = np.empty((n_channels, n_windows), np.intp)
        for block in blocks_of(samples.shape):
            centred = samples[block] - pivot[block] if pivot[block].any() else samples[block]
            if scale is not None:
                centred = centred * scale[block][..., np.newaxis]
            self._block_spectra(centred, sums[(slice(None), *block)], largest[block])
        total, weighted, low, high, highest = sums.astype(np.float64)
        unscaled = 1.0 if scale is None else 1.0 / scale.astype(np.float64)
        frequency, amplitude, centroid, ratio = table[_FIRST_SPECTRAL : _FIRST_SPECTRAL + _N_SPECTRAL]
        frequency[...] = self._frequencies_hz[largest]
        amplitude[...] = highest * unscaled
        centroid[...] = self._frequencies_hz[0] * (weighted / total)
        ratio[...] = high / (low + high)
        table[_HIGH_ENERGY_SUM] = high * unscaled * unscaled

    def _block_spectra(self, centred: Samples, sums: Samples, largest: NDArray[np.intp]) -> None:
        """Rows of `sums`: sum |X|, sum k |X|, sum |X|^2 up to 1000 Hz, above 1000 Hz, max |X|; `largest` is its bin."""
        spectrum = scipy.fft.rfft(centred, axis=-1, workers=1)
        magnitude = np.abs(spectrum)[..., 1 : 1 + len(self._bins)]
        low, high = magnitude[..., : self._first_high], magnitude[..., self._first_high :]
        np.vecdot(magnitude, self._ones, out=sums[0])
        np.vecdot(magnitude, self._bins, out=sums[1])
        np.vecdot(low, low, out=sums[2])
        np.vecdot(high, high, out=sums[3])
        np.argmax(magnitude, axis=-1, out=largest)
        # Looked up, not searched a second time: a quarter of a microsecond per window.
        sums[4] = magnitude[(*np.indices(largest.shape, sparse=True), largest)]


def window_moments(samples: Samples) -> Moments:
    """Return moments of each window, shape (n_channels, n_windows, n) -> arrays of shape (n_channels, n_windows)."""
    n_channels, n_windows, n = samples.shape
    channel_stride, window_stride, sample_stride = samples.strides
    half = n // 2
    half_stride = half * sample_stride
    if n % 2 == 0 and (n_windows == 1 or window_stride == half_stride):
        strides = (channel_stride, half_stride, sample_stride)
        halves = as_strided(samples, (n_channels, n_windows + 1, half), strides, writeable=False)
        return shared_halves(half_moments(halves))
    return merged(half_moments(samples[..., :half]), half_moments(samples[..., half:]))


def _fill_time_domain(table: NDArray[np.float64], m: Moments) -> None:
    m2, m3, m4 = m.s2 / m.n, m.s3 / m.n, m.s4 / m.n
    rms, std = m.rms, m.std
    rows: dict[str, Column] = {
        "rms": rms,
        "peak_to_peak": m.highest - m.lowest,
        "kurtosis": m4 / (m2 * m2) - 3.0,
        "skewness": m3 / (m2 * std),
        "std": std,
        "crest_factor": m.peak / rms,
        "mean": m.mean,
    }
    for name, row in rows.items():
        table[VIBRATION_FEATURES.index(name)] = row


def _pivot(m: Moments) -> Samples:
    """What to subtract before the transform: the mean where it is larger than the signal, else nothing.

    The offset is in no bin we look at, but its rounding errors would be in all of them. x - 0 is x bit for bit, so a
    window does not depend on what its neighbours need.
    """
    return np.where(m.mean * m.mean > m.s2 / m.n, m.mean, 0.0).astype(np.float32)


def _scale(m: Moments) -> Samples | None:
    """A power of two for each window whose squared spectrum would leave float32, 1 for the others; None if none would.

    Times a power of two is exact, so a window does not depend on what its neighbours need.
    """
    spread = m.highest - m.lowest
    is_ordinary = (spread > _SAFE_SPREAD_MIN) & (spread < _SAFE_SPREAD_MAX)
    if is_ordinary.all():
        return None
    _, exponent = np.frexp(np.where(is_ordinary | ~np.isfinite(spread) | (spread == 0), 0.5, spread))
    return np.asarray(np.ldexp(np.float32(1), -np.clip(exponent, -_MAX_EXPONENT, _MAX_EXPONENT)), dtype=np.float32)


FAMILY: Final = FeatureFamily(
    name=NAME,
    title="The platform's vibration features",
    about="What the platform's vibration champions were trained on, with its odd choices (no taper, amplitudes not"
    " divided by n). Windows of 2,048 samples.",
    build=VibrationExtractor,
    formulas=FORMULAS,
    default_features=("rms", "peak_to_peak", "crest_factor", "kurtosis"),
    reports_max=frozenset({"peak_to_peak", "crest_factor", "kurtosis"}),
    proof_tolerance=ProofTolerance(feature_rtol=3e-6, feature_atol_std=3e-5),
    example=Example(2_048),
)
