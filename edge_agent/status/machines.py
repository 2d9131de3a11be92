"""The machines' part of the status document: sources and their channels, condition, tag models, alarms. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_agent.drivers.supervisor import SourceHealth, SourceState
from edge_agent.errors import DriverError
from edge_agent.pipeline.condition.line import IndicatorLine
from edge_agent.pipeline.condition.meter import ChannelIndicator, Meter
from edge_agent.pipeline.scored_line import ScoredChannel, ScoredLine
from edge_agent.pipeline.stages import SnapshotStage, SourceStage
from edge_agent.pipeline.tags import TagLine
from edge_agent.settings import SourceSettings, UnusableSource
from edge_agent.status.fields import problem, rfc3339


def describe_source(
    source: SourceSettings, health: SourceHealth, stages: Sequence[SourceStage], now_ns: int
) -> dict[str, Any]:
    """Return one source: how it is, and the newest of what it measures."""
    age_s = None if health.last_item_ns is None else max(0.0, (now_ns - health.last_item_ns) / 1e9)
    document: dict[str, Any] = {
        "name": source.name,
        "type": source.type,
        "state": health.state.value,
        "since": rfc3339(health.since_ns),
        "message": health.message,
        "hint": health.hint,
        "last_data_age_s": None if age_s is None else round(age_s, 1),
        "sample_rate_hz": health.sample_rate_hz,
        "losses_total": health.losses_total,
    }
    stage = next((stage for stage in stages if stage.source == source.name), None)
    if stage is None:
        return document
    if stage.tags is not None:
        document["tags"] = _tags(stage.tags, is_stale=health.state is not SourceState.RUNNING)
        document["readings_total"] = stage.tags.readings_total
        return document
    document["dropped_blocks_total"] = stage.inlet.stats().dropped_total
    if stage.scored is not None:
        document["channels"] = [_channel(stage.scored, channel) for channel in stage.scored.channels]
    if stage.indicators is not None:
        document["indicators"] = [_indicator(*state) for state in stage.indicators.states()]
    return document


def describe_tag_model(stage: SnapshotStage) -> dict[str, Any]:
    """Return one tag model and its newest score."""
    line = stage.line
    (channel,) = line.channels
    return {
        "name": line.name,
        "asset": line.asset,
        "model": line.model.name,
        "scored_total": channel.scored_total,
        "anomalous_total": channel.anomalous_total,
        "refused_total": line.refused_total,
        "score": channel.last_score,
        "threshold": line.model.threshold,
        "verdict": channel.last_verdict.value,
        "is_alarm": channel.alarm.is_standing,
        "pushed_by": channel.explanation,
    }


def describe_alarms(stages: Sequence[SourceStage], snapshots: Sequence[SnapshotStage]) -> list[dict[str, Any]]:
    """Return what stands: models first, then what needs no model."""
    scored: list[ScoredLine] = [stage.scored for stage in stages if stage.scored is not None]
    scored += [stage.line for stage in snapshots]
    out = [_model_alarm(line, channel) for line in scored for channel in line.channels if channel.alarm.is_standing]
    indicators = [stage.indicators for stage in stages if stage.indicators is not None]
    return out + [alarm for line in indicators for alarm in _condition_alarms(line)]


def points_in_alarm(alarms: Sequence[Mapping[str, Any]]) -> int:
    """Count the points in alarm: a fault line at a point whose model is in alarm explains that alarm."""
    return len({alarm["subject"] for alarm in alarms})


def driver_problems(unusable: Mapping[str, DriverError], sources: Sequence[SourceSettings]) -> list[dict[str, Any]]:
    """Return what is wrong with drivers of other packages; a source that asks for one says it itself."""
    named = {source.type for source in sources if isinstance(source, UnusableSource)}
    return [problem(error.message, None, error.hint) for name, error in unusable.items() if name not in named]


def signal_problems(stages: Sequence[SourceStage], snapshots: Sequence[SnapshotStage]) -> list[dict[str, Any]]:
    """Return what cannot be measured or scored now, and why."""
    out: list[dict[str, Any]] = []
    for stage in stages:
        if stage.tags is not None:
            for name, span in stage.tags.bad_tags.items():
                out.append(problem(f"{name}: {span.detail}", span.since_ns, "check the sensor and its address"))
        if stage.scored is not None:
            out += _scoring_problems(stage.scored)
        if stage.indicators is not None:
            out += _indicator_problems(stage.indicators, stage.scored)
    return out + [each for snapshot in snapshots for each in _scoring_problems(snapshot.line)]


def _scoring_problems(line: ScoredLine) -> list[dict[str, Any]]:
    out = [
        problem(f"{line.name} {channel.point}: {channel.fault.detail}", channel.fault.since_ns, None)
        for channel in line.channels
        if channel.fault.since_ns is not None
    ]
    if line.refusal.since_ns is not None:
        out.append(problem(f"{line.name} is not scored: {line.refusal.detail}", line.refusal.since_ns, None))
    return out


def _indicator_problems(line: IndicatorLine, scored: ScoredLine | None) -> list[dict[str, Any]]:
    """Return what indicators lack; a machine at rest is no problem, and bad samples are named once."""
    named = {channel.point for channel in (scored.channels if scored is not None else ()) if channel.fault.since_ns}
    out = []
    for meter in line.meters:
        if meter.withheld.since_ns is not None and not meter.is_at_rest:
            what = f"{line.name}: no {meter.indicator.label}: {meter.withheld.detail}"
            out.append(problem(what, meter.withheld.since_ns, None))
    for _, point, state in line.states():
        if state.fault.since_ns is not None and point not in named:
            named.add(point)
            out.append(problem(f"{line.name} {point}: {state.fault.detail}", state.fault.since_ns, None))
    return out


def _model_alarm(line: ScoredLine, channel: ScoredChannel) -> dict[str, Any]:
    alarm = channel.alarm.state
    return {
        "subject": channel.alarm_subject,
        "kind": "model",
        "since": rfc3339(alarm.since_ns),
        "model": line.model.name,
        "score": channel.last_score,
        "threshold": line.model.threshold,
        "anomalous_fraction": round(alarm.anomalous_fraction, 3),
        "pushed_by": channel.explanation,
        "fault_lines": [_fault_line(found) for found in channel.fault_lines],
        "words": None,
    }


def _condition_alarms(line: IndicatorLine) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for meter, _, state in line.states():
        if state.zone is not None and state.zone.is_alarm:
            out.append(_condition_alarm(state, "zone", state.zone.since_ns, state.zone.in_words()))
        for tracker in state.lines:
            if tracker.is_standing:
                found = [_fault_line(data) for data in meter.lines_of(state) if data["line"] == tracker.line.value]
                out.append(_condition_alarm(state, "fault_line", tracker.since_ns, tracker.in_words(), found))
    return out


def _condition_alarm(
    state: ChannelIndicator,
    kind: str,
    since_ns: int | None,
    words: str,
    fault_lines: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return an alarm that no model raised: what a model would say is null."""
    nobody = dict.fromkeys(("model", "score", "threshold", "anomalous_fraction"))
    return {
        "subject": state.subject,
        "kind": kind,
        "since": rfc3339(since_ns),
        **nobody,
        "pushed_by": [],
        "fault_lines": fault_lines or [],
        "words": words,
    }


