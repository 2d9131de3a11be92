"""Scans that the kernel dropped, found by their timestamps: its buffer overflows without a word. Pure.

A hole is a step of 2.5 periods and more. The period is the median of the newest steps, so neither a rate that is off
by per cent nor the jitter of a trigger makes one. A median that is far from the rate is no time of samples.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_HOLE_PERIODS: Final = 2.5
_STEPS: Final = 1024
_ENOUGH: Final = 8
_LEAST: Final = 0.5
_MOST: Final = 2.0


class LostScans:
    """Of one stream, of about this rate."""

    def __init__(self, sample_rate_hz: float) -> None:
        self._nominal_ns = 1e9 / sample_rate_hz
        self._last: NDArray[np.int64] = np.empty(0, np.int64)
        self._steps: NDArray[np.int64] = np.empty(0, np.int64)

    def holes(self, timestamps_ns: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Return (index of the first scan behind a hole, scans that are missing) for each hole before or in these."""
        steps = np.diff(np.concatenate([self._last, timestamps_ns]))
        first = len(timestamps_ns) - len(steps)
        self._last = timestamps_ns[-1:]
        self._steps = np.concatenate([self._steps, steps])[-_STEPS:]
        if (period_ns := self.period_ns) is None:
            return []
        wide = np.flatnonzero(steps >= _HOLE_PERIODS * period_ns)
        return [(int(at) + first, round(steps[at] / period_ns) - 1) for at in wide]

    @property
    def period_ns(self) -> float | None:
        """Return the time from scan to scan by the newest timestamps; None while they say nothing that can be."""
        period_ns = float(np.median(self._steps)) if len(self._steps) >= _ENOUGH else 0.0
        return period_ns if _LEAST * self._nominal_ns < period_ns < _MOST * self._nominal_ns else None
