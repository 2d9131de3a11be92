"""What the spectrum family can be asked for, and how each wish is refused by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from edge_agent.dsp.family_base.parameters import Parameters
from edge_agent.dsp.kernels.magnitude_spectrum import MIN_SAMPLES
from edge_agent.dsp.kernels.periodogram import HANN, TAPERS
from edge_agent.errors import SignalError

MAX_BANDS: Final = 16
MAX_PEAKS: Final = 16
MAX_HARMONICS: Final = 64

WINDOW: Final = "window"
WELCH: Final = "welch"

_KNOWN: Final = ("taper", "method", "segment_samples", "bands_hz", "rolloff_fraction", "n_peaks", "harmonics")
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
    """Raises SignalError naming the parameter, or the band, that cannot be had."""
    parameters = Parameters("spectrum", values, known=_KNOWN)
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
        raise SignalError(f"spectrum: segment_samples is for the method {WELCH}", hint="leave it out, or ask for welch")
    return window_samples


def _bands(text: float | str, nyquist_hz: float) -> tuple[Band, ...]:
    if not isinstance(text, str):
        raise SignalError(f"spectrum: bands_hz must be text like 10-1000,1000-5000, not {text!r}")
    bands = tuple(_band(part, nyquist_hz) for part in text.split(",")) if text.strip() else ()
    if len(bands) > MAX_BANDS:
        raise SignalError(f"spectrum: bands_hz names {len(bands)} bands; at most {MAX_BANDS} are computed")
    for lower, upper in pairwise(sorted(bands, key=lambda band: (band.low_hz, band.high_hz))):
        if upper.low_hz < lower.high_hz:
            raise SignalError(f"spectrum: the bands {lower} and {upper} Hz overlap", hint="energy would count twice")
    return bands


def _band(text: str, nyquist_hz: float) -> Band:
    if (match := _BAND.fullmatch(text)) is None:
        raise SignalError(f"spectrum: {text.strip()!r} in bands_hz is not a band", hint="write it as 10-1000, in Hz")
    band = Band(float(match[1]), float(match[2]))
    if not band.low_hz < band.high_hz:
        raise SignalError(f"spectrum: the band {band} Hz does not rise", hint="write the lower frequency first")
    if band.high_hz > nyquist_hz:
        raise SignalError(
            f"spectrum: the band {band} Hz ends above {nyquist_hz:g} Hz, half the sample rate",
            hint="sample faster, or end the band there",
        )
    return band


def _whole(parameters: Parameters, name: str, default: int | None, *, at_least: int, at_most: int) -> int:
    value = parameters.whole(name, default, at_least=at_least)
    if value > at_most:
        raise SignalError(f"spectrum: {name} must be at most {at_most}, not {value}")
    return value


def _fraction(parameters: Parameters, name: str, default: float) -> float:
    value = parameters.positive(name, default)
    if value >= 1:
        raise SignalError(f"spectrum: {name} must be below 1, not {value:g}")
    return value
