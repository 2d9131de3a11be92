"""When a block that no device hands us is due: samples counted against the monotonic clock."""

from __future__ import annotations

from edge_agent.core.clock import Clock


class Pacer:
    """`pace` 1 is real time, 10 ten times faster, 0 no waiting. Late blocks are caught up, never skipped."""

    def __init__(self, clock: Clock, *, pace: float = 1.0) -> None:
        self._clock = clock
        self._pace = pace
        self._due_s = clock.monotonic_s()

    async def wait(self, duration_s: float) -> None:
        """Wait until a block of this length would have been recorded. Other tasks run in any case."""
        if self._pace == 0:
            await self._clock.sleep(0)
            return
        self._due_s += duration_s / self._pace
        await self._clock.sleep(max(0.0, self._due_s - self._clock.monotonic_s()))
