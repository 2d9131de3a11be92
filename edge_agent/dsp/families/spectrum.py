"""The spectrum family: power spectra of windows in physical units, and what is read off them, in float32.

Constraints
- The numbers of a window are the same bits whatever batch it comes in.
- Only what is asked for is computed: a group of formulas that no feature of the spec needs costs nothing.
- The mean is taken out before the taper, so an offset of 4000 standard deviations costs no accuracy.

Unlike the vibration family, which keeps the platform's |FFT| of the raw window, amplitudes here do not depend on the
window's length, and the spectrum is that of `scipy.signal.welch`.

A float32 transform rounds every bin by some 1e-7 of the rms of the whole window, so what stands far below the rest is
less exact than its own size suggests: the flatness, which hangs on the quietest bins, most of all. An `atol` in the
unit of the signal is for an rms up to 1, and grows with it; that in Hz is for 20 kHz, and grows with the rate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.core.samples import Samples
from edge_agent.dsp.family_base.family import Example, Extracted, FeatureFamily, Formula
from edge_agent.dsp.family_base.parameters import Parameters
from edge_agent.dsp.family_base.windows import answer, check_sampling, check_windows, columns_of, no_windows
from edge_agent.dsp.kernels import spectral_lines, spectrum_shape
from edge_agent.dsp.kernels.magnitude_spectrum import MIN_SAMPLES
from edge_agent.dsp.kernels.moments import blocks_of
from edge_agent.dsp.kernels.periodogram import HANN, TAPERS, Periodogram, PowerSpectra
from edge_agent.dsp.kernels.spectrum_shape import Columns, band_edges
from edge_agent.errors import SignalError

NAME: Final = "spectrum"
MAX_BANDS: Final = 16
MAX_PEAKS: Final = 16
MAX_HARMONICS: Final = 64

_WELCH: Final = "scipy.signal.periodogram and welch, detrend constant"
_PEETERS: Final = "Peeters, A large set of audio features, IRCAM (2004), with the power as weight"
_LINES: Final = "scipy.signal.periodogram and welch, scaling spectrum"

SIZE_AND_PLACE: Final = ("total_power", "spectral_centroid", "spectral_spread")
ROLLOFF: Final = ("spectral_rolloff",)
EVENNESS: Final = ("spectral_flatness", "spectral_entropy")
DOMINANT: Final = ("dominant_frequency_hz", "dominant_amplitude")
HARMONICS: Final = ("harmonic_ratio", "total_harmonic_distortion")
BANDS: Final = tuple(f"{kind}_{number}" for number in range(1, MAX_BANDS + 1) for kind in ("band_rms", "band_ratio"))
PEAKS: Final = tuple(
    f"peak_{number}_{kind}" for number in range(1, MAX_PEAKS + 1) for kind in ("frequency_hz", "amplitude")
)


def _formula(name: str, unit: str, definition: str, source: str, rtol: float, atol: float = 0.0) -> Formula:
    return Formula(NAME, name, 1, unit, definition, source, rtol, atol)


_UNNUMBERED: Final = (
    _formula("total_power", "signal^2", "sum P; P = PSD * df, DC out: the variance if untapered", _WELCH, 2e-6),
    _formula("spectral_centroid", "Hz", "sum(f P) / sum P", _PEETERS, 2e-6),
    _formula("spectral_spread", "Hz", "sqrt(sum((f - centroid)^2 P) / sum P)", _PEETERS, 2e-6, 2e-3),
    _formula(
        "spectral_rolloff",
        "Hz",
        "lowest f up to which rolloff_fraction of sum P lies; the next bin where that is reached to within rounding",
        "librosa.feature.spectral_rolloff, with the power as weight",
        1e-6,
    ),
    _formula(
        "spectral_flatness",
        "",
        "exp(mean ln P) / mean P, each P at least 1e-10 of the mean",
        "librosa.feature.spectral_flatness, with a floor that follows the signal",
        1e-4,
        1e-9,
    ),
    _formula(
        "spectral_entropy",
        "",
        "-sum(p ln p) / ln(bins), p = P / sum P: 0 for a line, 1 for equal bins",
        "Inouye et al., Electroencephalogr. Clin. Neurophysiol. 79 (1991)",
        0.0,
        1e-6,
    ),
    _formula("dominant_frequency_hz", "Hz", "f of the largest line strictly between DC and Nyquist", _LINES, 1e-6),
    _formula("dominant_amplitude", "signal", "2 |X| / sum(taper) there: A for a sine of A on a bin", _LINES, 2e-6),
    _formula(
        "harmonic_ratio",
        "",
        "sum of P over the dominant line, its harmonics up to order `harmonics`, and one line to each side of each,"
        " counted once / sum P; harmonics above Nyquist are none",
        "this project",
        5e-6,
    ),
    _formula(
        "total_harmonic_distortion",
        "",
        "sqrt(sum of A_h^2, h = 2..harmonics) / A_1 of the dominant line; A_h is the largest amplitude within"
        " ceil(h / 2) lines of h f_1, no further than half way to the next; harmonics above Nyquist are none",
        "IEEE Std 1241, THD with the fundamental as reference",
        5e-6,
        1e-7,
    ),
)


def _band_formula(name: str) -> Formula:
    if name.startswith("band_rms"):
        return _formula(name, "signal", "sqrt(sum of P over the band of bands_hz with this number)", _WELCH, 2e-6, 1e-7)
    return _formula(name, "", "sum of P over the band of bands_hz with this number / sum P", _WELCH, 2e-6, 2e-8)


def _peak_formula(name: str) -> Formula:
    if name.endswith("_hz"):
        return _formula(name, "Hz", "f of the local maximum with this rank; of equals the lowest f first", _LINES, 1e-6)
    return _formula(name, "signal", "its amplitude, as dominant_amplitude", _LINES, 2e-6, 1e-7)


FORMULAS: Final = (*_UNNUMBERED, *map(_band_formula, BANDS), *map(_peak_formula, PEAKS))

WINDOW: Final = "window"
WELCH: Final = "welch"

_PARAMETERS: Final = ("taper", "method", "segment_samples", "bands_hz", "rolloff_fraction", "n_peaks", "harmonics")
_BAND: Final = re.compile(r"\s*(\d+(?:\.\d*)?)\s*-\s*(\d+(?:\.\d*)?)\s*")


@dataclass(frozen=True, slots=True)
class Band:
    """From `low_hz` up to but not including `high_hz`; a band that ends at the Nyquist frequency includes it."""

    low_hz: float
    high_hz: float

    def __str__(self) -> str:
        return f"{self.low_hz:g}-{self.high_hz:g}"


@dataclass(frozen=True, slots=True)
class SpectrumParameters:
    """`segment_samples` is the window's length unless the method is Welch's. `harmonics` is the highest order."""

    taper: str
    segment_samples: int
    bands: tuple[Band, ...]
    rolloff_fraction: float
    n_peaks: int
    harmonics: int


def read_parameters(
    values: Mapping[str, float | int | str | bool], *, window_samples: int, sample_rate_hz: float
) -> SpectrumParameters:
    """Return the parameters of a spec. Raises SignalError naming the parameter, or the band, that cannot be had."""
    parameters = Parameters(NAME, values, known=_PARAMETERS)
    return SpectrumParameters(
        taper=parameters.choice("taper", HANN, known=TAPERS),
        segment_samples=_segment(parameters, window_samples),
        bands=_bands(values.get("bands_hz", ""), sample_rate_hz / 2.0),
        rolloff_fraction=_fraction(parameters, "rolloff_fraction", 0.85),
        n_peaks=_whole(parameters, "n_peaks", 5, at_least=1, at_most=MAX_PEAKS),
        harmonics=_whole(parameters, "harmonics", 5, at_least=2, at_most=MAX_HARMONICS),
    )


def _segment(parameters: Parameters, window_samples: int) -> int:
    if parameters.choice("method", WINDOW, known=(WINDOW, WELCH)) == WELCH:
        return _whole(parameters, "segment_samples", None, at_least=MIN_SAMPLES, at_most=window_samples)
    if "segment_samples" in parameters:
        raise SignalError(f"{NAME}: segment_samples is for the method {WELCH}", hint="leave it out, or ask for welch")
    return window_samples


def _bands(text: float | str, nyquist_hz: float) -> tuple[Band, ...]:
    if not isinstance(text, str):
        raise SignalError(f"{NAME}: bands_hz must be text like 10-1000,1000-5000, not {text!r}")
    bands = tuple(_band(part, nyquist_hz) for part in text.split(",")) if text.strip() else ()
    if len(bands) > MAX_BANDS:
        raise SignalError(f"{NAME}: bands_hz names {len(bands)} bands; at most {MAX_BANDS} are computed")
    for lower, upper in pairwise(sorted(bands, key=lambda band: (band.low_hz, band.high_hz))):
        if upper.low_hz < lower.high_hz:
            raise SignalError(f"{NAME}: the bands {lower} and {upper} Hz overlap", hint="energy would count twice")
    return bands


def _band(text: str, nyquist_hz: float) -> Band:
    if (match := _BAND.fullmatch(text)) is None:
        raise SignalError(f"{NAME}: {text.strip()!r} in bands_hz is not a band", hint="write it as 10-1000, in Hz")
    band = Band(float(match[1]), float(match[2]))
    if not band.low_hz < band.high_hz:
        raise SignalError(f"{NAME}: the band {band} Hz does not rise", hint="write the lower frequency first")
    if band.high_hz > nyquist_hz:
        raise SignalError(
            f"{NAME}: the band {band} Hz ends above {nyquist_hz:g} Hz, half the sample rate",
            hint="sample faster, or end the band there",
        )
    return band


def _whole(parameters: Parameters, name: str, default: int | None, *, at_least: int, at_most: int) -> int:
    value = parameters.whole(name, default, at_least=at_least)
    if value > at_most:
        raise SignalError(f"{NAME}: {name} must be at most {at_most}, not {value}")
    return value


def _fraction(parameters: Parameters, name: str, default: float) -> float:
    value = parameters.positive(name, default)
    if value >= 1:
        raise SignalError(f"{NAME}: {name} must be below 1, not {value:g}")
    return value


_BLOCKS_AT_ONCE: Final = 4
"""A block's hundred small array operations take 250 us, whatever its size: 20 us per window of 2048 in blocks of 32
windows, 14 in blocks of 128, whose megabyte still fits an L2."""


class SpectrumExtractor:
    """Any of `FORMULAS`, in any order.

    Parameters of the spec
    ----------------------
    taper : "hann" (default) or "none"
    method : "window" (default: one periodogram) or "welch" (segments that overlap by half, mean of periodograms)
    segment_samples : length of Welch's segments; a rest of the window that fills none is left out
    bands_hz : up to 16 bands like "10-1000,1000-5000", which may touch and not overlap; band_rms_1 is of the first
    rolloff_fraction : 0.85
    n_peaks : how many peaks there are, up to 16 (5)
    harmonics : the highest order that counts, up to 64 (5)

    Raises
    ------
    SignalError
        Naming what cannot be had: a rate that is none, a window under four samples, a parameter, band or feature.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        columns_of(spec.features, FORMULAS)
        check_sampling(NAME, window_samples=spec.window_samples, sample_rate_hz=spec.sample_rate_hz)
        names = [feature.name for feature in spec.features]
        parameters = read_parameters(
            spec.parameters, window_samples=spec.window_samples, sample_rate_hz=spec.sample_rate_hz
        )
        _check_numbers(names, parameters)
        self.features: tuple[FeatureId, ...] = spec.features
        self._names = names
        self._window_samples = spec.window_samples
        self._periodogram = Periodogram(
            sample_rate_hz=spec.sample_rate_hz, segment_samples=parameters.segment_samples, taper=parameters.taper
        )
        self._groups = _groups(names, parameters, self._periodogram)

    def extract(self, samples: Samples) -> Extracted:
        """See `Extractor.extract`."""
        check_windows(samples, self._window_samples)
        if not samples.size:
            return no_windows(samples, len(self._names))
        if samples.strides[-1] != samples.itemsize:
            samples = np.ascontiguousarray(samples)
        values = np.empty((*samples.shape[:2], len(self._names)))
        is_varying = np.empty(samples.shape[:2], bool)
        # A bad window must not warn for the good ones beside it: it is reported by `is_usable`.
        with np.errstate(invalid="ignore", divide="ignore", over="ignore", under="ignore"):
            for block in blocks_of((*samples.shape[:2], -(-self._window_samples // _BLOCKS_AT_ONCE))):
                values[block], is_varying[block] = self._block(samples[block])
            return answer(values, is_varying=is_varying)

    def _block(self, block: Samples) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        lowest, highest = np.min(block, axis=-1), np.max(block, axis=-1)
        peak = np.maximum(highest, -lowest)
        spectra = self._periodogram.of(block, peak=peak.astype(np.float64))
        columns: Columns = {}
        for group in self._groups:
            columns |= group(spectra)
        values = np.stack([columns[name] for name in self._names], axis=-1).reshape(*peak.shape, -1)
        return values, (highest > lowest) & np.isfinite(peak)


def _groups(
    names: list[str], parameters: SpectrumParameters, periodogram: Periodogram
) -> list[Callable[[PowerSpectra], Columns]]:
    """What has to be computed for these names."""
    wanted = set(names)

    def needs(group: Iterable[str]) -> bool:
        return not wanted.isdisjoint(group)

    groups: list[Callable[[PowerSpectra], Columns]] = []
    if needs(SIZE_AND_PLACE):
        groups.append(spectrum_shape.size_and_place)
    if needs(EVENNESS):
        groups.append(spectrum_shape.evenness)
    if needs(ROLLOFF):
        groups.append(partial(spectrum_shape.rolloff, fraction=parameters.rolloff_fraction))
    if needs(BANDS):
        edges = tuple(_edges(band, periodogram) for band in parameters.bands)
        groups.append(partial(spectrum_shape.bands, edges=edges))
    if needs(DOMINANT + PEAKS + HARMONICS):
        n_peaks = max((_number(name) for name in wanted.intersection(PEAKS)), default=0)
        highest_order = parameters.harmonics if needs(HARMONICS) else 0
        groups.append(partial(spectral_lines.line_columns, n_peaks=n_peaks, highest_order=highest_order))
    return groups


def _edges(band: Band, periodogram: Periodogram) -> tuple[int, int]:
    first, end = band_edges(periodogram.bin_frequencies_hz, low_hz=band.low_hz, high_hz=band.high_hz)
    if first == end:
        raise SignalError(
            f"the band {band} Hz holds no bin: they are {periodogram.bin_hz:g} Hz apart, from there on",
            hint="widen the band, or take a longer window or segment",
        )
    return first, end


def _check_numbers(names: list[str], parameters: SpectrumParameters) -> None:
    """Raises SignalError for a band or peak beyond those the parameters name."""
    for name in names:
        if name in BANDS and _number(name) > len(parameters.bands):
            raise SignalError(f"{name} is asked for, but bands_hz names {len(parameters.bands)} bands")
        if name in PEAKS and _number(name) > parameters.n_peaks:
            raise SignalError(f"{name} is asked for, but n_peaks is {parameters.n_peaks}")


def _number(name: str) -> int:
    """Of `band_rms_3` or `peak_3_amplitude`."""
    return next(int(part) for part in name.split("_") if part.isdecimal())


FAMILY: Final = FeatureFamily(
    name=NAME,
    title="Calibrated spectrum",
    about="Hann taper and a periodogram, or Welch's method. Parameters: `taper`, `method`, `segment_samples`,"
    " `bands_hz` (up to 16, like `10-1000,1000-5000`), `rolloff_fraction`, `n_peaks`, `harmonics`. Windows of 2,048"
    " samples, bands 10-1000, 1000-3000, 3000-6000 and 6000-10000 Hz.",
    build=SpectrumExtractor,
    formulas=FORMULAS,
    parameters=_PARAMETERS,
    default_features=("spectral_centroid", "spectral_entropy", "dominant_frequency_hz", "dominant_amplitude"),
    example=Example(2_048, {"bands_hz": "10-1000,1000-3000,3000-6000,6000-10000", "n_peaks": 2}),
)
