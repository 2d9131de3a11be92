"""The status document: what is wrong, since when, what to do; then the numbers.

Its fields are a contract (docs/CLI_OUTPUT.md): fields may be added, none is renamed. Times are UTC,
RFC 3339; durations in seconds. Pure: parts in, one JSON-able document out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cloud_sync.outbox.retention_policy import Limit
from cloud_sync.outbox.store import Depth
from cloud_sync.outbox.writer import WriterState
from cloud_sync.reconcile.hourly import ReconcileState
from cloud_sync.transports.base import Transport
from cloud_sync.uplink.state import LinkState, UplinkState
from edge_agent import __version__
from edge_agent.core.clock import Clock
from edge_agent.core.gaps import GapSpan
from edge_agent.drivers.report import SourceReport
from edge_agent.drivers.supervisor import SourceHealth, SourceState
from edge_agent.errors import BundleError, DriverError, EdgeError
from edge_agent.health.clock_keeper import ClockHealth
from edge_agent.health.gap_ledger import GapLedger
from edge_agent.health.supervision import PartFailure
from edge_agent.installation.lease import Installation
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.operating_state import AssetOperation
from edge_agent.pipeline.stages import SnapshotStage, SourceStage
from edge_agent.settings import Settings, SourceSettings
from edge_agent.status.backlog_growth import growth_problems, is_withheld
from edge_agent.status.central import (
    dead_letter_problems,
    describe_central,
    link_problem,
    reconcile_problem,
    unsteady_problem,
)
from edge_agent.status.clock import clock_problems, describe_clock
from edge_agent.status.failed_parts import describe_failed_parts, part_problems
from edge_agent.status.fields import in_utc, problem, rfc3339
from edge_agent.status.host import HostHealth, describe_host, host_problems
from edge_agent.status.machines import (
    describe_alarms,
    describe_source,
    describe_tag_model,
    driver_problems,
    points_in_alarm,
    signal_problems,
)
from edge_agent.status.models import Unscored, update_problems
from edge_agent.status.operating_states import describe_operation, operation_problems
from edge_agent.status.outbox import OutboxHealth, describe_outbox, put_aside_at_ns, quarantine_problem
from edge_agent.status.sensor_health import overall
from edge_agent.status.twins import (
    describe_identity,
    presence_problems,
    remedy_of_held,
)
from edge_agent.status.words import counted

NAMED_SOURCES: Final = 3
"""So many sources that are away for one reason are named; more are counted."""
STARTING_GRACE_S: Final = 30.0
_AWAY: Final = (SourceState.LOST, SourceState.REJECTED)


@dataclass(frozen=True, slots=True)
class StatusInputs:
    """Everything the document is made from."""

    settings: Settings
    now_ns: int
    clock: Clock
    """By which everything that is measured is stamped; `now_ns` and all else is UTC, as far as known."""
    clock_health: ClockHealth
    sources: Mapping[str, SourceHealth]
    stages: Sequence[SourceStage]
    snapshots: Sequence[SnapshotStage]
    unscored: Mapping[str, Unscored]
    operations: Sequence[AssetOperation]
    models: Sequence[ScoringModel]
    model_errors: Mapping[str, BundleError]
    depth: Depth | None
    counters: Mapping[str, int]
    clock_set_back: GapSpan
    outbox_error: str | None
    writer: WriterState
    uplink: UplinkState
    transport: Transport
    ledger: GapLedger
    outbox: OutboxHealth | None = None
    reconcile: ReconcileState | None = None
    model_updates: Mapping[str, Any] = field(default_factory=dict)
    certificate: tuple[str, str] | None = None
    """What is wrong with the client certificate or the public CAs, and what to do."""
    reports: Mapping[str, SourceReport] = field(default_factory=dict)
    """What the drivers say of their sources, by name."""
    failures: Sequence[PartFailure] = ()
    unusable_drivers: Mapping[str, DriverError] = field(default_factory=dict)
    """Drivers of other packages that cannot be used, by their type."""
    left_out: Mapping[str, EdgeError] = field(default_factory=dict)
    """Indicators whose family's package cannot be used, by where they stand in the settings."""
    own: Installation | None = None
    host: HostHealth | None = None
    link: Mapping[str, Any] = field(default_factory=dict)
    """What is said with the central of the bytes on the link."""
    held_back: Mapping[str, Any] | None = None
    """The problem of a data budget that does not suffice."""

    def utc_us(self, time_us: int) -> int:
        """Return a time of the agent's own clock in UTC."""
        return self.clock.to_utc(time_us * 1000) // 1000


