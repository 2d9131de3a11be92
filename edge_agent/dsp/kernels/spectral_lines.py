"""Single lines of a spectrum: the dominant one, the highest peaks, and the harmonics of the dominant one.

Constraints
- Lines lie strictly between DC and Nyquist. Of equals the lowest frequency wins, everywhere.
- What float32 cannot tell from its own rounding is no line: a dominant one has more than 1e-12 of the power, a peak at
  least 1e-10 of the power of the dominant one (120 and 100 dB). What is not there is NaN, never zero.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.samples import Samples
from edge_agent.dsp.kernels.moments import Column
from edge_agent.dsp.kernels.periodogram import PowerSpectra
from edge_agent.dsp.kernels.spectrum_shape import Columns

MIN_LINE_SHARE: Final = 1e-12
MIN_PEAK_SHARE: Final = 1e-10

Indices = NDArray[np.intp]


def line_columns(spectra: PowerSpectra, *, n_peaks: int, highest_order: int) -> Columns:
    """Return the dominant line, the `n_peaks` highest peaks, and harmonics up to `highest_order`; neither where that is
    0.
    """
    lines = np.ascontiguousarray(spectra.power[:, : spectra.n_lines])
    largest = np.argmax(lines, axis=-1)
    power = lines[np.arange(len(lines)), largest].astype(np.float64)
    dominant_power = np.where(power > spectra.total * MIN_LINE_SHARE, power, np.nan)
    columns = {
        "dominant_frequency_hz": np.where(np.isnan(dominant_power), np.nan, (largest + 1) * spectra.bin_hz),
        "dominant_amplitude": np.sqrt(dominant_power) * spectra.amplitude_unit,
    }
    if n_peaks:
        columns |= _peaks(lines, spectra, dominant_power, n_peaks)
    if highest_order:
        columns |= _harmonics(lines, spectra, largest + 1, dominant_power, highest_order)
    return columns


def _peaks(lines: Samples, spectra: PowerSpectra, dominant_power: Column, n_peaks: int) -> Columns:
    """The highest local maxima, highest first.

    A local maximum is higher than the line below it and not lower than the line above it; beyond the ends all is lower.
    """
    candidates = _local_maxima(lines)
    rows = np.arange(len(lines))
    places = np.empty((n_peaks, len(lines)), np.intp)
    powers = np.empty((n_peaks, len(lines)))
    for place, power in zip(places, powers, strict=True):
        np.argmax(candidates, axis=-1, out=place)
        power[...] = candidates[rows, place]
        candidates[rows, place] = 0.0
    powers = np.where(powers >= dominant_power * MIN_PEAK_SHARE, powers, np.nan)
    frequencies_hz = np.where(np.isnan(powers), np.nan, (places + 1) * spectra.bin_hz)
    amplitudes = np.sqrt(powers) * spectra.amplitude_unit
    return {f"peak_{i}_frequency_hz": row for i, row in enumerate(frequencies_hz, start=1)} | {
        f"peak_{i}_amplitude": row for i, row in enumerate(amplitudes, start=1)
    }


def _harmonics(
    lines: Samples, spectra: PowerSpectra, fundamental: Indices, dominant_power: Column, highest_order: int
) -> Columns:
    """Distortion, and the share of the power in the dominant line and its harmonics with one line to each side."""
    overtones, power = _overtones(lines, fundamental, np.arange(2, highest_order + 1))
    in_lines = _power_around(lines, np.concatenate([fundamental[:, np.newaxis], overtones], axis=-1))
    return {
        "total_harmonic_distortion": np.sqrt(np.sum(power, axis=-1) / dominant_power),
        "harmonic_ratio": np.where(np.isnan(dominant_power), np.nan, in_lines / spectra.total),
    }


def _local_maxima(lines: Samples) -> Samples:
    """The lines that are local maxima, and zero elsewhere."""
    is_peak = np.ones(lines.shape, np.bool_)
    rises = lines[:, 1:] > lines[:, :-1]
    is_peak[:, 1:] = rises
    np.greater(is_peak[:, :-1], rises, out=is_peak[:, :-1])  # and not
    return np.asarray(lines * is_peak, dtype=np.float32)


def _overtones(lines: Samples, fundamental: Indices, orders: Indices) -> tuple[Indices, Column]:
    """Number and power of the largest line around each order of the fundamental; 0 and 0.0 where that is above Nyquist.

    The true fundamental is within half a line of its number, so the harmonic is within order / 2 of its own. Never
    further than half way to the next: no line is two harmonics. Shapes (n_rows,) -> (n_rows, n_orders).
    """
    n_lines = lines.shape[-1]
    fundamental = fundamental[:, np.newaxis]
    reach = np.minimum((orders + 1) // 2, (fundamental - 1) // 2)[..., np.newaxis]
    widest = (int(orders[-1]) + 1) // 2
    offsets = np.arange(-widest, widest + 1)
    centres = (fundamental * orders)[..., np.newaxis]
    numbers = centres + offsets
    is_near = (np.abs(offsets) <= reach) & (numbers <= n_lines) & (centres <= n_lines)
    near = np.where(is_near, _at(lines, numbers), np.float32(-1))
    best = np.argmax(near, axis=-1)
    power = np.max(near, axis=-1).astype(np.float64)
    is_there = power >= 0
    return np.where(is_there, centres[..., 0] + best - widest, 0), np.where(is_there, power, 0.0)


def _power_around(lines: Samples, numbers: Indices) -> Column:
    """Power of these lines and their neighbours, each counted once. A number 0 stands for no line."""
    around = (numbers[..., np.newaxis] + np.array([-1, 0, 1])) * (numbers > 0)[..., np.newaxis]
    around = np.sort(around.reshape(len(lines), -1), axis=-1)
    counts = (around >= 1) & (around <= lines.shape[-1])
    counts[:, 1:] &= around[:, 1:] != around[:, :-1]
    return np.asarray(np.sum(_at(lines, around).astype(np.float64) * counts, axis=-1))


def _at(lines: Samples, numbers: Indices) -> Samples:
    """Power of the lines with these numbers, shape (n_rows, ...); of the nearest one beyond the ends."""
    rows = np.arange(len(lines)).reshape(-1, *[1] * (numbers.ndim - 1))
    return np.asarray(lines[rows, np.clip(numbers, 1, lines.shape[-1]) - 1])
