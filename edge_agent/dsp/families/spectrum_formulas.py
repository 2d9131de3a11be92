"""The formulas of the spectrum family: names, units, definitions, and how exact the edge is.

A float32 transform rounds every bin by some 1e-7 of the rms of the whole window, so what stands far below the rest is
less exact than its own size suggests: the flatness, which hangs on the quietest bins, most of all. An `atol` in the
unit of the signal is for an rms up to 1, and grows with it; that in Hz is for 20 kHz, and grows with the rate.
"""

from __future__ import annotations

from typing import Final

from edge_agent.dsp.families.spectrum_parameters import MAX_BANDS, MAX_PEAKS
from edge_agent.dsp.family_base.formula import Formula

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
    return Formula("spectrum", name, 1, unit, definition, source, rtol, atol)


_WHOLE: Final = (
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


FORMULAS: Final = (*_WHOLE, *map(_band_formula, BANDS), *map(_peak_formula, PEAKS))

SPECTRUM_FEATURES: Final = tuple(formula.name for formula in FORMULAS)
