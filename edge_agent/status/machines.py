"""The machines' part of the status document: sources and their channels, condition, tag models, alarms. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_agent.drivers.supervisor import SourceHealth, SourceState
from edge_agent.errors import DriverError
from edge_agent.pipeline.condition.meter import ChannelIndicator, Meter
from edge_agent.pipeline.stages import IndicatorStage, SnapshotStage, TagStage, WaveformStage
from edge_agent.settings import SourceSettings, UnusableSource
from edge_agent.status.fields import problem, rfc3339

Stage = WaveformStage | IndicatorStage | TagStage


def describe_source(
    source: SourceSettings, health: SourceHealth, stages: Sequence[Stage], now_ns: int
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
    stage = next((s for s in stages if s.line.source == source.name), None)
    if isinstance(stage, WaveformStage | IndicatorStage):
        document["dropped_blocks_total"] = stage.inlet.stats().dropped_total
        if isinstance(stage, WaveformStage):
            document["channels"] = [_channel(stage, i) for i in range(len(stage.line.channels))]
        if stage.indicators is not None:
            document["indicators"] = [_indicator(*state) for state in stage.indicators.states()]
    elif stage is not None:
        document["tags"] = [
            {
                "name": name,
                "value": reading.value,
                "unit": reading.tag.unit,
                "quality": reading.quality.name.lower(),
                "is_stale": health.state is not SourceState.RUNNING,
                "status": reading.status,
                "time": rfc3339(reading.time_ns),
            }
            for name, reading in sorted(stage.line.latest.items())
        ]
        document["readings_total"] = stage.line.readings_total
    return document


def describe_tag_model(stage: SnapshotStage) -> dict[str, Any]:
    """Return one tag model and its newest score."""
    line = stage.line
    return {
        "name": line.settings.name,
        "asset": line.settings.asset,
        "model": line.model.name,
        "scored_total": line.state.scored_total,
        "anomalous_total": line.state.anomalous_total,
        "refused_total": line.state.refused_total,
        "score": line.state.last_score,
        "threshold": line.model.threshold,
        "verdict": line.state.last_verdict.value,
        "is_alarm": line.alarm.state.is_standing,
        "pushed_by": line.pushed_by,
    }


def describe_alarms(stages: Sequence[Stage], snapshots: Sequence[SnapshotStage]) -> list[dict[str, Any]]:
    """Return what stands: models first, then what needs no model."""
    out = [alarm for stage in stages if isinstance(stage, WaveformStage) for alarm in _model_alarms(stage)]
    out += [_snapshot_alarm(stage) for stage in snapshots if stage.line.alarm.state.is_standing]
    return out + [alarm for stage in stages if not isinstance(stage, TagStage) for alarm in _condition_alarms(stage)]


def points_in_alarm(alarms: Sequence[Mapping[str, Any]]) -> int:
    """Count the points in alarm; a fault line at a point whose model is in alarm only explains that alarm."""
    return len({alarm["subject"] for alarm in alarms})


def driver_problems(unusable: Mapping[str, DriverError], sources: Sequence[SourceSettings]) -> list[dict[str, Any]]:
    """Return what is wrong with drivers of other packages; a source that asks for one says it itself."""
    said = {source.type for source in sources if isinstance(source, UnusableSource)}
    return [problem(error.message, None, error.hint) for name, error in unusable.items() if name not in said]


def signal_problems(stages: Sequence[Stage], snapshots: Sequence[SnapshotStage]) -> list[dict[str, Any]]:
    """Return what cannot be measured or scored now, and why."""
    out: list[dict[str, Any]] = []
    for stage in stages:
        if isinstance(stage, TagStage):
            for name, span in stage.line.bad_tags.items():
                out.append(problem(f"{name}: {span.detail}", span.since_ns, "check the sensor and its address"))
            continue
        if isinstance(stage, WaveformStage):
            out += _scoring_problems(stage)
        out += _indicator_problems(stage)
    for snapshot in snapshots:
        refusal = snapshot.line.refusal
        if refusal.since_ns is not None:
            name = snapshot.line.settings.name
            out.append(problem(f"{name} is not scored: {refusal.detail}", refusal.since_ns, None))
    return out


def _scoring_problems(stage: WaveformStage) -> list[dict[str, Any]]:
    out = []
    for channel, fault in zip(stage.line.channels, stage.line.faults, strict=True):
        if fault.since_ns is not None:
            out.append(problem(f"{stage.line.source} {channel.point}: {fault.detail}", fault.since_ns, None))
    refused = stage.line.refusal
    if refused.since_ns is not None:
        out.append(problem(f"{stage.line.source} is not scored: {refused.detail}", refused.since_ns, None))
    return out


def _indicator_problems(stage: WaveformStage | IndicatorStage) -> list[dict[str, Any]]:
    """A machine at rest is no problem; a point whose samples are bad is told once, by the model if there is one."""
    if stage.indicators is None:
        return []
    out, told = [], set()
    if isinstance(stage, WaveformStage):
        told = {c.point for c, fault in zip(stage.line.channels, stage.line.faults, strict=True) if fault.since_ns}
    for meter in stage.indicators.meters:
        if meter.withheld.since_ns is not None and not meter.is_at_rest:
            what = f"{stage.line.source}: no {meter.indicator.label}: {meter.withheld.detail}"
            out.append(problem(what, meter.withheld.since_ns, None))
    for _, point, state in stage.indicators.states():
        if state.fault.since_ns is not None and point not in told:
            told.add(point)
            out.append(problem(f"{stage.line.source} {point}: {state.fault.detail}", state.fault.since_ns, None))
    return out


def _model_alarms(stage: WaveformStage) -> list[dict[str, Any]]:
    line = stage.line
    return [
        {
            "subject": line.subjects[c],
            "kind": "model",
            "since": rfc3339(tracker.state.since_ns),
            "model": line.model.name,
            "score": line.channels[c].last_score,
            "threshold": line.model.threshold,
            "anomalous_fraction": round(tracker.state.anomalous_fraction, 3),
            "pushed_by": line.channels[c].pushed_by,
            "fault_lines": [_fault_line(told) for told in line.fault_lines_of(c)],
            "words": None,
        }
        for c, tracker in enumerate(line.alarms)
        if tracker.state.is_standing
    ]


def _snapshot_alarm(stage: SnapshotStage) -> dict[str, Any]:
    line = stage.line
    return {
        "subject": line.settings.asset,
        "kind": "model",
        "since": rfc3339(line.alarm.state.since_ns),
        "model": line.model.name,
        "score": line.state.last_score,
        "threshold": line.model.threshold,
        "anomalous_fraction": round(line.alarm.state.anomalous_fraction, 3),
        "pushed_by": line.pushed_by,
        "fault_lines": [],
        "words": None,
    }


def _condition_alarms(stage: WaveformStage | IndicatorStage) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    if stage.indicators is None:
        return out
    for meter, _, state in stage.indicators.states():
        if state.zone is not None and state.zone.is_alarm:
            out.append(_condition_alarm(state, "zone", state.zone.since_ns, state.zone.in_words()))
        for line in state.lines:
            if line.is_standing:
                told = [_fault_line(data) for data in meter.lines_of(state) if data["line"] == line.line.value]
                out.append(_condition_alarm(state, "fault_line", line.since_ns, line.in_words(), told))
    return out


def _condition_alarm(
    state: ChannelIndicator,
    kind: str,
    since_ns: int | None,
    words: str,
    fault_lines: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """An alarm that no model raised: what a model would say is null."""
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


def _channel(stage: WaveformStage, i: int) -> dict[str, Any]:
    channel, tracker = stage.line.channels[i], stage.line.alarms[i]
    return {
        "point": channel.point,
        "subject": stage.line.subjects[i],
        "model": stage.line.model.name,
        "windows_total": channel.windows_total,
        "scored_total": channel.scored_total,
        "anomalous_total": channel.anomalous_total,
        "score": channel.last_score,
        "threshold": stage.line.model.threshold,
        "verdict": channel.last_verdict.value,
        "is_alarm": tracker.state.is_standing,
        "pushed_by": channel.pushed_by,
        "fault_lines": [_fault_line(told) for told in stage.line.fault_lines_of(i)],
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
        "fault_lines": [_fault_line(told) for told in meter.lines_of(state)],
        "withheld": meter.withheld.detail or None,
        "withheld_since": rfc3339(meter.withheld.since_ns),
    }


def _fault_line(told: dict[str, Any]) -> dict[str, Any]:
    since_us = told["since_us"]
    rest = {name: value for name, value in told.items() if name != "since_us"}
    return {**rest, "since": rfc3339(None if since_us is None else since_us * 1000)}