def describe(inputs: StatusInputs) -> dict[str, Any]:
    """Return the whole document."""
    problems = _problems(inputs)
    alarms = in_utc(describe_alarms(inputs.stages, inputs.snapshots), inputs.utc_us)
    now_ns = inputs.clock.now_ns()
    state = "degraded" if problems else "healthy"
    sources = [in_utc(_described(source, inputs, now_ns), inputs.utc_us) for source in inputs.settings.sources]
    return {
        "schema": 1,
        "state": state,
        "summary": _summary(problems, alarms, inputs),
        "time": rfc3339(inputs.now_ns),
        "gateway": {
            "id": inputs.settings.gateway.id,
            "site": inputs.settings.gateway.site,
            "version": __version__,
            **describe_identity(inputs.own),
            "health": overall(sources),
        },
        "problems": problems,
        "alarms": alarms,
        "sources": sources,
        "operating_states": in_utc([describe_operation(each) for each in inputs.operations], inputs.utc_us),
        "tag_models": in_utc([describe_tag_model(stage) for stage in inputs.snapshots], inputs.utc_us),
        "models": [{"name": m.name, "version": m.version, "threshold": m.threshold} for m in inputs.models],
        "model_updates": dict(inputs.model_updates),
        "outbox": _outbox(inputs),
        "central": describe_central(
            inputs.settings.central,
            inputs.uplink,
            inputs.transport,
            link=inputs.link,
            own=inputs.own,
            reconcile=inputs.reconcile,
        ),
        "gaps": {
            "total": inputs.ledger.total,
            "by_cause": inputs.ledger.by_cause(),
            "outbox_records": inputs.ledger.outbox_records(),
            "newest": inputs.ledger.newest(5, utc_us=inputs.utc_us),
        },
        "clock": describe_clock(inputs.clock_health),
        "box": None if inputs.host is None else describe_host(inputs.host),
        "parts_failed": describe_failed_parts(inputs.failures),
    }


def _described(source: SourceSettings, inputs: StatusInputs, now_ns: int) -> dict[str, Any]:
    report = inputs.reports.get(source.name, SourceReport())
    return describe_source(source, inputs.sources[source.name], inputs.stages, now_ns, report)


def minimal_document(settings: Settings, failures: Sequence[PartFailure], *, now_ns: int) -> dict[str, Any]:
    """Return the document of an agent whose whole status cannot be made: that it cannot, and why."""
    problems = part_problems(failures, now_ns=now_ns)
    return {
        "schema": 1,
        "state": "degraded",
        "summary": problems[0]["what"] if problems else "the status cannot be made",
        "time": rfc3339(now_ns),
        "gateway": {"id": settings.gateway.id, "site": settings.gateway.site, "version": __version__},
        "problems": problems,
        "parts_failed": describe_failed_parts(failures),
    }


def stopped_fields(writer: WriterState) -> dict[str, Any]:
    """Return the fields that end the last document of a run that was asked to stop."""
    lost = f"; {counted(writer.pending, 'record')} could not be stored: {writer.error}" if writer.pending else ""
    return {"state": "stopped", "summary": f"stopped on request{lost}", "not_stored": writer.pending}


def _problems(inputs: StatusInputs) -> list[dict[str, Any]]:
    now_ns = inputs.clock.now_ns()
    out = losses(inputs.sources)
    for name, health in inputs.sources.items():
        is_new = (now_ns - health.since_ns) / 1e9 < STARTING_GRACE_S
        if health.state is SourceState.STARTING and not is_new:
            out.append(problem(f"{name}: no data yet", health.since_ns, "check that the device sends"))
    out += driver_problems(inputs.unusable_drivers, inputs.settings.sources)
    for where, error in inputs.left_out.items():
        out.append(problem(f"{where} is not computed: {error.message}", None, error.hint))
    for name, unscored in inputs.unscored.items():
        if name in inputs.sources or any(name == m.name for m in inputs.settings.tag_models):
            out.append(problem(f"{name} is not scored: {unscored.reason}", None, unscored.do))
    out += [problem(what, None, do) for what, do in update_problems(inputs.model_updates)]
    out += signal_problems(inputs.stages, inputs.snapshots, inputs.reports, _away(inputs.sources))
    out += operation_problems(inputs.operations)
    out = in_utc(out, inputs.utc_us) + clock_problems(inputs.clock_health)
    out += _delivery_problems(inputs)
    out += host_problems(inputs.host) if inputs.host is not None else []
    out += part_problems(inputs.failures, now_ns=inputs.now_ns)
    return out


def losses(sources: Mapping[str, SourceHealth]) -> list[dict[str, Any]]:
    """Return the sources that are away; those that share a line, and are away for the same reason, as one problem."""
    found: dict[tuple[str, str | None], list[str]] = {}
    for name, health in sources.items():
        if health.state in _AWAY:
            found.setdefault((health.message.removeprefix(f"{name}: "), health.hint), []).append(name)
    out = []
    for (why, hint), names in found.items():
        since_ns = min(sources[name].since_ns for name in names)
        more = f" and {len(names) - NAMED_SOURCES} more" if len(names) > NAMED_SOURCES else ""
        out.append(problem(f"{', '.join(names[:NAMED_SOURCES])}{more}: {why}", since_ns, hint))
    return out


