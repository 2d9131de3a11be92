"""Change of sample rate with the `kaiser_fast` filter, as librosa.load does it with resampy.

Constraints
- Same length, edges and gain as `librosa.load(res_type="kaiser_fast")`: zeros outside the clip, ceil(n * ratio)
  samples, of which the last is zero where the ratio does not divide evenly (resampy rounds down, librosa pads).
- The filter is computed here: a Kaiser-windowed sinc of 24 zero crossings, 512 points each, interpolated linearly
  between points (J. O. Smith, "Digital Audio Resampling"); float64 until it is a table of float32 phases.

The rates are a ratio up/down in lowest terms, so only `up` different filters exist. They are laid into narrow banded
matrices, a few phases each, and applied to all blocks of `down` input samples at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from edge_agent.errors import SignalError

Signal = NDArray[np.float32]

KAISER_FAST: Final = "kaiser_fast"

_ZERO_CROSSINGS: Final = 24
_POINTS_PER_CROSSING: Final = 512
_KAISER_BETA: Final = 9.903224416455291
_ROLLOFF: Final = 0.8682120388377784

_PHASES_PER_GROUP: Final = 48
"""Wide enough for a matmul to pay, narrow enough that half of each matrix is filter and not zeros."""

_MAX_PHASES: Final = 48_000
"""So many phases take tens of MB; rates that need more have no common divisor worth the name."""


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Phases first..first+n of the output, from the inputs begin..begin+len(matrix) of a padded block."""

    first: int
    begin: int
    matrix: Signal


class Resampler:
    """From one whole-numbered sample rate to another.

    Raises SignalError if a rate is not a positive whole number of Hz, or the two have no usable common divisor.
    """

    def __init__(self, *, from_rate_hz: float, to_rate_hz: float) -> None:
        source, target = _whole_hz(from_rate_hz), _whole_hz(to_rate_hz)
        divisor = math.gcd(source, target)
        self._up, self._down = target // divisor, source // divisor
        if self._up > _MAX_PHASES:
            raise SignalError(f"resampling from {source} to {target} Hz needs {self._up} filters, more than we hold")
        if target * _POINTS_PER_CROSSING < source:
            raise SignalError(f"resampling from {source} to {target} Hz is further down than the filter reaches")
        self._from_rate_hz, self._to_rate_hz = float(source), float(target)
        self._is_identity = self._up == self._down
        self._before, self._groups = (0, []) if self._is_identity else _phase_groups(self._up, self._down)
        self._reach = max((group.begin + len(group.matrix) for group in self._groups), default=0)

    def n_resampled(self, n_samples: int) -> int:
        """Return how many samples `n_samples` become."""
        return n_samples if self._is_identity else math.ceil(n_samples * (self._to_rate_hz / self._from_rate_hz))

    def resample(self, samples: Signal) -> Signal:
        """Resample: shape (n,) -> (ceil(n * ratio),), same unit and gain.

        Raises SignalError if nothing is left of it.
        """
        if self._is_identity:
            return samples
        n_computed = int(len(samples) * self._to_rate_hz / self._from_rate_hz)
        if n_computed < 1:
            raise SignalError(f"{len(samples)} samples are too few to resample")
        n_blocks = -(-n_computed // self._up)
        resampled = np.empty((n_blocks, self._up), np.float32)
        blocks = self._blocks(samples, n_blocks)
        for group in self._groups:
            width, n_phases = group.matrix.shape
            inputs = blocks[:, group.begin : group.begin + width]
            np.matmul(inputs, group.matrix, out=resampled[:, group.first : group.first + n_phases])
        result = resampled.reshape(-1)[: self.n_resampled(len(samples))]
        if len(result) < self.n_resampled(len(samples)):
            result = np.append(result, np.float32(0))
        result[n_computed:] = 0
        return result

    def _blocks(self, samples: Signal, n_blocks: int) -> Signal:
        """Overlapping rows: row b holds the inputs b * down - before, and as many more as the filters reach."""
        padded = np.zeros(max((n_blocks - 1) * self._down + self._reach, self._before + len(samples)), np.float32)
        padded[self._before : self._before + len(samples)] = samples
        return as_strided(padded, (n_blocks, self._reach), (4 * self._down, 4), writeable=False)


def kaiser_fast_wing() -> NDArray[np.float64]:
    """Return the right half of the filter, from its centre: shape (24 * 512 + 1,), 512 points a zero crossing."""
    n = _ZERO_CROSSINGS * _POINTS_PER_CROSSING
    crossings = np.linspace(0, _ZERO_CROSSINGS, n + 1)
    return np.asarray(_ROLLOFF * np.sinc(_ROLLOFF * crossings) * np.kaiser(2 * n + 1, _KAISER_BETA)[n:])


def _phase_groups(up: int, down: int) -> tuple[int, list[_Group]]:
    """The banded matrices, and how many samples before a block's first input they reach."""
    ratio = up / down
    scale = min(1.0, ratio)
    wing = kaiser_fast_wing() * scale
    slope = np.diff(wing, append=wing[-1])
    # The filter is stretched by a whole number of points, as resampy does.
    step = int(scale * _POINTS_PER_CROSSING)
    n_taps = len(wing) // step + 1
    groups = []
    for first in range(0, up, _PHASES_PER_GROUP):
        phases = np.arange(first, min(first + _PHASES_PER_GROUP, up))
        newest = phases * down // up
        fraction = scale * (phases * down % up / up)
        matrix = np.zeros((int(newest[-1] - newest[0]) + 2 * n_taps, len(phases)))
        for column, (offset, part) in enumerate(zip(newest - newest[0], fraction, strict=True)):
            centre = int(offset) + n_taps
            left = _taps(wing, slope, part * _POINTS_PER_CROSSING, step)
            right = _taps(wing, slope, (scale - part) * _POINTS_PER_CROSSING, step)
            matrix[centre - len(left) : centre, column] = left[::-1]
            matrix[centre : centre + len(right), column] = right
        groups.append(_Group(first, int(newest[0]), matrix.astype(np.float32)))
    return n_taps - 1, groups


def _taps(wing: NDArray[np.float64], slope: NDArray[np.float64], position: float, step: int) -> NDArray[np.float64]:
    """The filter at `position` and every `step` points on, linearly interpolated."""
    index = int(position)
    points = np.arange(index, len(wing) - (len(wing) - index) % step, step)
    return np.asarray(wing[points] + (position - index) * slope[points])


def _whole_hz(rate_hz: float) -> int:
    if not (math.isfinite(rate_hz) and rate_hz > 0 and float(rate_hz).is_integer()):
        raise SignalError(
            f"the sample rate must be a whole number of Hz above 0 to be resampled, not {rate_hz}",
            hint="set the sensor to a whole rate such as 16000 or 48000 Hz",
        )
    return int(rate_hz)
