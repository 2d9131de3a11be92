"""The statistics of samples in time that condition monitoring names, of many windows at once, in float32.

Constraints
- The numbers of a window are the same bits whatever batch it comes in.
- The moments are those of `moments`, shared by half-overlapping windows: an offset costs no accuracy.
- Every factor is of the samples as they come, with DC. Where gravity or a 4-20 mA bias is in them, the factors, rms
  and zero crossings are the bias's, not the vibration's: prefer std, kurtosis and skewness there.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.core.samples import Samples
from edge_agent.dsp.families.vibration import window_moments
from edge_agent.dsp.family_base.family import Example, Extracted, FeatureFamily, Formula
from edge_agent.dsp.family_base.parameters import Parameters
from edge_agent.dsp.family_base.windows import answer, check_sampling, check_windows, columns_of, no_windows
from edge_agent.dsp.kernels.moments import Column, Moments, blocks_of, sum_products

NAME: Final = "time_domain"
_STATISTICS: Final = "scipy.stats and NumPy"
_FACTORS: Final = "Lei, He and Zi, Expert Systems with Applications 35 (2008)"

_CROSSINGS: Final = (
    "pairs of neighbours of which exactly one is below zero (zero itself is not), divided by (n - 1) / sample rate:"
    " 2 f for a sine of f Hz; with DC"
)

FORMULAS: Final = tuple(
    Formula(NAME, name, 1, unit, definition, source, rtol, atol)
    for name, unit, definition, source, rtol, atol in (
        ("mean", "signal", "sum(x) / n; atol is for an rms up to 1 and grows with it", _STATISTICS, 1e-6, 1e-7),
        ("rms", "signal", "sqrt(sum(x^2) / n), with DC", _STATISTICS, 1e-6, 0.0),
        ("std", "signal", "sqrt(sum((x - mean)^2) / n)", _STATISTICS, 1e-6, 0.0),
        ("peak", "signal", "max |x|, with DC", _STATISTICS, 1e-6, 0.0),
        ("peak_to_peak", "signal", "max x - min x", _STATISTICS, 1e-6, 0.0),
        ("crest_factor", "", "max |x| / rms", _FACTORS, 1e-6, 0.0),
        ("kurtosis_fisher", "", "m4 / m2^2 - 3, biased: 0 for a normal distribution", _STATISTICS, 5e-6, 15e-6),
        ("kurtosis_pearson", "", "m4 / m2^2, biased: 3 for a normal distribution", _STATISTICS, 5e-6, 0.0),
        ("skewness", "", "m3 / m2^1.5, biased", _STATISTICS, 2e-6, 2e-5),
        ("shape_factor", "", "rms / mean |x|", _FACTORS, 1e-6, 0.0),
        ("impulse_factor", "", "max |x| / mean |x|", _FACTORS, 1e-6, 0.0),
        ("margin_factor", "", "max |x| / (mean sqrt |x|)^2; also called clearance factor", _FACTORS, 2e-6, 0.0),
        (
            "zero_crossing_rate",
            "1/s",
            _CROSSINGS,
            "librosa.zero_crossings with zero_pos and no threshold",
            1e-6,
            0.0,
        ),
        ("mean_abs", "signal", "sum |x| / n", _STATISTICS, 1e-6, 0.0),
    )
)

_OF_MAGNITUDES: Final = ("shape_factor", "impulse_factor", "margin_factor", "mean_abs")

_PIECE: Final = 512
"""Magnitudes all add up: with 2,048 at a time the margin factor is 2.4e-6 off on a processor without wide registers."""

_SAFE_SUM_MAX: Final = 1e30
"""A piece of samples of this size adds up within float32; larger ones are added in float64."""


class TimeDomainExtractor:
    """Any of `FORMULAS`, in any order; the family has no parameters.

    Raises
    ------
    SignalError
        If the sample rate is none, the window has fewer than four samples, or a feature is not of this family.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        columns_of(spec.features, FORMULAS)
        Parameters(NAME, spec.parameters, known=())
        check_sampling(NAME, window_samples=spec.window_samples, sample_rate_hz=spec.sample_rate_hz)
        names = [feature.name for feature in spec.features]
        self.features: tuple[FeatureId, ...] = spec.features
        self._names = names
        self._window_samples = spec.window_samples
        self._pairs_s = (spec.window_samples - 1) / spec.sample_rate_hz
        self._needs_magnitudes = any(name in _OF_MAGNITUDES for name in names)
        self._needs_crossings = "zero_crossing_rate" in names

    def extract(self, samples: Samples) -> Extracted:
        """See `Extractor.extract`."""
        check_windows(samples, self._window_samples)
        if not samples.size:
            return no_windows(samples, len(self._names))
        if samples.strides[-1] != samples.itemsize:
            samples = np.ascontiguousarray(samples)
        # A bad window must not warn for the good ones beside it: it is reported by `is_usable`.
        with np.errstate(invalid="ignore", divide="ignore", over="ignore", under="ignore"):
            moments = window_moments(samples)
            columns = _moment_columns(moments)
            if self._needs_magnitudes:
                columns |= self._magnitude_columns(samples, columns)
            if self._needs_crossings:
                columns["zero_crossing_rate"] = _crossings(samples) / self._pairs_s
            is_varying = (moments.highest > moments.lowest) & np.isfinite(moments.s4)
            return answer(np.stack([columns[name] for name in self._names], axis=-1), is_varying=is_varying)

    def _magnitude_columns(self, samples: Samples, columns: dict[str, Column]) -> dict[str, Column]:
        peak, rms = columns["peak"], columns["rms"]
        sums = np.empty((2, *samples.shape[:2]))
        ones = np.ones(samples.shape[-1], np.float32)
        for block in blocks_of(samples.shape):
            magnitude = np.abs(samples[block])
            sum_products(magnitude, ones, sums[(0, *block)], piece=_PIECE)
            np.sqrt(magnitude, out=magnitude)
            sum_products(magnitude, ones, sums[(1, *block)], piece=_PIECE)
        mean_abs, mean_root = sums / self._window_samples
        huge = peak > _SAFE_SUM_MAX
        if huge.any():
            mean_abs[huge] = np.abs(samples[huge].astype(np.float64)).mean(axis=-1)
        return {
            "mean_abs": mean_abs,
            "shape_factor": rms / mean_abs,
            "impulse_factor": peak / mean_abs,
            "margin_factor": peak / (mean_root * mean_root),
        }


