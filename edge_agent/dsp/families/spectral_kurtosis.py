"""Where in the spectrum a signal is impulsive: spectral kurtosis, and the band it suggests for envelope analysis.

K(f) = <|X(t, f)|^4> / <|X(t, f)|^2>^2 - 2 over short Hann-tapered frames t that overlap by three quarters: 0 for
stationary noise, -1 for a steady tone, large where short bursts stand above the floor.

Constraints
- The two lowest and two highest bins are left out: there X is real or nearly so, and noise alone gives 1.
- A frame must be shorter than the time between two bursts, or they melt into a steady line; and there must be many
  frames: K of noise scatters by 2 / sqrt(their number). So bands are compared over frames of several lengths.

Source: J. Antoni, "The spectral kurtosis: a useful tool for characterising non-stationary signals", Mechanical Systems
and Signal Processing 20 (2006) 282-307; J. Antoni, R. B. Randall, the same volume, 308-331 (the kurtogram).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.core.samples import Samples
from edge_agent.dsp.family_base.family import Example, Extracted, FeatureFamily, Formula
from edge_agent.dsp.family_base.parameters import Parameters
from edge_agent.dsp.family_base.windows import Row, Window, check_sampling, check_windows, columns_of, each_window
from edge_agent.dsp.kernels.hann_spectrum import hann
from edge_agent.errors import SignalError

NAME: Final = "spectral_kurtosis"
_SOURCE: Final = "Antoni, The spectral kurtosis, MSSP 20 (2006)"
_DEFINITION: Final = (
    "max over f of <|X|^4> / <|X|^2>^2 - 2, periodic Hann frames of frame_samples, hop a quarter, two bins at each"
    " end left out"
)

FORMULAS: Final = (
    Formula(NAME, "spectral_kurtosis_max", 1, "", _DEFINITION, _SOURCE, 1e-6, 2e-6),
    Formula(NAME, "spectral_kurtosis_max_hz", 1, "Hz", f"f of the {_DEFINITION}", _SOURCE, 1e-6),
)

_PARAMETERS: Final = ("frame_samples",)

MIN_FRAME_SAMPLES: Final = 16
MIN_FRAME_LENGTHS: Final = 16
"""Frame lengths a window must hold: with fewer, noise reads 0.5 and more."""

BAND_FRAMES: Final = (16, 32, 64, 128, 256, 512)
"""Frame lengths that are compared to choose a band: half as wide each time."""
_BAND_FRAME_LENGTHS: Final = 64
_DOUBT: Final = 3.0
"""Standard deviations of noise's kurtosis that are taken off before bands are compared: narrow bands have few frames,
and the highest of many narrow bands of plain noise would win."""

_BLOCK_SAMPLES: Final = 131_072
"""Frames are worked on a megabyte at a time: a recording of minutes must not need its size fourfold."""

_SKIPPED_BINS: Final = 2
_HOP_DIVISOR: Final = 4
_HALF_WIDTH_BINS: Final = 1.0
"""A Hann taper is 6 dB down one bin beside its centre."""


class ImpulsiveBand(NamedTuple):
    """A band and the spectral kurtosis in it."""

    low_hz: float
    high_hz: float
    kurtosis: float


class SpectralKurtosisExtractor:
    """The largest spectral kurtosis and where it is. Parameter: frame_samples (128).

    Raises
    ------
    SignalError
        If frames are too short to have a spectrum, or the window holds too few of them.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        parameters = Parameters(NAME, spec.parameters, known=_PARAMETERS)
        frame = parameters.whole("frame_samples", 128, at_least=MIN_FRAME_SAMPLES)
        check_sampling(NAME, window_samples=spec.window_samples, sample_rate_hz=spec.sample_rate_hz)
        if spec.window_samples < MIN_FRAME_LENGTHS * frame:
            raise SignalError(
                f"a window of {spec.window_samples} samples holds too few frames of {frame} for a kurtosis",
                hint=f"use windows of at least {MIN_FRAME_LENGTHS * frame} samples, or shorter frames",
            )
        self.features: tuple[FeatureId, ...] = spec.features
        self._columns = columns_of(spec.features, FORMULAS)
        self._window_samples = spec.window_samples
        self._frame = frame
        self._bin_hz = spec.sample_rate_hz / frame

    def extract(self, samples: Samples) -> Extracted:
        """See `Extractor.extract`."""
        check_windows(samples, self._window_samples)
        return each_window(samples, len(self._columns), lambda window, _at: self._window_features(window))

    def _window_features(self, window: Window) -> Row:
        kurtosis = spectral_kurtosis(window, frame_samples=self._frame)
        best = int(np.argmax(kurtosis))
        return np.array([kurtosis[best], (best + _SKIPPED_BINS) * self._bin_hz])[self._columns]


