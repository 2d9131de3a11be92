"""The machines' part of the status document: sources and their channels, condition, tag models, alarms. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, Final

from edge_agent.core.health import OK, SensorHealth
from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading
from edge_agent.drivers.report import SourceReport, TagReport, TagState
from edge_agent.drivers.supervisor import SourceHealth, SourceState
from edge_agent.errors import DriverError
from edge_agent.pipeline.condition.line import IndicatorLine
from edge_agent.pipeline.condition.meter import ChannelIndicator, Meter
from edge_agent.pipeline.scored_line import ScoredChannel, ScoredLine
from edge_agent.pipeline.stages import SnapshotStage, SourceStage
from edge_agent.pipeline.tags import TagLine
from edge_agent.settings import SourceSettings, TagSettings, UnusableSource
from edge_agent.status.fields import problem, rfc3339
from edge_agent.status.sensor_health import describe_health, describe_sensors, health_of_tag, sensor_problems, worst_of

_NOTHING: Final = SourceReport()
_STATES: Final = {Quality.GOOD: TagState.GOOD, Quality.UNCERTAIN: TagState.UNCERTAIN, Quality.BAD: TagState.BAD}
_WORDS: Final = {
    TagState.BAD: "bad",
    TagState.REFUSED: "refused",
    TagState.NOT_TAKEN: "not taken: the device's limits leave no place for them",
    TagState.SILENT: "not answered",
}
_REMEDIES: Final = {
    TagState.BAD: "check the sensor and its address",
    TagState.REFUSED: "compare the addresses with what the device has now: its program may have changed",
    TagState.NOT_TAKEN: "read fewer tags of this device, or raise its limits",
    TagState.SILENT: "the device answers other requests: check these addresses",
}
_NO_PROBLEM: Final = frozenset({TagState.GOOD, TagState.UNCERTAIN, TagState.WAITING})
_NO_ANSWER: Final = frozenset({TagState.BAD, TagState.SILENT})
NAMED_TAGS: Final = 3
"""So many tags of a source that are bad for like reasons are problems of their own; more are counted together."""


def describe_source(
    source: SourceSettings,
    health: SourceHealth,
    stages: Sequence[SourceStage],
    now_ns: int,
    report: SourceReport = _NOTHING,
) -> dict[str, Any]:
    """Return one source: how it is, and the newest of what it measures; every configured tag is named."""
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
        "time_skew_s": report.time_skew_s,
        **report.figures,
    }
    stage = next((stage for stage in stages if stage.source == source.name), None)
    if stage is None:
        return document
    if stage.tags is not None:
        is_stale = health.state is not SourceState.RUNNING
        document["tags"] = [_tag(tag, stage.tags, report, is_stale=is_stale) for tag in _in_order(source)]
        document["readings_total"] = stage.tags.readings_total
        return document
    document["dropped_blocks_total"] = stage.inlet.stats().dropped_total
    document["sensors"] = describe_sensors(stage, health.state)
    if stage.scored is not None:
        per_row, sensors = stage.scored.model.channels_per_row, document["sensors"]
        document["channels"] = [
            _channel(stage.scored, channel) | {"health": worst_of(sensors[row * per_row : (row + 1) * per_row])}
            for row, channel in enumerate(stage.scored.channels)
        ]
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


def signal_problems(
    stages: Sequence[SourceStage],
    snapshots: Sequence[SnapshotStage],
    reports: Mapping[str, SourceReport],
    away: Set[str] = frozenset(),
) -> list[dict[str, Any]]:
    """Return what cannot be measured or scored now, and why; `reports` are the drivers', by source.

    A source that is `away` is a problem of its own: neither tags without an answer nor what its sensors showed before
    are any beside it.
    """
    out: list[dict[str, Any]] = []
    for stage in stages:
        if stage.tags is not None:
            out += _tag_problems(stage.tags, reports.get(stage.source, _NOTHING), is_away=stage.source in away)
        if stage.health is not None and stage.source not in away:
            out += sensor_problems(stage.health)
        if stage.scored is not None:
            out += _scoring_problems(stage.scored)
        if stage.indicators is not None:
            out += _indicator_problems(stage.indicators, stage.scored)
    out += [each for snapshot in snapshots for each in _scoring_problems(snapshot.line)]
    read_as_tags = {stage.source for stage in stages if stage.tags is not None}
    waveforms = {name: report for name, report in reports.items() if name not in read_as_tags}
    return out + [each for name, report in waveforms.items() for each in _reported(name, report)]


def _tag_problems(line: TagLine, report: SourceReport, *, is_away: bool) -> list[dict[str, Any]]:
    """Return what ails the tags of a source: a few by name, many of one state together; then what its driver says."""
    found: dict[tuple[TagState, str], dict[str, tuple[str, int | None]]] = {}
    said = _NO_PROBLEM | _NO_ANSWER if is_away else _NO_PROBLEM
    for name, known in report.tags.items():
        if known.state not in said:
            do = known.do or _REMEDIES[known.state]
            found.setdefault((known.state, do), {})[name] = (known.detail, known.since_ns)
    checked = {name: check.health for name, check in line.checks.items() if check.health is not OK}
    for name, span in line.bad_tags.items():
        if name not in report.tags and name not in checked:
            bad = (TagState.BAD, _REMEDIES[TagState.BAD])
            found.setdefault(bad, {})[name] = (span.detail, span.since_ns)
    out = _problems_of_checks(line, checked)
    for (state, do), tags in found.items():
        out += _problems_of_tags(line, _WORDS[state], do, tags)
    return out + _reported(line.name, report)


def _reported(source: str, report: SourceReport) -> list[dict[str, Any]]:
    return [problem(f"{source}: {found.what}", found.since_ns, found.do) for found in report.problems]


def _problems_of_checks(line: TagLine, checked: Mapping[str, SensorHealth]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, tuple[str, int | None]]] = {}
    for name, health in checked.items():
        found.setdefault((health.state.replace("_", " "), health.do), {})[name] = (health.detail, health.since_ns)
    return [each for (words, do), tags in found.items() for each in _problems_of_tags(line, words, do, tags)]


def _problems_of_tags(
    line: TagLine, words: str, do: str, tags: Mapping[str, tuple[str, int | None]]
) -> list[dict[str, Any]]:
    if len(tags) <= NAMED_TAGS:
        return [problem(f"{name}: {detail}", since_ns, do) for name, (detail, since_ns) in tags.items()]
    first = ", ".join(f"{name} ({detail})" for name, (detail, _) in list(tags.items())[:NAMED_TAGS])
    since = min((since_ns for _, since_ns in tags.values() if since_ns is not None), default=None)
    return [problem(f"{line.name}: {len(tags)} of {line.n_tags} tags {words}: first {first}", since, do)]


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


def _in_order(source: SourceSettings) -> list[TagSettings]:
    return sorted(source.all_tags, key=lambda tag: tag.name)


def _tag(tag: TagSettings, line: TagLine, report: SourceReport, *, is_stale: bool) -> dict[str, Any]:
    reading, known = line.latest.get(tag.name), report.tags.get(tag.name)
    text = line.texts.latest.get(tag.name) if reading is None else None
    shown = known or TagReport(_state_of(reading) if text is None else TagState.GOOD)
    check = line.checks.get(tag.name)
    health = health_of_tag(OK if check is None else check.health, shown, is_stale=is_stale)
    word = reading.word if reading is not None else ""
    quality = None if reading is None else reading.quality.name.lower()
    time_ns = None if reading is None else reading.time_ns
    return {
        "name": tag.name,
        "state": shown.state.value,
        "value": None if reading is None else reading.value,
        "text": (word or None) if text is None else text.text,
        "unit": tag.unit,
        "quality": quality if text is None else "good",
        "is_stale": is_stale,
        "status": shown.detail or (reading.status if reading else ""),
        "status_code": shown.status_code,
        "exception": shown.exception,
        "since": rfc3339(shown.since_ns),
        "time": rfc3339(time_ns if text is None else text.received_time_ns),
        "health": describe_health(health),
    }


def _state_of(reading: Reading | None) -> TagState:
    return TagState.WAITING if reading is None else _STATES[reading.quality]


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
