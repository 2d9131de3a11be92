"""When a poll group is due: a fixed grid in monotonic time, so that slow passes do not make it drift.

A pass that takes longer than its interval does not pile up work: the grid points it ran over are
skipped and counted. Pure arithmetic; the caller brings the time.
"""

from __future__ import annotations

import math


class FixedRate:
    """Grid points `start_s`, `start_s + interval_s`, and so on (monotonic seconds)."""

    def __init__(self, *, start_s: float, interval_s: float) -> None:
        self._start_s = start_s
        self._interval_s = interval_s
        self._index = 0

    @property
    def due_s(self) -> float:
        """Return the monotonic time of the next pass."""
        return self._start_s + self._index * self._interval_s

    def advance(self, now_s: float) -> int:
        """Move to the next grid point that is not yet past; how many points were run over."""
        next_index = max(self._index + 1, math.ceil((now_s - self._start_s) / self._interval_s))
        skipped = next_index - (self._index + 1)
        self._index = next_index
        return skipped
