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
from edge_agent.dsp.moments import Column
from edge_agent.dsp.periodogram import PowerSpectra
from edge_agent.dsp.spectrum_shape import Columns

MIN_LINE_SHARE: Final = 1e-12
MIN_PEAK_SHARE: Final = 1e-10

Indices = NDArray[np.intp]


def dominant(spectra: PowerSpectra) -> Columns:
    """Frequency and amplitude of the largest line."""
    largest, power = _largest(spectra)
    return {
        "dominant_frequency_hz": np.where(np.isnan(power), np.nan, (largest + 1) * spectra.bin_hz),
        "dominant_amplitude": np.sqrt(power) * spectra.amplitude_unit,
    }


def peaks(spectra: PowerSpectra, n_peaks: int) -> Columns:
    """The `n_peaks` highest local maxima, highest first.

    A local maximum is higher than the line below it and not lower than the line above it; beyond the ends all is lower.
    """
    candidates = _local_maxima(spectra.lines).reshape(-1, spectra.n_lines)
    rows = np.arange(len(candidates))
    places = np.empty((n_peaks, len(rows)), np.intp)
    powers = np.empty((n_peaks, len(rows)))
    for place, power in zip(places, powers, strict=True):
        np.argmax(candidates, axis=-1, out=place)
        power[...] = candidates[rows, place]
        candidates[rows, place] = 0.0
    _, dominant_power = _largest(spectra)
    shape = (n_peaks, *dominant_power.shape)
    power = powers.reshape(shape)
    power = np.where(power >= dominant_power * MIN_PEAK_SHARE, power, np.nan)
    frequencies_hz = np.where(np.isnan(power), np.nan, (places.reshape(shape) + 1) * spectra.bin_hz)
    amplitudes = np.sqrt(power) * spectra.amplitude_unit
    return {f"peak_{i}_frequency_hz": row for i, row in enumerate(frequencies_hz, start=1)} | {
        f"peak_{i}_amplitude": row for i, row in enumerate(amplitudes, start=1)
    }


def harmonics(spectra: PowerSpectra, highest_order: int) -> Columns:
    """Distortion, and the share of the power in the dominant line and its harmonics with one line to each side."""
    first, power = _largest(spectra)
    fundamental = (first + 1)[..., np.newaxis]
    overtones, overtone_power = _overtones(spectra.lines, fundamental, np.arange(2, highest_order + 1))
    in_lines = _power_around(spectra.lines, np.concatenate([fundamental, overtones], axis=-1))
    return {
        "total_harmonic_distortion": np.sqrt(np.sum(overtone_power, axis=-1) / power),
        "harmonic_ratio": np.where(np.isnan(power), np.nan, in_lines / spectra.total),
    }


def _largest(spectra: PowerSpectra) -> tuple[Indices, Column]:
    """Index and power of the largest line; NaN where there is none."""
    largest = np.argmax(spectra.lines, axis=-1)
    power = np.take_along_axis(spectra.lines, largest[..., np.newaxis], axis=-1)[..., 0].astype(np.float64)
    return largest, np.where(power > spectra.total * MIN_LINE_SHARE, power, np.nan)


def _local_maxima(lines: Samples) -> Samples:
    """The lines that are local maxima, and zero elsewhere."""
    is_peak = np.ones(lines.shape, np.bool_)
    rises = lines[..., 1:] > lines[..., :-1]
    is_peak[..., 1:] = rises
    is_peak[..., :-1] &= ~rises
    return np.asarray(lines * is_peak, dtype=np.float32)


def _overtones(lines: Samples, fundamental: Indices, orders: Indices) -> tuple[Indices, Column]:
    """Number and power of the largest line around each order of the fundamental; 0 and 0.0 where that is above Nyquist.

    The true fundamental is within half a line of its number, so the harmonic is within order / 2 of its own. Never
    further than half way to the next: no line is two harmonics. `fundamental` is (..., 1); the answer (..., n_orders).
    """
    n_lines = lines.shape[-1]
    reach = np.minimum((orders + 1) // 2, (fundamental - 1) // 2)[..., np.newaxis]
    widest = (int(orders[-1]) + 1) // 2
    offsets = np.arange(-widest, widest + 1)
    centres = (fundamental * orders)[..., np.newaxis]
    numbers = centres + offsets
    is_near = (np.abs(offsets) <= reach) & (numbers <= n_lines) & (centres <= n_lines)
    near = np.where(is_near, _at(lines, numbers), np.float32(-1))
    best = np.argmax(near, axis=-1)[..., np.newaxis]
    power = np.take_along_axis(near, best, axis=-1)[..., 0].astype(np.float64)
    number = centres[..., 0] + best[..., 0] - widest
    is_there = power >= 0
    return np.where(is_there, number, 0), np.where(is_there, power, 0.0)


def _power_around(lines: Samples, numbers: Indices) -> Column:
    """Power of these lines and their neighbours, each counted once. A number 0 stands for no line."""
    n_lines = lines.shape[-1]
    around = numbers[..., np.newaxis] + np.array([-1, 0, 1])
    around[numbers == 0] = 0
    around = np.sort(around.reshape(*numbers.shape[:-1], -1), axis=-1)
    counts = (around >= 1) & (around <= n_lines)
    counts[..., 1:] &= around[..., 1:] != around[..., :-1]
    return np.asarray(np.sum(_at(lines, around).astype(np.float64) * counts, axis=-1))


def _at(lines: Samples, numbers: Indices) -> Samples:
    """Power of the lines with these numbers, shape (n_channels, n_windows, ...); of the nearest one beyond the ends."""
    flat = np.clip(numbers, 1, lines.shape[-1]) - 1
    return np.take_along_axis(lines, flat.reshape(*lines.shape[:-1], -1), axis=-1).reshape(numbers.shape)
