"""A tap with a finger or a small hammer names the channel it was given to. Pure.

A tap is a frame of 10 ms that is far above the frames of the second before. All channels are then looked at for 50 ms:
the one whose peak rose most above what is usual there was struck. Mean values (gravity) do not count.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.samples import SampleBlock

_FRAME_S: Final = 0.01
_BEFORE_FRAMES: Final = 100
_LEAST_FRAMES: Final = 20
_ABOVE: Final = 6.0
_LOOK_FRAMES: Final = 5
_REST_FRAMES: Final = 40  # a tapped machine rings
CLEAR_DB: Final = 6.0
"""The struck channel leads by so much, or nobody is named."""


@dataclass(frozen=True, slots=True)
class Tap:
    """`channel` counts from 0; `lead_db` is how far its rise is above the next channel's (inf with one channel)."""

    at_s: float
    channel: int
    peak: float
    lead_db: float

    @property
    def is_clear(self) -> bool:
        """Return whether one channel was struck and no other."""
        return self.lead_db >= CLEAR_DB


class TapDetector:
    """Of one stream. `floor` is what no noise is below: a dead channel's first noise is no tap."""

    def __init__(self, *, floor: float) -> None:
        self._floor = floor
        self._before: deque[NDArray[np.float64]] = deque(maxlen=_BEFORE_FRAMES)
        self._rest: NDArray[np.float64] | None = None
        self._means: deque[NDArray[np.float64]] = deque(maxlen=_BEFORE_FRAMES)
        self._usual: NDArray[np.float64] = np.zeros(0)
        self._frames = 0
        self._struck: list[NDArray[np.float64]] = []
        self._resting = 0

    def take(self, block: SampleBlock) -> list[Tap]:
        """Return the taps that ended in this block."""
        samples = block.samples.astype(np.float64)
        if self._rest is not None:
            samples = np.concatenate([self._rest, samples], axis=1)
        length = max(1, round(_FRAME_S * block.sample_rate_hz))
        count = samples.shape[1] // length
        self._rest = samples[:, count * length :]
        frames = np.split(samples[:, : count * length], count, axis=1) if count else []
        return [tap for frame in frames if (tap := self._frame(frame)) is not None]

    def _frame(self, frame: NDArray[np.float64]) -> Tap | None:
        self._frames += 1
        mean = np.median(np.stack([*self._means, frame.mean(axis=1)]), axis=0)
        level = np.abs(frame - mean[:, None]).max(axis=1)
        if self._struck:
            self._struck.append(level)
            return self._named() if len(self._struck) > _LOOK_FRAMES else None
        if self._resting:
            self._resting -= 1
            return None
        if len(self._before) >= _LEAST_FRAMES:
            usual = np.maximum(np.median(np.stack(self._before), axis=0), self._floor)
            if (level > _ABOVE * usual).any():
                self._struck, self._usual = [level], usual
                return None
        self._before.append(level)
        self._means.append(frame.mean(axis=1))
        return None

    def _named(self) -> Tap:
        highest = np.maximum(np.stack(self._struck).max(axis=0) - self._usual, 0.0)
        at_s = (self._frames - len(self._struck)) * _FRAME_S
        self._struck, self._resting = [], _REST_FRAMES
        order = np.argsort(highest)[::-1]
        next_one = max(float(highest[order[1]]), 1e-30) if len(order) > 1 else 0.0
        lead_db = 20.0 * float(np.log10(highest[order[0]] / next_one)) if next_one else float("inf")
        return Tap(at_s, int(order[0]), float(highest[order[0]]), lead_db)
