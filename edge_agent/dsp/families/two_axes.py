"""The platform's features of one bearing in two axes: two neighbouring channels of a burst make one row.

Constraints
- Statistics in time are of the whole burst; those of the spectrum are of the slice of at most 2,048 samples that
  begins at a quarter of it, without taper, its bins from DC to below Nyquist. DC is a bin like any other: an offset
  can be the strongest line and pulls the centroid down. High-frequency energy is a sum, not a share, so it and the
  amplitude grow with the slice.
- A pair is computed alone and in float64, so its bits cannot depend on what stands beside it in a batch.
- A pair with a bad axis has no features: neither axis is guessed from the other.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy.fft

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.core.samples import Samples
from edge_agent.dsp.family_base.family import Extracted, FeatureFamily, Formula
from edge_agent.dsp.family_base.windows import Row, Window, check_sampling, check_windows, columns_of
from edge_agent.dsp.kernels import statistics
from edge_agent.dsp.kernels.magnitude_spectrum import HIGH_FREQUENCY_HZ
from edge_agent.errors import SignalError

NAME: Final = "vibration_two_axes"
AXES: Final = ("h", "v")
SLICE_SAMPLES: Final = 2_048

_SOURCE: Final = "platform two-axis vibration champion"
_OF_ONE_AXIS: Final = (
    ("rms", "signal", "sqrt(sum(x^2) / n), with DC"),
    ("peak_to_peak", "signal", "max x - min x"),
    ("kurtosis", "", "m4 / m2^2 - 3, biased (Fisher: 0 for a normal distribution)"),
    ("skewness", "", "m3 / m2^1.5, biased"),
    ("std", "signal", "sqrt(sum((x - mean)^2) / n)"),
    ("mean", "signal", "sum(x) / n"),
    ("crest_factor", "", "max |x| / rms"),
    ("dominant_frequency", "Hz", "frequency of the largest |FFT| bin of the slice, DC included"),
    ("dominant_amplitude", "signal", "the largest |FFT| of the slice, DC included, not divided by n"),
    ("spectral_centroid", "Hz", "sum(f |X|) / sum(|X|) of the slice, DC included"),
    ("high_freq_energy", "signal^2", "sum(|X|^2, f > 1000 Hz) of the slice, not divided by n"),
)
_ATOL: Final = {"kurtosis": 1e-9, "skewness": 1e-9}
_AXIS_WORDS: Final = {"h": "first channel of the pair", "v": "second channel of the pair"}

FORMULAS: Final = tuple(
    Formula(NAME, f"{axis}_{name}", 1, unit, f"{definition}; {_AXIS_WORDS[axis]}", _SOURCE, 1e-6, _ATOL.get(name, 0.0))
    for axis in AXES
    for name, unit, definition in _OF_ONE_AXIS
)
"""Horizontal, then vertical, in the order of the platform's columns. Values are float64 rounded once to float32."""


class TwoAxisExtractor:
    """Any of `FORMULAS`, in any order; no parameters. Samples (2k, windows, n) give values (k, windows, features).

    Raises
    ------
    SignalError
        If the sample rate or the window cannot carry these features, a feature or parameter is unknown, or the
        channels do not come in pairs.
    """

    channels_per_row: Final = len(AXES)

    def __init__(self, spec: FeatureSpec) -> None:
        self.features: tuple[FeatureId, ...] = spec.features
        self._columns = columns_of(spec.features, FORMULAS)
        self._window_samples = spec.window_samples
        if spec.parameters:
            raise SignalError(f"{NAME} takes no parameters, not {', '.join(spec.parameters)}")
        check_sampling(NAME, window_samples=spec.window_samples, sample_rate_hz=spec.sample_rate_hz)
        self._start = spec.window_samples // 4
        n_slice = min(SLICE_SAMPLES, spec.window_samples - self._start)
        self._frequencies_hz = np.arange(n_slice // 2) * (spec.sample_rate_hz / n_slice)
        self._is_high = self._frequencies_hz > HIGH_FREQUENCY_HZ
        if not self._is_high.any():
            raise SignalError(
                f"{NAME} needs frequencies above {HIGH_FREQUENCY_HZ:g} Hz; at {spec.sample_rate_hz:g} Hz there are"
                " none",
                hint=f"sample faster than {2 * HIGH_FREQUENCY_HZ:g} Hz",
            )

    def extract(self, samples: Samples) -> Extracted:
        """See `Extractor.extract`."""
        check_windows(samples, self._window_samples)
        n_channels, n_windows, _ = samples.shape
        if n_channels % self.channels_per_row:
            raise SignalError(
                f"{NAME} takes channels in pairs, horizontal and vertical of one bearing; there are {n_channels}",
                hint="give an even number of channels, the two axes of a bearing beside each other",
            )
        pairs = (n_channels // self.channels_per_row, n_windows)
        values = np.full((*pairs, len(self._columns)), np.nan, np.float32)
        is_usable = np.zeros(pairs, np.bool_)
        # A bad pair must not warn for the good ones beside it: it is reported by `is_usable`.
        with np.errstate(all="ignore"):
            for pair, window in np.ndindex(*pairs):
                first = pair * self.channels_per_row
                axes = samples[first : first + self.channels_per_row, window].astype(np.float64)
                lowest, highest = axes.min(axis=-1), axes.max(axis=-1)
                if not (np.isfinite(lowest) & np.isfinite(highest) & (highest > lowest)).all():
                    continue
                row = self._row(axes)
                if np.isfinite(row).all():
                    values[pair, window] = row
                    is_usable[pair, window] = True
        return values, is_usable

    def _row(self, axes: Window) -> Row:
        """Both axes (2, n) to (n_features,) as float32; not finite somewhere when a feature is undefined."""
        return np.concatenate([self._axis(axis) for axis in axes])[self._columns].astype(np.float32)

    def _axis(self, x: Window) -> Row:
        return np.array(
            [
                statistics.rms(samples=x),
                statistics.peak_to_peak(samples=x),
                statistics.kurtosis_fisher(samples=x),
                statistics.skewness(samples=x),
                statistics.std(samples=x),
                statistics.mean(samples=x),
                statistics.crest_factor(samples=x),
                *self._spectral(x[self._start : self._start + SLICE_SAMPLES]),
            ]
        )

    def _spectral(self, x: Window) -> tuple[float, float, float, float]:
        magnitude = np.abs(scipy.fft.rfft(x, workers=1))[: len(self._frequencies_hz)]
        strongest = int(np.argmax(magnitude))
        high = magnitude[self._is_high]
        # NumPy's scalars: a slice of zeros has a centroid of NaN, where Python's floats would raise.
        centroid = (self._frequencies_hz @ magnitude) / magnitude.sum()
        return float(self._frequencies_hz[strongest]), float(magnitude[strongest]), float(centroid), float(high @ high)


FAMILY: Final = FeatureFamily(
    name=NAME,
    title="The platform's two-axis vibration features",
    about="Two neighbouring channels, horizontal and vertical of one bearing, make one row; an odd number of channels"
    " is refused. The spectrum is that of at most 2,048 samples from a quarter of the burst on.",
    build=TwoAxisExtractor,
    formulas=FORMULAS,
)
