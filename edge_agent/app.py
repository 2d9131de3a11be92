"""The composition root: settings become objects, objects run as tasks.

The only place that creates long-lived tasks; each is started again when it fails (`supervision`). A stop follows
the flow, with a bound on every step (`shutdown`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from cloud_sync.columns import Record
from cloud_sync.errors import OutboxError
from cloud_sync.journal import KeyJournal
from cloud_sync.outbox import Outbox
from cloud_sync.reconcile_hourly import HourlyReconciliation
from cloud_sync.records import Event
from cloud_sync.stopping import Patience, unless_stopped
from cloud_sync.transports.auto import way_of, worth_of
from cloud_sync.transports.base import Transport
from cloud_sync.uplink import Uplink
from cloud_sync.writer import OutboxWriter
from edge_agent.assembly import outbox_of, policy_of
from edge_agent.core.channel import Channel, WhenFull
from edge_agent.core.clock import Clock
from edge_agent.core.gaps import Gap, GapCause, GapSpan
from edge_agent.core.samples import SampleBlock
from edge_agent.core.tags import Reading, Scan
from edge_agent.drivers.base import Item
from edge_agent.drivers.registry import build_driver
from edge_agent.drivers.supervisor import Supervisor
from edge_agent.errors import BundleError, ConfigurationError
from edge_agent.health.clock_quality import ClockQuality
from edge_agent.health.ledger import GapLedger
from edge_agent.health.systemd import SystemdNotifier
from edge_agent.local.api import LocalApi, StatusFile
from edge_agent.local.client_certificate import certificate_problem
from edge_agent.local.document import rfc3339
from edge_agent.local.machine_status import describe_alarms
from edge_agent.local.model_updates import describe_updates
from edge_agent.local.outbox_status import OutboxWatch
from edge_agent.local.parts import bare_document, stopped
from edge_agent.local.reconciliation import hourly
from edge_agent.local.state_lock import own_state
from edge_agent.local.status import Parts, describe
from edge_agent.local.unscored import Unscored, unscored_by
from edge_agent.pipeline.baseline_files import BaselineFiles
from edge_agent.pipeline.champions import load_models, settle_probations, wanted_models
from edge_agent.pipeline.indicator_choice import check_rows, indicators_of
from edge_agent.pipeline.lifecycle import ModelLife
from edge_agent.pipeline.lines import (
    check_inputs,
    indicator_line,
    measured_by,
    measured_of,
    tag_line,
    waveform_line,
    when_full,
)
from edge_agent.pipeline.missing_models import MissingModels
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.model_pull import ModelPull
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.stages import IndicatorStage, SnapshotStage, TagStage, WaveformStage
from edge_agent.pipeline.tags import SnapshotLine
from edge_agent.pipeline.waveform import WaveformLine
from edge_agent.settings import (
    ModbusSettings,
    OpcUaSettings,
    Settings,
    TagModelSettings,
    WaveformSettings,
)
from edge_agent.shutdown import CLOSE_S, OPENING_S, Shutdown
from edge_agent.supervision import RESTART_MAX_S, Supervision

_AnyStage = WaveformStage | IndicatorStage | TagStage | SnapshotStage

log = logging.getLogger("edge_agent")

BLOCKS_QUEUED: Final = 64  # some seconds of signal: the loop is never away that long, and memory stays small
SCANS_QUEUED: Final = 64
STAGE_RESTART_MAX_S: Final = 5.0
"""What a source sends meanwhile waits in front of the stage."""
STATUS_FILE_EVERY_S: Final = 5.0
BETWEEN_ITEMS_S: Final = 0.01


@dataclass(slots=True)
class Agent:
    """One gateway. `build` only makes objects; `run` opens, runs and closes them."""

    settings: Settings
    clock: Clock
    transport: Transport
    outbox: Outbox
    outbox_watch: OutboxWatch
    writer: OutboxWriter
    uplink: Uplink
    reconciliation: HourlyReconciliation
    recorder: Recorder
    ledger: GapLedger
    is_clock_synced: ClockQuality
    notifier: SystemdNotifier
    baselines: BaselineFiles
    models: dict[str, ScoringModel]
    model_errors: dict[str, BundleError]
    model_life: ModelLife = field(init=False)
    model_pull: ModelPull = field(init=False)
    missing_models: MissingModels = field(init=False)
    supervisors: list[Supervisor] = field(default_factory=list)
    stages: list[WaveformStage | IndicatorStage | TagStage] = field(default_factory=list)
    snapshots: list[SnapshotStage] = field(default_factory=list)
    unscored: dict[str, Unscored] = field(default_factory=dict)
    inlets: dict[str, Channel[Any]] = field(default_factory=dict)
    pipeline_tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    refused: dict[str, GapSpan] = field(default_factory=dict)
    supervision: Supervision = field(init=False)

    @classmethod
    def build(cls, settings: Settings, *, clock: Clock, transport: Transport) -> Agent:
        """Load the champions and connect the parts. A bundle that is refused costs only its own sources."""
        withdrawn = settle_probations(settings, time=rfc3339(clock.now_ns()) or "", say=_say)
        models, model_errors = load_models(settings, say=_say)
        is_clock_synced = ClockQuality()
        outbox = outbox_of(settings, clock, is_clock_synced)
        uplink = Uplink(outbox, transport, policy=policy_of(settings.central), now_ns=clock.now_ns)
        journal = KeyJournal(settings.outbox.key_journal) if settings.outbox.key_journal else None
        writer = OutboxWriter(
            outbox,
            gateway_id=settings.gateway.id,
            flush_interval_s=settings.outbox.flush_interval_s,
            journal=journal,
            on_flush=uplink.wake,
        )
        agent = cls(
            settings=settings,
            clock=clock,
            transport=transport,
            outbox=outbox,
            outbox_watch=OutboxWatch(outbox),
            writer=writer,
            uplink=uplink,
            reconciliation=hourly(settings, outbox, uplink, transport, clock),
            recorder=Recorder(is_clock_synced=is_clock_synced),
            ledger=GapLedger(since_us=clock.now_ns() // 1000),
            is_clock_synced=is_clock_synced,
            notifier=SystemdNotifier(),
            baselines=BaselineFiles(settings.gateway.state_dir / "baselines", say=_say),
            models=models,
            model_errors=model_errors,
        )
        agent.supervision = Supervision(clock)
        agent.model_life = ModelLife(
            settings.models,
            models,
            state_dir=settings.gateway.state_dir,
            clock=clock,
            recorder=agent.recorder,
            put=agent._put,
            say=_say,
            alarms=lambda: {alarm["subject"] for alarm in describe_alarms(agent.stages, agent.snapshots)},
            withdrawn=withdrawn,
            wanted=wanted_models(settings),
        )
        agent.missing_models = MissingModels(settings, model_errors, adopt=agent._adopt, clock=clock, say=_say)
        agent.model_pull = ModelPull(
            settings.models, names=models, ca_file=settings.central.ca_file, clock=clock, say=_say
        )
        agent._connect()
        return agent

    async def run(self, stop: asyncio.Event, patience: Patience | None = None) -> None:
        """Until `stop` is set; `patience` has the waits of the stop."""
        patience = patience or Patience()
        with own_state(self.settings.gateway.state_dir, say=_say):
            try:
                if await unless_stopped(stop, self._open(), within_s=OPENING_S) is None:
                    log.warning("stopped while the outbox was being opened; the next start goes on with it")
                    return
                async with LocalApi(self._socket_path, self._answer):
                    await self._run_parts(stop, patience)
            finally:
                await patience.finish("closing the link", self.transport.close(), CLOSE_S)
                await patience.finish("closing the outbox", asyncio.to_thread(self.outbox.close), CLOSE_S)

    async def _open(self) -> None:
        await asyncio.to_thread(self.outbox.open)
        await self._note_absence()
        await self._begin_unscored()
        await self.baselines.restore()

    async def _run_parts(self, stop: asyncio.Event, patience: Patience) -> None:
        asyncio.get_running_loop().set_exception_handler(self.supervision.note_callback)
        sources = [self._start(source) for source in self.supervisors]
        for stage in self._pipeline:
            self._start_stage(stage)
        carriers = [
            self.supervision.start("outbox writer", self.writer.run),
            self.supervision.start("uplink", self.uplink.run),
            self.supervision.start("reconciliation", self.reconciliation.run),
            self.supervision.start("models", self.model_life.run),
            self.supervision.start("missing models", self.missing_models.run),
            self.supervision.start("model index", self.model_pull.run),
            self.supervision.start("baselines", partial(self.baselines.run, self.clock)),
            self.supervision.start("status file", self._keep_status_file),
            self.supervision.start("watchdog", self.notifier.keep_alive),
        ]
        try:
            self.notifier.ready(f"{len(sources)} sources")
            log.info("running: %d sources, central %s", len(sources), self.settings.central.url)
            await stop.wait()
            self.notifier.stopping()
            log.info("stopping")
            self.supervision.is_stopping = True
            await self._shutdown(sources, carriers).run(patience)
        finally:  # also when we are cancelled ourselves
            self.supervision.is_stopping = True
            for task in [*sources, *self.pipeline_tasks.values(), *carriers]:
                task.cancel()

    def _shutdown(self, sources: Sequence[asyncio.Task[None]], carriers: Sequence[asyncio.Task[None]]) -> Shutdown:
        """The stop of what there is by now: stages may have come since the start."""
        return Shutdown(
            sources=sources,
            pipeline=list(self.pipeline_tasks.values()),
            carriers=carriers,
            finish_sources=[source.finish for source in self.supervisors],
            finish_pipeline=[*(partial(self._finish, stage) for stage in self._pipeline), self._end_unscored],
            writer=self.writer,
            keep=self.baselines.save,
            deliver=self.uplink.drain,
            last_word=self._leave_last_word,
        )

    def _start_stage(self, stage: _AnyStage) -> None:
        self.pipeline_tasks[stage.name] = self._start(stage, restart_max_s=STAGE_RESTART_MAX_S)

    def _start(self, part: Supervisor | _AnyStage, *, restart_max_s: float = RESTART_MAX_S) -> asyncio.Task[None]:
        return self.supervision.start(part.name, part.run, after_failure=part.note_fault, restart_max_s=restart_max_s)

    async def _finish(self, stage: _AnyStage) -> None:
        await self.supervision.finish(
            stage.name, stage.finish, after_failure=stage.note_fault, has_items=lambda: stage.has_items
        )

    @property
    def _pipeline(self) -> list[_AnyStage]:
        return [*self.stages, *self.snapshots]

    async def _leave_last_word(self) -> None:
        document = await self._answer() | stopped(self.writer.state)
        waiting = document.get("outbox", {}).get("records", "an unknown number of")  # the disk may be gone by now
        log.info("stopped; %s records wait in the outbox for the next start", waiting)
        await asyncio.to_thread(self._status_file.write, document)

    async def _put(self, records: Sequence[Record]) -> None:
        everything = [*records, *self.recorder.take_events()]
        for record in everything:
            if isinstance(record, Event):
                self.ledger.note(record)
        await self.writer.put(everything)

    def _into(self, name: str) -> Callable[[Item], Awaitable[None]]:
        """Where a source's items go; while nobody reads its samples, its gaps are told all the same."""
        inlet = self.inlets[name]

        async def deliver(item: Item) -> None:
            if any(stage.line.source == name for stage in self.stages):
                await inlet.send(item)
            elif isinstance(item, Gap):
                await self._put([self.recorder.gap(item)])

        return deliver

    async def _note_absence(self) -> None:
        """The time between the last durable record and now, as a gap: we were not there."""
        last_us = (await asyncio.to_thread(self.outbox.counters))["last_append_us"]
        now_ns = self.clock.now_ns()
        if last_us == 0:
            return
        start_ns, detail = last_us * 1000, "the agent was not running"
        if start_ns >= now_ns:  # no RTC, or it was ahead before: how long is not known, that it was is
            start_ns, detail = now_ns, f"{detail}; the clock is behind the last record, so for how long is not known"
        gap = Gap(self.settings.gateway.id, GapCause.AGENT_STOPPED, start_ns, now_ns, detail)
        await self._put([self.recorder.gap(gap)])

    async def _begin_unscored(self) -> None:
        """Sources and tag models whose bundle was refused: a gap that lasts as long as the run."""
        for name, unscored in self.unscored.items():
            self.refused[name] = GapSpan(name)
            gap = self.refused[name].begin(GapCause.MODEL_REFUSED, self.clock.now_ns(), unscored.reason)
            await self._put([self.recorder.gap(gap)] if gap else [])

    async def _end_unscored(self) -> None:
        ended = [span.end(self.clock.now_ns()) for span in self.refused.values()]
        await self._put([self.recorder.gap(gap) for gap in ended if gap is not None])

    def _connect(self) -> None:
        for source in self.settings.sources:
            inlet: Channel[Any]
            if isinstance(source, WaveformSettings):
                inlet = self.inlets[source.name] = Channel(
                    source.name, capacity=BLOCKS_QUEUED, when_full=when_full(source)
                )
                self._connect_waveform(source, inlet)
            else:
                inlet = self.inlets[source.name] = Channel(source.name, capacity=SCANS_QUEUED, when_full=WhenFull.BLOCK)
                self._connect_tags(source, inlet)
            driver = build_driver(source, self.clock)
            deliver = self._into(source.name)
            self.supervisors.append(Supervisor(driver, deliver=deliver, clock=self.clock, say=_say))
        self._connect_tag_models()

    def _connect_waveform(self, source: WaveformSettings, inlet: Channel[SampleBlock | Gap]) -> None:
        model = self.models.get(source.model or "")
        indicators = indicator_line(
            source, model, self.settings, recorder=self.recorder, latest=self._latest, now_ns=self.clock.now_ns
        )
        if model is None:
            if source.model or indicators is None:
                self.unscored[source.name] = unscored_by(self.model_errors.get(source.model or ""), source.model)
            if indicators is not None:
                self.stages.append(IndicatorStage(indicators, inlet, self._put, self.clock))
            return
        line = self._waveform_line(source, model)
        self.model_life.attach(line)
        self.stages.append(WaveformStage(line, inlet, self._put, self.clock, indicators))

    def _waveform_line(self, source: WaveformSettings, model: ScoringModel) -> WaveformLine:
        line = waveform_line(source, model, self.settings.report, self.recorder)
        for row, (state, reasons) in enumerate(zip(line.channels, line.reasons, strict=True)):
            self.baselines.add(f"{source.asset}.{state.point}", reasons, measured_by(source, line.model, row))
        return line

    def _connect_tags(self, source: ModbusSettings | OpcUaSettings, inlet: Channel[Scan | Gap]) -> None:
        line = tag_line(source, self.settings.report, self.recorder)
        self.stages.append(TagStage(line, inlet, self._put, self.clock))

    def _connect_tag_models(self) -> None:
        for settings in self.settings.tag_models:
            model = self.models.get(settings.model)
            if model is None:
                self.unscored[settings.name] = unscored_by(self.model_errors.get(settings.model), settings.model)
                continue
            line = self._snapshot_line(settings, model)
            self.model_life.attach(line)
            self.snapshots.append(SnapshotStage(line, self._latest, self._put, self.clock))

    def _snapshot_line(self, settings: TagModelSettings, model: ScoringModel) -> SnapshotLine:
        check_inputs(settings, model)
        line = SnapshotLine(settings, model, self.recorder, learn_s=self.settings.report.interval_s)
        self.baselines.add(f"{settings.asset}.{settings.name}", line.reasons, measured_of(settings))
        return line

    # A model that has come since the start

    async def _adopt(self, model: ScoringModel) -> None:
        """Score with it wherever it is asked for. Raises BundleError when one of those does not fit it."""
        sources = [s for s in self.settings.sources if isinstance(s, WaveformSettings) and s.model == model.name]
        tag_models = [settings for settings in self.settings.tag_models if settings.model == model.name]
        try:
            waveforms = [(source, self._waveform_line(source, model)) for source in sources]
            snapshots = [self._snapshot_line(settings, model) for settings in tag_models]
            for source in sources:
                check_rows(source, indicators_of(source, self.settings.tables), model.feature_names)
        except ConfigurationError as exc:
            raise BundleError(exc.message, hint=exc.hint) from exc
        subjects = [subject for _, line in waveforms for subject in line.subjects]
        await self.baselines.restore([*subjects, *(f"{s.asset}.{s.name}" for s in tag_models)])
        self.models[model.name] = model
        await self.model_life.add(model, [*(line for _, line in waveforms), *snapshots])
        for source, line in waveforms:
            await self._exchange_stage(source, line)
        for snapshot in snapshots:
            stage = SnapshotStage(snapshot, self._latest, self._put, self.clock)
            self.snapshots.append(stage)
            self._start_stage(stage)
        for name in [*(source.name for source in sources), *(settings.name for settings in tag_models)]:
            await self._end_refusal(name)

    async def _exchange_stage(self, source: WaveformSettings, line: WaveformLine) -> None:
        """The source's samples go through the model as well, from the next block on; what looked at them goes on."""
        old = next((stage for stage in self.stages if stage.line.source == source.name), None)
        indicators = old.line if isinstance(old, IndicatorStage) else None
        if old is not None:
            await self._retire(old)
            self.stages.remove(old)
        if indicators is not None:
            indicators.leave_gaps_to_the_model()
        stage = WaveformStage(line, self.inlets[source.name], self._put, self.clock, indicators)
        self.stages.append(stage)
        self._start_stage(stage)

    async def _retire(self, stage: WaveformStage | IndicatorStage | TagStage) -> None:
        task = self.pipeline_tasks.pop(stage.name)
        while not stage.is_between_items:
            await self.clock.sleep(BETWEEN_ITEMS_S)
        task.cancel()
        await asyncio.wait([task])

    async def _end_refusal(self, name: str) -> None:
        self.unscored.pop(name, None)
        span = self.refused.pop(name, None)
        gap = span.end(self.clock.now_ns()) if span is not None else None
        await self._put([self.recorder.gap(gap)] if gap is not None else [])

    def _latest(self) -> dict[str, Reading]:
        latest: dict[str, Reading] = {}
        for stage in self.stages:
            if isinstance(stage, TagStage):
                latest |= stage.line.latest
        return latest

    async def _answer(self) -> dict[str, Any]:
        """The status, or at least why it cannot be made."""
        document = await self.supervision.result("status", self._describe)
        return document or bare_document(self.settings, self.supervision.failures, now_ns=self.clock.now_ns())

    async def _describe(self) -> dict[str, Any]:
        try:
            depth, counters = await asyncio.to_thread(self.outbox.depth), await asyncio.to_thread(self.outbox.counters)
            self.ledger.note_own(await asyncio.to_thread(self.outbox.gaps), subject=self.settings.gateway.id)
            outbox_error = None
        except OutboxError as exc:
            depth, counters, outbox_error = None, {}, exc.message
        parts = Parts(
            settings=self.settings,
            now_ns=self.clock.now_ns(),
            is_clock_synced=self.is_clock_synced(),
            sources={supervisor.name: supervisor.health for supervisor in self.supervisors},
            stages=self.stages,
            snapshots=self.snapshots,
            unscored={name: self._now_unscored(name, before) for name, before in self.unscored.items()},
            models=list(self.models.values()),
            model_updates=describe_updates(self.model_life, self.model_pull),
            model_errors=self.model_errors,
            depth=depth,
            counters=counters,
            clock_set_back=self.recorder.clock,
            outbox_error=outbox_error,
            writer=self.writer.state,
            uplink=self.uplink.state,
            worth=worth_of(self.transport),
            way=way_of(self.transport),
            ledger=self.ledger,
            reconcile=self.reconciliation.state,
            certificate=await asyncio.to_thread(certificate_problem, self.settings.central),
            failures=self.supervision.failures,
            outbox=self.outbox_watch.look(depth, counters, error=self.writer.state.error, now_ns=self.clock.now_ns()),
        )
        return describe(parts)

    def _now_unscored(self, name: str, before: Unscored) -> Unscored:
        """What is wrong may have changed since the start: other files, another key."""
        error = self.model_errors.get(before.model or "")
        return before if error is None else unscored_by(error, before.model)

    @property
    def _socket_path(self) -> Path:
        return self.settings.gateway.runtime_dir / "edge-agent.sock"

    @property
    def _status_file(self) -> StatusFile:
        return StatusFile(self.settings.gateway.runtime_dir / "status.json")

    async def _keep_status_file(self) -> None:
        while True:
            await self._put([])  # what the recorder itself has to tell, also when no stage has anything
            document = await self._describe()
            await asyncio.to_thread(self._status_file.write, document)
            self.notifier.status(document["summary"])
            await self.clock.sleep(STATUS_FILE_EVERY_S)


def _say(level: str, line: str) -> None:
    log.log(logging.getLevelNamesMapping()[level.upper()], "%s", line)