def spectral_kurtosis(samples: NDArray[np.floating], *, frame_samples: int) -> NDArray[np.float64]:
    """Return K of bins 2 to n_bins - 3 of frames of this length, shape (n,) -> (frame_samples // 2 - 3,).

    Scale-free. NaN where a bin is zero in every frame.
    """
    centred = samples.astype(np.float64) - np.mean(samples, dtype=np.float64)
    frames = sliding_window_view(centred, frame_samples)[:: frame_samples // _HOP_DIVISOR]
    taper = hann(frame_samples)
    sums = np.zeros((2, frame_samples // 2 + 1 - 2 * _SKIPPED_BINS))
    for first in range(0, len(frames), _BLOCK_SAMPLES // frame_samples):
        block = frames[first : first + _BLOCK_SAMPLES // frame_samples] * taper
        spectrum = scipy.fft.rfft(block, axis=-1, overwrite_x=True, workers=1)[:, _SKIPPED_BINS:-_SKIPPED_BINS]
        power = spectrum.real**2 + spectrum.imag**2
        sums += power.sum(axis=0), (power * power).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        return np.asarray(len(frames) * sums[1] / sums[0] ** 2 - 2.0)


def choose_band(
    samples: NDArray[np.floating], sample_rate_hz: float, *, min_bandwidth_hz: float = 0.0
) -> ImpulsiveBand:
    """Return the most impulsive band of one channel, for setting up envelope analysis; not for every window.

    Parameters
    ----------
    samples : floating ndarray [shape=(n,)], finite, not constant
        A second or more of the machine under load, with the fault if there is one.
    min_bandwidth_hz : float
        Wider than the highest envelope line that is to be seen: three harmonics of BPFI, say.

    Raises
    ------
    SignalError
        If samples are not finite, constant, or too few; or no band of that width is below the Nyquist frequency.
    """
    _check_record(samples, sample_rate_hz)
    frames = [
        frame
        for frame in BAND_FRAMES
        if len(samples) >= _BAND_FRAME_LENGTHS * frame and _width_hz(sample_rate_hz, frame) >= min_bandwidth_hz
    ]
    if not frames:
        raise SignalError(
            f"no band of {min_bandwidth_hz:g} Hz can be compared at {sample_rate_hz:g} Hz:"
            f" the widest is {_width_hz(sample_rate_hz, BAND_FRAMES[0]):g} Hz"
        )
    bands = [_best_band(samples, sample_rate_hz, frame) for frame in frames]
    certain = [
        band.kurtosis - _DOUBT * 2.0 / np.sqrt(len(samples) / frame) for band, frame in zip(bands, frames, strict=True)
    ]
    return bands[int(np.argmax(certain))]


def _best_band(samples: NDArray[np.floating], sample_rate_hz: float, frame: int) -> ImpulsiveBand:
    # A bin with nothing in it at any time is as steady as can be.
    kurtosis = np.nan_to_num(spectral_kurtosis(samples, frame_samples=frame), nan=-1.0)
    index = int(np.argmax(kurtosis))
    centre_hz = (index + _SKIPPED_BINS) * sample_rate_hz / frame
    half_width_hz = _width_hz(sample_rate_hz, frame) / 2
    return ImpulsiveBand(centre_hz - half_width_hz, centre_hz + half_width_hz, float(kurtosis[index]))


def _width_hz(sample_rate_hz: float, frame: int) -> float:
    return 2.0 * _HALF_WIDTH_BINS * sample_rate_hz / frame


def _check_record(samples: NDArray[np.floating], sample_rate_hz: float) -> None:
    shortest = BAND_FRAMES[0] * _BAND_FRAME_LENGTHS
    if samples.ndim != 1 or len(samples) < shortest:
        raise SignalError(f"a band is chosen from one channel of at least {shortest} samples, not {samples.shape}")
    check_sampling("choosing a band", window_samples=len(samples), sample_rate_hz=sample_rate_hz)
    if not np.isfinite(samples).all():
        raise SignalError("a band cannot be chosen: not every sample is finite")
    if samples.max() == samples.min():
        raise SignalError("a band cannot be chosen: the recording is a flat line")


FAMILY: Final = FeatureFamily(
    name=NAME,
    title="Spectral kurtosis",
    about="Where a signal is impulsive; `choose_band` uses it to set up the envelope. Parameter: `frame_samples` (128)."
    " Windows of one second.",
    build=SpectralKurtosisExtractor,
    formulas=FORMULAS,
    parameters=_PARAMETERS,
    default_features=("spectral_kurtosis_max", "spectral_kurtosis_max_hz"),
    reports_max=frozenset({"spectral_kurtosis_max"}),
    example=Example(20_480),
)
