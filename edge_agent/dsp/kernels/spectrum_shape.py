"""What the whole power spectrum of a window looks like: size, place, width, evenness, and the power of bands.

Constraints
- Weights are the power of a bin, DC excluded (`periodogram.PowerSpectra`), unlike the vibration family's centroid,
  which weights with |X|.
- Sums are float32 over one window at a time, so a window's numbers do not depend on its batch.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.dsp.kernels.moments import Column
from edge_agent.dsp.kernels.periodogram import PowerSpectra

Columns = dict[str, Column]

FLATNESS_FLOOR: Final = 1e-10
"""Of the mean power: 100 dB below it a bin is rounding, in float32 and in most converters. Part of the formula."""

_ON_A_LIMIT: Final = 1e-9
"""A bin that rounding put beside a band's limit is on it."""

_CHUNK: Final = 32
"""Bins summed at once on the way to the roll-off: a running sum bin by bin takes half as long as the transform."""


def size_and_place(spectra: PowerSpectra) -> Columns:
    """Return the total power, centroid and spread.

    The spread is taken about the whole bin nearest to the centroid, which float32 holds exactly, and corrected.
    """
    power, total = spectra.power, spectra.total
    bins = np.arange(1, power.shape[-1] + 1, dtype=np.float32)
    pivot = np.rint(np.vecdot(power, bins) / total.astype(np.float32))
    distance = bins - pivot[..., np.newaxis]
    shift = np.vecdot(power, distance) / total
    distance *= distance
    variance = np.vecdot(power, distance) / total - shift * shift
    return {
        "total_power": total * spectra.power_unit,
        "spectral_centroid": (pivot + shift) * spectra.bin_hz,
        "spectral_spread": np.sqrt(np.maximum(variance, 0.0)) * spectra.bin_hz,
    }


def evenness(spectra: PowerSpectra) -> Columns:
    """Return the flatness and entropy, from one logarithm of each bin."""
    n_bins = spectra.power.shape[-1]
    ones = np.ones(n_bins, np.float32)
    relative = spectra.power * (n_bins / spectra.total).astype(np.float32)[..., np.newaxis]
    np.maximum(relative, np.float32(FLATNESS_FLOOR), out=relative)
    logarithm = np.log(relative)
    information = np.vecdot(relative, logarithm).astype(np.float64) / n_bins
    return {
        "spectral_flatness": np.exp(np.vecdot(logarithm, ones).astype(np.float64) / n_bins),
        "spectral_entropy": np.clip(1.0 - information / np.log(n_bins), 0.0, 1.0),
    }


def rolloff(spectra: PowerSpectra, fraction: float) -> Columns:
    """Return the frequency of the first bin up to which `fraction` of the power lies."""
    power = spectra.power
    rows, last = np.arange(len(power))[:, np.newaxis], power.shape[-1] - 1
    chunks = np.cumsum(np.add.reduceat(power, np.arange(0, last + 1, _CHUNK), axis=-1), -1, dtype=np.float64)
    wanted = fraction * chunks[:, -1:]
    chunk = np.argmax(chunks >= wanted, axis=-1)[:, np.newaxis]
    before = np.where(chunk > 0, chunks[rows, chunk - 1], 0.0)
    inside = power[rows, np.minimum(chunk * _CHUNK + np.arange(_CHUNK), last)]
    has_enough = before + np.cumsum(inside, axis=-1, dtype=np.float64) >= wanted
    # Rounding may leave the chunk's last bin a hair below what the chunk's own sum reached.
    has_enough[:, -1] = True
    first = np.minimum(chunk[:, 0] * _CHUNK + np.argmax(has_enough, axis=-1), last)
    return {"spectral_rolloff": (first + 1) * spectra.bin_hz}


def bands(spectra: PowerSpectra, edges: tuple[tuple[int, int], ...]) -> Columns:
    """Return the rms and share of the power of each band, whose bins are `edges[i][0]` up to but not including
    `edges[i][1]`.
    """
    columns: Columns = {}
    for number, (first, end) in enumerate(edges, start=1):
        inside = np.vecdot(spectra.power[..., first:end], np.ones(end - first, np.float32)).astype(np.float64)
        columns[f"band_rms_{number}"] = np.sqrt(inside * spectra.power_unit)
        columns[f"band_ratio_{number}"] = inside / spectra.total
    return columns


def band_edges(frequencies_hz: NDArray[np.float64], *, low_hz: float, high_hz: float) -> tuple[int, int]:
    """Return bins from `low_hz` up to but not including `high_hz`; the last bin is in where the band ends on it."""
    first = int(np.searchsorted(frequencies_hz, low_hz * (1.0 - _ON_A_LIMIT), side="left"))
    if high_hz * (1.0 + _ON_A_LIMIT) >= frequencies_hz[-1] >= high_hz * (1.0 - _ON_A_LIMIT):
        return first, len(frequencies_hz)
    return first, int(np.searchsorted(frequencies_hz, high_hz * (1.0 - _ON_A_LIMIT), side="left"))
