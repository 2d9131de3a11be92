"""What windows are good for, by when their samples were taken: kept for a while, asked by every line over them. Pure.

A window is worth what the worst of the stretches is that it touches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.windows import WindowBatch

KEPT_NS: Final = 130_000_000_000
"""A window is at most a minute long, and waits for a second to be judged."""
SET_BACK_NS: Final = 1_000_000_000
"""Times that go back by more are those of a clock that was set: what was known of them before is not theirs."""


class Use(IntEnum):
    """Worst wins."""

    SCORED = 0
    UNCERTAIN = 1  # scored, and its rows are uncertain
    NOTHING = 2  # no row, no score: a gap stands for it


Uses = NDArray[np.int8]
UsesOf = Callable[[WindowBatch], Uses | None]
"""Returns what windows are good for, shape (n_channels, n_windows); None when all are scored."""


def all_scored(_: WindowBatch) -> None:
    """Find nothing wrong: for a line whose samples nobody has looked at."""


class UseTimeline:
    """Of one source. Stretches that are scored as usual are not kept: a healthy source costs nothing."""

    def __init__(self, n_channels: int) -> None:
        self._stretches: tuple[deque[tuple[int, int, Use]], ...] = tuple(deque() for _ in range(n_channels))

    def add(self, channel: int, start_ns: int, end_ns: int, use: Use) -> None:
        """Say what the samples of a channel are good for, from `start_ns` to `end_ns`; newer than all before."""
        stretches = self._stretches[channel]
        while stretches and stretches[0][1] < end_ns - KEPT_NS:
            stretches.popleft()
        while stretches and stretches[-1][1] > start_ns + SET_BACK_NS:
            stretches.pop()
        if use is Use.SCORED:
            return
        if stretches and stretches[-1][2] is use and stretches[-1][1] == start_ns:
            start_ns = stretches.pop()[0]
        stretches.append((start_ns, end_ns, use))

    def of(self, windows: WindowBatch) -> Uses | None:
        """See `UsesOf`."""
        if not any(self._stretches):
            return None
        starts = windows.end_ns - round(windows.window_samples * 1e9 / windows.sample_rate_hz)
        uses = np.zeros((len(self._stretches), windows.n_windows), np.int8)
        for channel, stretches in enumerate(self._stretches):
            for start_ns, end_ns, use in stretches:
                is_touched = (starts < end_ns) & (windows.end_ns > start_ns)
                uses[channel][is_touched & (uses[channel] < use)] = use
        return uses if uses.any() else None
