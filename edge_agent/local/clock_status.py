"""The clock's part of the status document: whether it is right, what waits for it, what to do."""

from __future__ import annotations

from typing import Any, Final

from edge_agent.core.clock import instant
from edge_agent.health.clock_keeper import ClockHealth
from edge_agent.health.clock_watch import ClockState
from edge_agent.health.time_services import has_battery_clock, remedy
from edge_agent.local.document import problem

_GRACE_S: Final = 60.0
"""A time service needs that long after a boot; until then a clock that is not synchronised is no problem."""


def describe_clock(health: ClockHealth) -> dict[str, Any]:
    """The `clock` of the document."""
    message = _message(health)
    return {
        "is_synced": health.is_synced,
        "state": health.state.value,
        "held_records": health.held_records,
        "hold_left_s": round(health.hold_left_s, 1) if health.state is ClockState.HELD else None,
        "off_s": round(health.off_us / 1e6, 3),
        "message": message,
        "do": None if message is None else _do(health),
    }


def clock_problems(health: ClockHealth) -> list[dict[str, Any]]:
    """What is wrong with the clock: readings are held for it, or it was set to a time that is not followed."""
    is_held = health.state is ClockState.HELD and (health.running_s > _GRACE_S or not health.is_possible)
    if not is_held and health.not_believed_us is None:
        return []
    return [problem(f"the clock: {_message(health)}", None, _do(health))]


def _message(health: ClockHealth) -> str | None:
    """In words; None when there is nothing to say."""
    waiting = f"{health.held_records} records wait to be stamped right"
    if health.not_believed_us is not None:
        return (
            f"it was set by {health.not_believed_us / 1e6:+.0f} s without being synchronised; that is not followed, "
            "times are counted on from before"
        )
    if health.state is ClockState.HELD:
        says = f" and says {instant(health.wall_us, 'seconds')}, which cannot be" if not health.is_possible else ""
        left = f", for {_duration(health.hold_left_s)} more with the central in reach" if health.is_possible else ""
        return f"not synchronised since the boot {_duration(health.up_s)} ago{says}; {waiting}{left}"
    if health.held_records:
        return f"it is known now; {waiting}, which goes on"
    return None if health.is_synced else "not synchronised: quality is capped at 0.5"


def _do(health: ClockHealth) -> str:
    battery = "" if has_battery_clock() or health.is_possible else "; a clock with a battery would keep the time"
    return remedy() + battery


def _duration(seconds: float) -> str:
    minutes = int(seconds) // 60
    if minutes < 1:
        return f"{int(seconds)} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
