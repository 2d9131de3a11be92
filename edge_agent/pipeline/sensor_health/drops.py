"""Whether a source loses samples: holes that its driver marks, and blocks that never came. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.health import OK, Ne107, SensorHealth
from edge_agent.core.samples import SampleBlock

WITHIN_NS: Final = 60_000_000_000
MOST_HOLES: Final = 2
MOST_SHARE: Final = 0.01

_DO: Final = "check cable, USB hub or network, and the load of this box; windows never span a hole"


class DropWatch:
    """Of one source, over the last minute. A hole is no gap here: the driver's own says it."""

    def __init__(self) -> None:
        self.health = OK
        self._holes: deque[tuple[int, int]] = deque()  # when it ended, and how long it was, in ns
        self._newest: SampleBlock | None = None

    def push(self, item: SampleBlock | Gap) -> None:
        """Take what comes from the driver."""
        if isinstance(item, Gap):
            self._newest = None  # the device was lost, which is said elsewhere
            return
        if (missing_ns := self._missing_before(item)) is not None:
            self._holes.append((item.start_ns, missing_ns))
        while self._holes and self._holes[0][0] < item.end_ns - WITHIN_NS:
            self._holes.popleft()
        self._newest = item
        self.health = self._found(item.end_ns) if self._holes else OK

    def _missing_before(self, block: SampleBlock) -> int | None:
        gap, newest = block.gap_before, self._newest
        if gap is not None:
            is_loss = gap.cause in (GapCause.OVERFLOW, GapCause.QUEUE_FULL)
            is_counted = gap.cause is GapCause.DISCONTINUITY and gap.count is not None
            return gap.end_ns - gap.start_ns if is_loss or is_counted else None
        if newest is None or block.block_index == newest.block_index + 1:
            return None
        return max(0, block.start_ns - newest.end_ns)

    def _found(self, now_ns: int) -> SensorHealth:
        missing_ns = sum(length_ns for _, length_ns in self._holes)
        if len(self._holes) <= MOST_HOLES and missing_ns < MOST_SHARE * WITHIN_NS:
            return OK
        detail = f"samples are dropped: {len(self._holes)} holes, {missing_ns / 1e9:.2f} s of the last minute"
        since_ns = self._holes[0][0] if self.health is OK else self.health.since_ns
        return SensorHealth(Ne107.MAINTENANCE_REQUIRED, "dropped_samples", detail, _DO, since_ns)