def _moment_columns(m: Moments) -> dict[str, Column]:
    m2, m3, m4 = m.s2 / m.n, m.s3 / m.n, m.s4 / m.n
    rms, std, peak = m.rms, m.std, m.peak
    kurtosis = m4 / (m2 * m2)
    return {
        "mean": m.mean,
        "rms": rms,
        "std": std,
        "peak": peak,
        "peak_to_peak": m.highest - m.lowest,
        "crest_factor": peak / rms,
        "kurtosis_fisher": kurtosis - 3.0,
        "kurtosis_pearson": kurtosis,
        "skewness": m3 / (m2 * std),
    }


def _crossings(samples: Samples) -> NDArray[np.int64]:
    """Changes of sign inside each window, shape (n_channels, n_windows, n) -> (n_channels, n_windows)."""
    counts = np.empty(samples.shape[:2], np.int64)
    for block in blocks_of(samples.shape):
        is_negative = samples[block] < 0
        has_changed = is_negative[..., 1:] ^ is_negative[..., :-1]
        # Eight flags a byte, then the bits of each: half the time of counting flags.
        np.sum(np.bitwise_count(np.packbits(has_changed, axis=-1)), axis=-1, dtype=np.int64, out=counts[block])
    return counts


FAMILY: Final = FeatureFamily(
    name=NAME,
    title="Statistics in time",
    about="Windows of 2,048 samples.",
    build=TimeDomainExtractor,
    formulas=FORMULAS,
    default_features=("rms", "peak", "crest_factor", "kurtosis_fisher"),
    reports_max=frozenset(
        {"peak", "peak_to_peak", "crest_factor", "impulse_factor", "kurtosis_fisher", "kurtosis_pearson"}
    ),
    example=Example(2_048),
)
