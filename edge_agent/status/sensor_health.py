"""How sensors are, for the status document: a channel's or a tag's health in the states of NAMUR NE 107. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from edge_agent.core.health import OK, Ne107, SensorHealth
from edge_agent.drivers.report import TagReport, TagState
from edge_agent.drivers.supervisor import SourceState
from edge_agent.pipeline.sensor_health.signal import SignalHealth
from edge_agent.pipeline.stages import SourceStage
from edge_agent.status.fields import problem, rfc3339

_NE107: Final = {
    TagState.WAITING: Ne107.CHECK_FUNCTION,
    TagState.GOOD: Ne107.NORMAL,
    TagState.UNCERTAIN: Ne107.OFF_SPEC,
    TagState.BAD: Ne107.FAILURE,
    TagState.REFUSED: Ne107.FAILURE,
    TagState.NOT_TAKEN: Ne107.FAILURE,
    TagState.SILENT: Ne107.FAILURE,
}
_LOST: Final = SensorHealth(Ne107.FAILURE, "lost", "its source is not read", "see the source's message")
_DO: Final = {
    TagState.UNCERTAIN: "look at what the device says of it",
    TagState.BAD: "check the sensor and its address",
    TagState.REFUSED: "compare the address with what the device has now",
    TagState.NOT_TAKEN: "read fewer tags of this device, or raise its limits",
    TagState.SILENT: "check this address",
}


def health_of_tag(checked: SensorHealth, shown: TagReport, *, is_stale: bool) -> SensorHealth:
    """Return a tag's health: what a check of its value found, then what its device says, then whether it is read."""
    if checked is not OK:
        return checked
    if shown.state not in (TagState.GOOD, TagState.WAITING):
        do = shown.do or _DO.get(shown.state, "")
        return SensorHealth(_NE107[shown.state], shown.state.value, shown.detail, do, shown.since_ns)
    if is_stale:
        return _LOST
    return OK if shown.state is TagState.GOOD else SensorHealth(Ne107.CHECK_FUNCTION, shown.state.value)


def describe_health(health: SensorHealth) -> dict[str, Any]:
    """Return the fields of docs/CLI_OUTPUT.md."""
    return {
        "ne107": health.ne107.value,
        "state": health.state,
        "since": rfc3339(health.since_ns),
        "detail": health.detail or None,
        "do": health.do or None,
    }


def describe_sensors(stage: SourceStage, state: SourceState) -> list[dict[str, Any]]:
    """Return every channel of a waveform source with its health, whether or not anything is computed from it."""
    if stage.health is None:
        return []
    unread = _of_state(state)
    unusable = _unusable(stage)
    return [
        {
            "point": channel.point,
            "subject": channel.subject,
            "health": describe_health(
                _first(unread, stage.health.health_of(channel), unusable.get(channel.subject, OK))
            ),
        }
        for channel in stage.health.channels
    ]


def worst_of(sensors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the health of a row of a model, of the described sensors that it joins: the worst, the first of equals."""
    healths = [each["health"] for each in sensors]
    return max(healths, key=lambda health: _weight(health["ne107"]), default=describe_health(OK))


def sensor_problems(health: SignalHealth) -> list[dict[str, Any]]:
    """Return what ails the sensors of a waveform source; holes in its samples once for all channels."""
    found = {f"{health.name} {c.point}": c.health for c in health.channels if c.health is not OK}
    if health.dropped is not OK:
        found[health.name] = health.dropped
    return [problem(f"{name}: {each.detail}", each.since_ns, each.do) for name, each in found.items()]


def _of_state(state: SourceState) -> SensorHealth:
    if state is SourceState.STARTING:
        return SensorHealth(Ne107.CHECK_FUNCTION, "waiting")
    if state in (SourceState.LOST, SourceState.REJECTED):
        return _LOST
    return OK


def _unusable(stage: SourceStage) -> dict[str, SensorHealth]:
    """Return the channels whose newest windows had no honest features, by subject."""
    channels = () if stage.scored is None else stage.scored.channels
    do = "check cable, mounting and power of the sensor"
    return {
        channel.subject: SensorHealth(Ne107.FAILURE, "unusable", channel.fault.detail, do, channel.fault.since_ns)
        for channel in channels
        if channel.fault.since_ns is not None
    }


def _first(*states: SensorHealth) -> SensorHealth:
    return next((state for state in states if state is not OK), OK)


def overall(sources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the gateway's health: that of the worst of its sensors, by name, of described sources."""
    described = [
        (f"{source['name']} {part.get('point') or part['name']}", part["health"])
        for source in sources
        for part in (*source.get("sensors", ()), *source.get("tags", ()))
    ]
    weights = [_weight(health["ne107"]) for _, health in described]
    if not any(weights):
        return describe_health(OK)
    name, health = described[weights.index(max(weights))]
    return {**health, "detail": f"{name}: {health['detail'] or health['state']}"}


def _weight(ne107: str) -> int:
    """Return how much a state weighs; 0 of a sensor that is well."""
    return tuple(Ne107).index(Ne107(ne107))
