"""What a few seconds of samples show of each channel: level, peak, what stands out of its spectrum. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.samples import SampleBlock
from edge_agent.dsp.kernels.hann_spectrum import hann, power_spectrum

_KEPT_S: Final = 10.0
_LEAST_SAMPLES: Final = 16
_LINES: Final = 5
_ABOVE_MEDIAN: Final = 8.0
"""A line's amplitude over the median of the spectrum: the largest bin of noise alone reaches 3 to 4."""
_LEAST_SHARE: Final = 1e-3
_SKIRT_BINS: Final = 8  # a taper's side lobes are no lines
_MOST_BINS: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class SpectralLine:
    """`amplitude` is the peak amplitude of a sine, in the samples' unit."""

    hz: float
    amplitude: float


@dataclass(frozen=True, slots=True)
class ChannelLevel:
    """`rms` and `peak` are about the mean: gravity and offsets are in `mean`. `flat_share`: repeats its predecessor.

    All are of the samples that are numbers, None without any; `not_finite` of them are none.
    """

    mean: float | None
    rms: float | None
    peak: float | None
    flat_share: float
    not_finite: int
    lines: tuple[SpectralLine, ...]


class Survey:
    """Takes blocks, and keeps the newest ten seconds of them that follow one another."""

    def __init__(self) -> None:
        self.gaps: list[tuple[str, str, int | None]] = []
        self.seconds = 0.0
        self._blocks: deque[SampleBlock] = deque()

    def take(self, block: SampleBlock) -> None:
        """Take the next block in."""
        if (gap := block.gap_before) is not None and self._blocks:
            self.gaps.append((gap.cause.value, gap.detail, gap.count))
            self._blocks.clear()
        self._blocks.append(block)
        self.seconds += block.duration_s
        while sum(each.duration_s for each in self._blocks) > _KEPT_S and len(self._blocks) > 1:
            self._blocks.popleft()

    @property
    def samples(self) -> NDArray[np.float64]:
        """Return what is kept, shape (n_channels, n)."""
        return np.concatenate([block.samples for block in self._blocks], axis=1).astype(np.float64)

    def levels(self) -> list[ChannelLevel]:
        """Return each channel as it is in what is kept."""
        rate_hz = self._blocks[-1].sample_rate_hz
        return [_level(channel, rate_hz) for channel in self.samples]

    def spectra(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return frequencies in Hz, shape (n_bins,), and peak amplitudes, shape (n_channels, n_bins)."""
        rate_hz = self._blocks[-1].sample_rate_hz
        spectra = [amplitudes(channel, rate_hz) for channel in self.samples]
        return spectra[0][0], np.stack([each for _, each in spectra])


def amplitudes(samples: NDArray[np.float64], rate_hz: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return frequencies and peak amplitudes: root mean square over segments of about a second, half overlapping."""
    if len(samples) < _LEAST_SAMPLES:
        return np.zeros(1), np.zeros(1)
    length = min(len(samples), _MOST_BINS, max(16, int(rate_hz)))
    taper = hann(length)
    starts = range(0, len(samples) - length + 1, max(1, length // 2))
    power = np.mean([power_spectrum(samples[start : start + length], taper) for start in starts], axis=0)
    return np.arange(length // 2 + 1, dtype=np.float64) * (rate_hz / length), np.asarray(np.sqrt(power), np.float64)


def lines_of(frequencies: NDArray[np.float64], amplitude: NDArray[np.float64]) -> tuple[SpectralLine, ...]:
    """Return the largest lines that stand out, the largest first; their frequency is interpolated between bins."""
    if len(amplitude) < 8 or not amplitude.any():
        return ()
    inner = amplitude[2:-1]  # a slow drift is in the first two bins
    least = max(_ABOVE_MEDIAN * float(np.median(amplitude)), _LEAST_SHARE * float(amplitude.max()))
    is_peak = (inner > amplitude[1:-2]) & (inner >= amplitude[3:]) & (inner > least)
    found: list[int] = []
    for at in sorted(map(int, np.flatnonzero(is_peak) + 2), key=lambda at: -amplitude[at]):
        if not any(abs(at - line) <= _SKIRT_BINS and amplitude[at] < 0.1 * amplitude[line] for line in found):
            found.append(at)
    return tuple(_line(frequencies, amplitude, at) for at in found[:_LINES])


def _line(frequencies: NDArray[np.float64], amplitude: NDArray[np.float64], at: int) -> SpectralLine:
    """Return the sine whose Hann-tapered line has its top between these bins."""
    left, middle, right = (float(each) for each in amplitude[at - 1 : at + 2])
    ratio = max(left, right) / middle
    beside = min(0.5, max(0.0, (2.0 * ratio - 1.0) / (ratio + 1.0)))
    dip = np.sinc(beside) / (1.0 - beside**2)
    step_hz = float(frequencies[1] - frequencies[0])
    return SpectralLine(float(frequencies[at]) + (beside if right > left else -beside) * step_hz, middle / float(dip))


def _level(samples: NDArray[np.float64], rate_hz: float) -> ChannelLevel:
    numbers = samples[np.isfinite(samples)]
    not_finite = len(samples) - len(numbers)
    if not len(numbers):
        return ChannelLevel(None, None, None, 0.0, not_finite, ())
    mean = float(numbers.mean())
    about = numbers - mean
    flat = float(np.mean(np.diff(numbers) == 0.0)) if len(numbers) > 1 else 0.0
    return ChannelLevel(
        mean,
        float(np.sqrt(np.mean(about**2))),
        float(np.abs(about).max()),
        flat,
        not_finite,
        () if not_finite else lines_of(*amplitudes(samples, rate_hz)),
    )
