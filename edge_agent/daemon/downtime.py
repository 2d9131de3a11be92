"""The time between the last durable record and a start, as a gap: nobody was there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from cloud_sync.columns import Record
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.health.clock_keeper import ClockKeeper
from edge_agent.health.gap_ledger import GapLedger
from edge_agent.pipeline.recorder import gap_event


def downtime(gateway_id: str, last_seen_us: int, *, now_ns: int) -> Gap | None:
    """Return the gap before a start; None when nothing was ever recorded (0)."""
    if last_seen_us == 0:
        return None
    start_ns, detail = last_seen_us * 1000, "the agent was not running"
    if start_ns >= now_ns:  # no RTC, or it was ahead before: how long is not known, that it was is
        start_ns, detail = now_ns, f"{detail}; the clock is behind the last record, so for how long is not known"
    return Gap(gateway_id, GapCause.AGENT_STOPPED, start_ns, now_ns, detail)


async def record_downtime(
    gateway_id: str, keeper: ClockKeeper, ledger: GapLedger, put: Callable[[Sequence[Record]], Awaitable[None]]
) -> None:
    """Record the gap before this run, now that its times are known. Raises OutboxError."""
    gap = downtime(gateway_id, keeper.last_seen_us or 0, now_ns=keeper.began_us * 1000)
    if gap is None:
        return
    if keeper.is_utc:
        await put([gap_event(gap)])
        return
    event = gap_event(gap)
    await asyncio.to_thread(keeper.record_utc, event)  # its times are UTC, not those of the agent's clock
    ledger.add(event, is_utc=True)