def _tags(line: TagLine, *, is_stale: bool) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "value": reading.value,
            "unit": reading.tag.unit,
            "quality": reading.quality.name.lower(),
            "is_stale": is_stale,
            "status": reading.status,
            "time": rfc3339(reading.time_ns),
        }
        for name, reading in sorted(line.latest.items())
    ]


def _channel(line: ScoredLine, channel: ScoredChannel) -> dict[str, Any]:
    return {
        "point": channel.point,
        "subject": channel.subject,
        "model": line.model.name,
        "windows_total": channel.windows_total,
        "scored_total": channel.scored_total,
        "anomalous_total": channel.anomalous_total,
        "score": channel.last_score,
        "threshold": line.model.threshold,
        "verdict": channel.last_verdict.value,
        "is_alarm": channel.alarm.is_standing,
        "pushed_by": channel.explanation,
        "fault_lines": [_fault_line(found) for found in channel.fault_lines],
    }


def _indicator(meter: Meter, point: str, state: ChannelIndicator) -> dict[str, Any]:
    group = state.zone.group if state.zone else None
    return {
        "name": meter.indicator.label,
        "point": point,
        "subject": state.subject,
        "windows_total": state.windows_total,
        "reported": rfc3339(state.reported_ns),
        "features": state.means,
        "zone": state.zone.newest.value if state.zone and state.zone.newest else None,
        "zones": group.name if group else None,
        "zones_edition": group.edition if group else None,
        "fault_lines": [_fault_line(found) for found in meter.lines_of(state)],
        "withheld": meter.withheld.detail or None,
        "withheld_since": rfc3339(meter.withheld.since_ns),
    }


def _fault_line(found: dict[str, Any]) -> dict[str, Any]:
    since_us = found["since_us"]
    rest = {name: value for name, value in found.items() if name != "since_us"}
    return {**rest, "since": rfc3339(None if since_us is None else since_us * 1000)}
