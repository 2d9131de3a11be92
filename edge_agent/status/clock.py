"""The clock's part of the status document: whether it is right, what waits for it, what to do."""

from __future__ import annotations

import math
from typing import Any, Final

from edge_agent.core.clock import instant
from edge_agent.health.clock_keeper import ClockHealth, beside_the_centrals
from edge_agent.health.clock_watch import ClockState
from edge_agent.health.time_services import has_battery_clock, remedy
from edge_agent.status.fields import problem
from edge_agent.status.words import counted

_GRACE_S: Final = 60.0
"""A time service needs that long after a boot; until then a clock that is not synchronised is no problem."""

_CAPPED: Final = "quality is capped at 0.5"


def describe_clock(health: ClockHealth) -> dict[str, Any]:
    """Return the `clock` of the document."""
    message = _message(health)
    return {
        "is_synced": health.is_synced,
        "state": health.state.value,
        "held_records": health.held_records,
        "hold_left_s": round(health.hold_left_s, 1) if health.state is ClockState.HELD else None,
        "off_s": round(health.off_us / 1e6, 3),
        "off_central_s": None if health.off_central_us is None else round(health.off_central_us / 1e6, 1),
        "message": message,
        "do": None if message is None else _do(health),
    }


def clock_problems(health: ClockHealth) -> list[dict[str, Any]]:
    """Return what is wrong with the clock: readings are held for it, it is not followed, or it is not the central's."""
    is_held = health.state is ClockState.HELD and (health.running_s > _GRACE_S or not health.is_possible)
    is_wrong = health.state is ClockState.CENTRALS or health.is_far_off
    if not is_held and not is_wrong and health.not_believed_us is None:
        return []
    since_ns = None if health.differs_since_us is None else health.differs_since_us * 1000
    return [problem(f"the clock: {_message(health)}", since_ns, _do(health))]


def _message(health: ClockHealth) -> str | None:
    """In words; None when there is nothing to say."""
    waiting = f"{counted(health.held_records, 'record')} held until they can be stamped right"
    if health.not_believed_us is not None:
        return (
            f"it was set by {health.not_believed_us / 1e6:+.0f} s without being synchronised; that is not followed, "
            "times are counted on from before"
        )
    if health.state is ClockState.HELD:
        return _while_held(health, waiting)
    if health.held_records:
        return f"it is known now; {waiting}, which goes on"
    if health.state is ClockState.CENTRALS:
        within = f"{health.within_us / 1e6:.0f} s"
        return f"{_beside_the_central(health)}, and nobody sets it: times are the central's, within {within}, {_CAPPED}"
    synchronised = "synchronised" if health.is_synced else "not synchronised"
    if health.is_far_off:
        return f"{synchronised}, and {_beside_the_central(health)}"
    if health.is_synced:
        return None
    agrees = f", and agrees with the central's within {_agreement_s(health):.0f} s" if health.agrees else ""
    return f"{synchronised}{agrees}: {_CAPPED}"


def _while_held(health: ClockHealth, waiting: str) -> str:
    left = _duration(health.hold_left_s)
    if health.off_central_us is not None and not health.agrees:
        then = f"unless it is set right within {left}, they get the central's times"
        return f"not synchronised, and {_beside_the_central(health)}; {waiting}; {then}"
    says = f" and says {instant(health.wall_us, 'seconds')}, which cannot be" if not health.is_possible else ""
    more = f", for {left} more with the central in reach" if health.is_possible else ""
    return f"not synchronised since the boot {_duration(health.up_s)} ago{says}; {waiting}{more}"


def _beside_the_central(health: ClockHealth) -> str:
    return f"this box's clock is {beside_the_centrals(health.off_central_us or 0)}"


def _agreement_s(health: ClockHealth) -> float:
    """Within how many seconds they surely agree: what is seen of it, and what the central's is uncertain by."""
    return math.ceil((abs(health.off_central_us or 0) + health.within_us) / 1e6)


def _do(health: ClockHealth) -> str:
    if health.is_synced and health.is_far_off:
        return "one of the two is wrong: compare this box's time server and the central's clock with a third"
    is_kept = has_battery_clock() or health.is_possible or health.off_central_us is not None
    return remedy() + ("" if is_kept else "; a clock with a battery would keep the time")


def _duration(seconds: float) -> str:
    minutes = int(seconds) // 60
    if minutes < 1:
        return f"{int(seconds)} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
