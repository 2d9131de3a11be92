"""The spectrum family: power spectra of windows in physical units, and what is read off them, in float32.

Constraints
- The numbers of a window are the same bits whatever batch it comes in.
- Only what is asked for is computed: a group of formulas that no feature of the spec needs costs nothing.
- The mean is taken out before the taper, so an offset of 4000 standard deviations costs no accuracy.

Unlike the vibration family, which keeps the platform's |FFT| of the raw window, amplitudes here do not depend on the
window's length, and the spectrum is that of `scipy.signal.welch`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.core.samples import Samples
from edge_agent.dsp.families.spectrum_formulas import (
    BANDS,
    DOMINANT,
    EVENNESS,
    FORMULAS,
    HARMONICS,
    PEAKS,
    ROLLOFF,
    SIZE_AND_PLACE,
    SPECTRUM_FEATURES,
)
from edge_agent.dsp.families.spectrum_parameters import Band, SpectrumParameters, read_parameters
from edge_agent.dsp.family_base.batched import answer, no_windows
from edge_agent.dsp.family_base.extractor import Extracted
from edge_agent.dsp.family_base.per_window import check_sampling, check_windows, columns_of
from edge_agent.dsp.kernels import spectral_lines, spectrum_shape
from edge_agent.dsp.kernels.moments import blocks_of
from edge_agent.dsp.kernels.periodogram import Periodogram, PowerSpectra
from edge_agent.dsp.kernels.spectrum_shape import Columns, band_edges
from edge_agent.errors import SignalError

__all__ = ["FORMULAS", "SPECTRUM_FEATURES", "SpectrumExtractor"]

_BLOCKS_AT_ONCE: Final = 4
"""A block's hundred small array operations take 250 us, whatever its size: 20 us per window of 2048 in blocks of 32
windows, 14 in blocks of 128, whose megabyte still fits an L2."""


class SpectrumExtractor:
    """Any of `SPECTRUM_FEATURES`, in any order.

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
        check_sampling("spectrum", window_samples=spec.window_samples, sample_rate_hz=spec.sample_rate_hz)
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
