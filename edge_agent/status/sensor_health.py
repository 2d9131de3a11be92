"""How sensors are, for the status document: a channel's or a tag's health in the states of NAMUR NE 107. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from edge_agent.core.health import OK, Health, Ne107
from edge_agent.drivers.report import TagReport, TagState
from edge_agent.status.fields import rfc3339

_NE107: Final = {
    TagState.WAITING: Ne107.CHECK_FUNCTION,
    TagState.GOOD: Ne107.NORMAL,
    TagState.UNCERTAIN: Ne107.OFF_SPEC,
    TagState.BAD: Ne107.FAILURE,
    TagState.REFUSED: Ne107.FAILURE,
    TagState.NOT_TAKEN: Ne107.FAILURE,
    TagState.SILENT: Ne107.FAILURE,
}
_DO: Final = {
    TagState.UNCERTAIN: "look at what the device says of it",
    TagState.BAD: "check the sensor and its address",
    TagState.REFUSED: "compare the address with what the device has now",
    TagState.NOT_TAKEN: "read fewer tags of this device, or raise its limits",
    TagState.SILENT: "check this address",
}


def health_of_tag(checked: Health, shown: TagReport, *, is_stale: bool) -> Health:
    """Return a tag's health: what a check of its value found, then what its device says, then whether it is read."""
    if checked is not OK:
        return checked
    if shown.state not in (TagState.GOOD, TagState.WAITING):
        do = _DO.get(shown.state, "")
        return Health(_NE107[shown.state], shown.state.value, shown.detail, do, shown.since_ns)
    if is_stale:
        return Health(Ne107.FAILURE, "lost", "its source is not read", "see the source's message")
    return OK if shown.state is TagState.GOOD else Health(Ne107.CHECK_FUNCTION, shown.state.value)


def describe_health(health: Health) -> dict[str, Any]:
    """Return the fields of docs/CLI_OUTPUT.md."""
    return {
        "ne107": health.ne107.value,
        "state": health.state,
        "since": rfc3339(health.since_ns),
        "detail": health.detail or None,
        "do": health.do or None,
    }


def overall(sources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the gateway's health: that of the worst of its sensors, by name, of described sources."""
    described = [
        (f"{source['name']} {part.get('point') or part['name']}", part["health"])
        for source in sources
        for part in (*source.get("channels", ()), *source.get("indicators", ()), *source.get("tags", ()))
        if "health" in part
    ]
    weights = [_weight(health["ne107"]) for _, health in described]
    if not any(weights):
        return describe_health(OK)
    name, health = described[weights.index(max(weights))]
    return {**health, "detail": f"{name}: {health['detail'] or health['state']}"}


def _weight(ne107: str) -> int:
    """Return how much a state weighs; 0 of a sensor that is well."""
    return tuple(Ne107).index(Ne107(ne107))
