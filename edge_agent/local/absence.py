"""The time between the last durable record and a start, as a gap: nobody was there."""

from __future__ import annotations

from edge_agent.core.gaps import Gap, GapCause


def absence(gateway_id: str, last_append_us: int, *, now_ns: int) -> Gap | None:
    """Return the gap before a start; None when nothing was ever recorded (0)."""
    if last_append_us == 0:
        return None
    start_ns, detail = last_append_us * 1000, "the agent was not running"
    if start_ns >= now_ns:  # no RTC, or it was ahead before: how long is not known, that it was is
        start_ns, detail = now_ns, f"{detail}; the clock is behind the last record, so for how long is not known"
    return Gap(gateway_id, GapCause.AGENT_STOPPED, start_ns, now_ns, detail)
