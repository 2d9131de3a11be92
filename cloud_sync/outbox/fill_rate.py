"""How fast the outbox fills, how long it lasts at that rate, and what a reading costs the flash: arithmetic on totals.

Knows no file: it gets totals that only grow, and remembers some hours of them.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Final

from cloud_sync.outbox.retention_policy import Bounds
from cloud_sync.outbox.tables import Depth

WINDOW_S: Final = 6 * 3_600.0
"""Long enough to hold shifts and pauses, short enough to follow a changed configuration."""
_STEP_S: Final = 300.0  # 72 remembered totals
_LEAST_S: Final = 60.0
_DAY_S: Final = 86_400.0


class FillRate:
    """Bytes that appends take in the file, over the last hours. Before a minute has passed nothing is known."""

    def __init__(self) -> None:
        self._totals: deque[tuple[float, int]] = deque(maxlen=int(WINDOW_S / _STEP_S))

    def record(self, total_bytes: int, *, now_s: float) -> None:
        """Record `total_bytes` since the file was made, `now_s` on a monotonic clock."""
        if self._totals and total_bytes < self._totals[-1][1]:
            self._totals.clear()  # another file
        if not self._totals or now_s - self._totals[-1][0] >= _STEP_S:
            self._totals.append((now_s, total_bytes))

    def bytes_per_day(self, total_bytes: int, *, now_s: float) -> float | None:
        if not self._totals or now_s - self._totals[0][0] < _LEAST_S:
            return None
        since_s, then_bytes = self._totals[0]
        return max(0, total_bytes - then_bytes) / (now_s - since_s) * _DAY_S


def rate_of_backlog(depth: Depth) -> float | None:
    """Return bytes per day by what waits, for somebody who has not watched; None when it is too little to know."""
    if depth.oldest_time_us is None or depth.newest_time_us is None:
        return None
    span_s = (depth.newest_time_us - depth.oldest_time_us) / 1e6
    return depth.used_bytes / span_s * _DAY_S if span_s >= _LEAST_S else None


def days_left(bounds: Bounds, used_bytes: int, bytes_per_day: float | None) -> float | None:
    """Return the days until readings are given up; None when nothing is known or nothing comes."""
    if not bytes_per_day:
        return None
    return max(0, bounds.reading_bytes - used_bytes) / bytes_per_day


def written_bytes() -> int | None:
    """Return the bytes this process has given to disks since it began, as the kernel counts; None when it does not."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("write_bytes:")), None)
