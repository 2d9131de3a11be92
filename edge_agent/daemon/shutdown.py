"""The order of a stop, and how long each step may take: memory to disk first, then delivery, then the last status.

Constraints
- Every step has a bound; together they stay under the TimeoutStopSec of systemd/edge-agent.service.
- A step that fails or takes too long is named in the log and costs no later one.
- After a second order each step is given only as long as it takes when nothing is wrong.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cloud_sync.host.stopping import LEFT_OVER_S, Patience
from cloud_sync.outbox.writer import OutboxWriter

log = logging.getLogger("edge_agent")

SOURCES_S: Final = 4.0  # a driver says goodbye to its device within three
FINISH_S: Final = 6.0  # some seconds of signal that still wait, on a small box
STORE_S: Final = 6.0  # one transaction of at most 50,000 records on a slow card
CARRIERS_S: Final = 3.0
STORE_AGAIN_S: Final = 2.0  # what those had to tell at their end
KEEP_S: Final = 2.0  # what channels have learned of themselves: small files
DELIVER_S: Final = 5.0
LAST_STATUS_S: Final = 2.0
CLOSE_S: Final = 2.0  # each: the link to the central, the outbox
OPENING_S: Final = 8.0  # an outbox that is looked through or salvaged when the stop comes; it goes on at the next start

STOP_S: Final = (
    SOURCES_S + FINISH_S + STORE_S + CARRIERS_S + STORE_AGAIN_S + KEEP_S + DELIVER_S + LAST_STATUS_S + 2 * CLOSE_S
)
"""Every step at its bound, when nothing ends by itself."""
ENDED_WITHIN_S: Final = STOP_S + 2 * LEFT_OVER_S
"""With what is left over then: tasks, and calls in threads."""

Step = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Shutdown:
    """What there is to end. `finish` empties sources and stages; `deliver` is a try, worth `DELIVER_S`."""

    sources: Sequence[asyncio.Task[None]]
    pipeline: Sequence[asyncio.Task[None]]
    carriers: Sequence[asyncio.Task[None]]
    finish_sources: Sequence[Step]
    finish_pipeline: Sequence[Step]
    writer: OutboxWriter
    keep: Step
    deliver: Step
    last_status: Step

    async def run(self, patience: Patience) -> None:
        """Run every step, in order."""
        self.writer.stop_waiting()
        await patience.cancel("ending the sources", self.sources, SOURCES_S)
        await patience.finish("emptying the sources", _all(self.finish_sources), FINISH_S / 3)
        await patience.cancel("ending the pipeline", self.pipeline, FINISH_S / 3)
        await patience.finish("emptying the pipeline", _all(self.finish_pipeline), FINISH_S / 3)
        await self._store(patience, STORE_S)
        await patience.cancel("ending delivery and upkeep", self.carriers, CARRIERS_S)
        await patience.finish("keeping what was learned", _one(self.keep), KEEP_S)
        if self.writer.state.pending:
            await self._store(patience, STORE_AGAIN_S)
        if not patience.is_gone:
            await patience.finish("delivering the rest", _in_time(self.deliver), DELIVER_S)
        await patience.finish("the last status", _one(self.last_status), LAST_STATUS_S)

    async def _store(self, patience: Patience, within_s: float) -> None:
        await patience.finish("storing what is in memory", self._flush(), within_s)
        state = self.writer.state
        if state.pending:
            log.error("%d records could not be stored before the stop: %s", state.pending, state.error or "no answer")

    async def _flush(self) -> None:
        await self.writer.flush()


async def _all(steps: Sequence[Step]) -> None:
    """Every step, also after one that failed; the first failure is raised at the end."""
    failures = [result for result in [await _outcome(step) for step in steps] if result is not None]
    if failures:
        raise failures[0]


async def _outcome(step: Step) -> BaseException | None:
    (result,) = await asyncio.gather(step(), return_exceptions=True)
    return result if isinstance(result, BaseException) else None


async def _one(step: Step) -> None:
    await step()


async def _in_time(step: Step) -> None:
    """A try: that its time is over is no failure."""
    try:
        async with asyncio.timeout(DELIVER_S * 0.9):
            await step()
    except TimeoutError:
        return