def _away(sources: Mapping[str, SourceHealth]) -> frozenset[str]:
    return frozenset(name for name, health in sources.items() if health.state in _AWAY)


def _delivery_problems(inputs: StatusInputs) -> list[dict[str, Any]]:
    out = []
    uplink, writer = inputs.uplink, inputs.writer
    if inputs.clock_set_back.since_ns is not None:
        set_back = problem(
            inputs.clock_set_back.detail, inputs.clock_set_back.since_ns, "check the clock of the device"
        )
        out.append(in_utc(set_back, inputs.utc_us))
    if inputs.outbox_error is not None:
        out.append(problem(f"the outbox cannot be read: {inputs.outbox_error}", None, "check the disk or flash card"))
    if writer.error is not None:
        what = f"the outbox takes nothing: {writer.error}; {counted(writer.pending, 'record')} held in memory"
        out.append(problem(what, inputs.outbox.error_since_ns if inputs.outbox else None, writer.hint))
    quarantined = inputs.outbox.quarantined if inputs.outbox else ()
    broken = quarantine_problem(quarantined, waits_for=inputs.outbox.salvage_waits_for if inputs.outbox else None)
    if broken is not None:
        out.append(problem(broken[0], put_aside_at_ns(quarantined[-1]), broken[1]))
    if (away := link_problem(uplink, inputs.now_ns)) is not None:
        out.append({**away, "do": remedy_of_held(inputs.own) or away["do"]})
    elif (unsteady := unsteady_problem(uplink, inputs.now_ns)) is not None:
        out.append(unsteady)
    if not is_withheld(inputs.link) and not inputs.clock_health.held_records:
        out += growth_problems(inputs.outbox.growth if inputs.outbox else None, uplink, inputs.settings.central)
    out += presence_problems(inputs.own, uplink.link, now_ns=inputs.now_ns)
    if inputs.held_back is not None:
        out.append(dict(inputs.held_back))
    if inputs.certificate is not None and uplink.link is not LinkState.REFUSED:  # then it is said there
        out.append(problem(inputs.certificate[0], None, inputs.certificate[1]))
    differs = reconcile_problem(inputs.reconcile)
    if differs is not None:
        out.append(problem(differs[0], None, differs[1]))
    out += dead_letter_problems(inputs.depth, takes_events=inputs.transport.takes_events)
    if inputs.depth is not None and inputs.depth.file_bytes > 0.8 * inputs.settings.outbox.max_bytes:
        used = inputs.depth.file_bytes / inputs.settings.outbox.max_bytes
        out.append(problem(f"the outbox is {used:.0%} full", None, "restore the link to the central"))
    if _is_at_the_floor(inputs):
        what = "the disk is down to its floor, outbox.min_free_bytes: the oldest readings are given up"
        out.append(problem(what, None, "free space on the disk that holds the outbox, or restore the link"))
    return out


def _is_at_the_floor(inputs: StatusInputs) -> bool:
    """Readings wait, and the disk leaves them no more room."""
    bounds = inputs.outbox.bounds if inputs.outbox else None
    if bounds is None or inputs.depth is None or bounds.limit is not Limit.DISK_FLOOR:
        return False
    return inputs.depth.records > 0 and inputs.depth.used_bytes >= bounds.reading_bytes


def _outbox(inputs: StatusInputs) -> dict[str, Any]:
    depth = inputs.depth
    document: dict[str, Any] = {
        "pending_in_memory": inputs.writer.pending,
        "max_bytes": inputs.settings.outbox.max_bytes,
        "error": inputs.writer.error,
        "error_since": rfc3339(inputs.outbox.error_since_ns) if inputs.outbox else None,
        "unsendable_total": inputs.writer.unsendable_total,
        **describe_outbox(depth, inputs.counters, inputs.outbox),
    }
    if depth is not None:
        document |= {
            "records": depth.records,
            "blocks": depth.blocks,
            "file_bytes": depth.file_bytes,
            "oldest": rfc3339(None if depth.oldest_time_us is None else depth.oldest_time_us * 1000),
            "dead_letters": depth.dead_letters,
            "no_place": depth.no_place,
        }
    return document


def _summary(problems: list[dict[str, Any]], alarms: list[dict[str, Any]], inputs: StatusInputs) -> str:
    waiting = "" if inputs.depth is None else f", {counted(inputs.depth.records, 'record')} waiting"
    alarm_text = counted(points_in_alarm(alarms), "alarm")
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return f"{problems[0]['what']}{more}; {alarm_text}{waiting}"
    return f"{counted(len(inputs.sources), 'source')}, {alarm_text}{waiting}"
