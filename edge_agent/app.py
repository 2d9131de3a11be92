"""The composition root: settings become objects, objects run as tasks.

The only place that creates long-lived tasks; each is started again when it fails (`supervision`). A stop follows
the flow, with a bound on every step (`shutdown`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from cloud_sync.columns import Record
from cloud_sync.errors import OutboxError
from cloud_sync.host.stopping import Patience, unless_stopped
from cloud_sync.outbox.audit_log import AuditLog
from cloud_sync.outbox.store import Outbox
from cloud_sync.outbox.writer import OutboxWriter
from cloud_sync.presence import Presence
from cloud_sync.reconcile.hourly import HourlyReconciliation
from cloud_sync.records import Event
from cloud_sync.transports.base import Transport
from cloud_sync.transports.central_time import CentralTime
from cloud_sync.transports.link_meter import LinkMeter
from cloud_sync.uplink.sender import Uplink
from edge_agent.core.clock import Clock
from edge_agent.daemon.assembly import clock_keeper_of, model_pull_of, outbox_of, policy_of
from edge_agent.daemon.downtime import record_downtime
from edge_agent.daemon.late_models import LateModels, UnscoredGaps
from edge_agent.daemon.running_stages import RunningStages
from edge_agent.daemon.shutdown import CLOSE_S, OPENING_S, Shutdown
from edge_agent.daemon.wiring import Wiring
from edge_agent.delivery.client_certificate import certificate_problem
from edge_agent.drivers.supervisor import Supervisor
from edge_agent.errors import BundleError, FamilyError
from edge_agent.health.clock_keeper import ClockKeeper
from edge_agent.health.clock_quality import ClockQuality
from edge_agent.health.gap_ledger import GapLedger
from edge_agent.health.steady_clock import SteadyClock, UtcClock
from edge_agent.health.supervision import Supervision
from edge_agent.health.systemd import SystemdNotifier
from edge_agent.installation.lease import Installation
from edge_agent.installation.state_lock import own_state
from edge_agent.pipeline.explain.baseline_files import BaselineFiles
from edge_agent.pipeline.lines import ModelLines
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.operating_state import Operations
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.stages import SnapshotStage, SourceStage
from edge_agent.rollout.index_client import ModelPull
from edge_agent.rollout.lifecycle import ModelLifecycle
from edge_agent.rollout.missing_models import MissingModels
from edge_agent.rollout.startup import load_models, settle_probations, wanted_models
from edge_agent.settings import Settings
from edge_agent.settings.source_kinds import source_kinds
from edge_agent.status.document import StatusInputs, describe, minimal_document, stopped_fields
from edge_agent.status.fields import rfc3339
from edge_agent.status.host import HostWatch
from edge_agent.status.machines import describe_alarms
from edge_agent.status.metered_link import MeteredLink, metered_link
from edge_agent.status.models import describe_updates
from edge_agent.status.outbox_watch import OutboxWatch
from edge_agent.status.reconciliation import hourly
from edge_agent.status.words import counted

log = logging.getLogger("edge_agent")

STATUS_FILE_EVERY_S: Final = 5.0


@dataclass(slots=True)
class Agent:
    """One gateway. `build` only makes objects; `run` opens, runs and closes them."""

    settings: Settings
    clock: SteadyClock
    utc: UtcClock
    clock_keeper: ClockKeeper
    transport: Transport
    outbox: Outbox
    outbox_watch: OutboxWatch
    writer: OutboxWriter
    uplink: Uplink
    installation: Installation
    link: MeteredLink
    reconciliation: HourlyReconciliation
    recorder: Recorder
    ledger: GapLedger
    notifier: SystemdNotifier
    baselines: BaselineFiles
    models: dict[str, ScoringModel]
    model_errors: dict[str, BundleError]
    lifecycle: ModelLifecycle = field(init=False)
    model_pull: ModelPull = field(init=False)
    missing_models: MissingModels = field(init=False)
    supervisors: list[Supervisor] = field(default_factory=list)
    supervision: Supervision = field(init=False)
    host: HostWatch = field(init=False)
    lines: ModelLines = field(init=False)
    running: RunningStages = field(init=False)
    unscored: UnscoredGaps = field(init=False)
    left_out: dict[str, FamilyError] = field(init=False)
    operations: Operations = field(init=False)

    @classmethod
    def build(
        cls,
        settings: Settings,
        *,
        clock: Clock,
        transport: Transport,
        meter: LinkMeter | None = None,
        presence: Presence | None = None,
        central_time: CentralTime | None = None,
    ) -> Agent:
        """Load the champions and connect the parts. A bundle that is refused costs only its own sources."""
        withdrawn = settle_probations(settings, time=rfc3339(clock.now_ns()) or "", log=_log_line)
        models, model_errors = load_models(settings, log=_log_line)
        quality, steady = ClockQuality(), SteadyClock(clock)
        utc = UtcClock(steady)
        outbox = outbox_of(settings, utc, quality)
        link = metered_link(settings, meter or LinkMeter(), utc, is_synced=quality, in_use=lambda: transport.route.link)
        uplink = Uplink(outbox, transport, policy=policy_of(settings.central), gate=link.gate, now_ns=utc.now_ns)
        audit_log = AuditLog(settings.outbox.key_journal) if settings.outbox.key_journal else None
        keeper = clock_keeper_of(settings, steady, quality, outbox, uplink, audit_log, central_time)
        writer = OutboxWriter(
            outbox,
            gateway_id=settings.gateway.id,
            flush_interval_s=settings.outbox.flush_interval_s,
            audit_log=audit_log,
            on_flush=uplink.wake,
            stamping=keeper.stamping,
        )
        agent = cls(
            settings=settings,
            clock=steady,
            utc=utc,
            clock_keeper=keeper,
            transport=transport,
            outbox=outbox,
            outbox_watch=OutboxWatch(outbox, lambda: uplink.state),
            writer=writer,
            uplink=uplink,
            installation=Installation(settings, presence or Presence()),
            link=link,
            reconciliation=hourly(settings, outbox, uplink, transport, utc, link),
            recorder=Recorder(is_clock_synced=keeper.is_trusted),
            ledger=GapLedger(since_us=clock.now_ns() // 1000),
            notifier=SystemdNotifier(),
            baselines=BaselineFiles(settings.gateway.state_dir / "baselines", log=_log_line),
            models=models,
            model_errors=model_errors,
        )
        agent.supervision = Supervision(utc)
        agent.host = HostWatch(settings, utc, describe=agent._answer)
        agent.lines = ModelLines(settings, agent.recorder, agent.baselines)
        agent.running = RunningStages(agent.supervision, agent._put, steady)
        agent.operations = Operations(settings.operating_states, latest=agent.running.latest, now_ns=steady.now_ns)
        agent.unscored = UnscoredGaps(model_errors, agent.recorder, agent._put, steady)
        agent.lifecycle = ModelLifecycle(
            settings.models,
            models,
            state_dir=settings.gateway.state_dir,
            clock=steady,
            recorder=agent.recorder,
            put=agent._put,
            log=_log_line,
            alarms=lambda: {alarm["subject"] for alarm in describe_alarms(agent.stages, agent.snapshots)},
            withdrawn=withdrawn,
            wanted=wanted_models(settings),
        )
        late = LateModels(
            settings,
            models,
            lines=agent.lines,
            lifecycle=agent.lifecycle,
            running=agent.running,
            unscored=agent.unscored,
            operations=agent.operations,
        )
        agent.missing_models = MissingModels(settings, model_errors, adopt=late.adopt, clock=utc, log=_log_line)
        agent.model_pull = model_pull_of(settings, models, link, utc, log=_log_line)
        wiring = Wiring(
            settings,
            models,
            lines=agent.lines,
            running=agent.running,
            lifecycle=agent.lifecycle,
            unscored=agent.unscored,
            recorder=agent.recorder,
            put=agent._put,
            clock=steady,
            operations=agent.operations,
        )
        agent.supervisors, agent.left_out = wiring.connect(log=_log_line), wiring.left_out
        return agent

    async def run(self, stop: asyncio.Event, patience: Patience | None = None) -> None:
        """Run until `stop` is set; `patience` has the waits of the stop."""
        patience = patience or Patience()
        with own_state(self.settings.gateway.state_dir, log=_log_line):
            try:
                if await unless_stopped(stop, self._open(), within_s=OPENING_S) is None:
                    log.warning("stopped while the outbox was being opened; the next start goes on with it")
                    return
                async with self.host.api:
                    await self._run_parts(stop, patience)
            finally:
                await patience.finish("closing the link", self.transport.close(), CLOSE_S)
                await patience.finish("keeping the data budget", self.link.save(), CLOSE_S)
                await patience.finish("closing the outbox", asyncio.to_thread(self.outbox.close), CLOSE_S)

    async def _open(self) -> None:
        await asyncio.to_thread(self.installation.begin, now_ns=self.clock.now_ns(), log=_log_line)
        await asyncio.to_thread(self.outbox.open)
        keeper = self.clock_keeper
        await keeper.begin()
        await keeper.when_known(partial(record_downtime, self.settings.gateway.id, keeper, self.ledger, self._put))
        await self.unscored.begin()
        await self.baselines.restore()

    async def _run_parts(self, stop: asyncio.Event, patience: Patience) -> None:
        asyncio.get_running_loop().set_exception_handler(self.supervision.on_loop_error)
        sources = [self.supervision.start(s.name, s.run, after_failure=s.record_fault) for s in self.supervisors]
        for stage in self.running.all:
            self.running.start(stage)
        heartbeat = self.installation.heartbeat(self.transport, self.uplink, self.utc)
        carriers = [
            self.supervision.start("outbox writer", self.writer.run),
            self.supervision.start("uplink", self.uplink.run),
            self.supervision.start("heartbeat", heartbeat.run),
            self.supervision.start("clock", partial(self.clock_keeper.run, self.uplink.wake)),
            self.supervision.start("data budget", partial(self.link.run, self.clock)),
            self.supervision.start("reconciliation", self.reconciliation.run),
            self.supervision.start("models", self.lifecycle.run),
            self.supervision.start("missing models", self.missing_models.run),
            self.supervision.start("model index", self.model_pull.run),
            self.supervision.start("baselines", partial(self.baselines.run, self.clock)),
            self.supervision.start("status file", self._keep_status_file),
            self.supervision.start("watchdog", self.notifier.keep_alive),
            self.supervision.start("box", self._warn_of_host),
        ]
        try:
            self.notifier.ready(counted(len(sources), "source"))
            log.info("running: %s, central %s", counted(len(sources), "source"), self.settings.central.address)
            await stop.wait()
            self.notifier.stopping()
            log.info("stopping")
            self.supervision.is_stopping = True
            await self._shutdown(sources, carriers).run(patience)
        finally:  # also when we are cancelled ourselves
            self.supervision.is_stopping = True
            for task in [*sources, *self.running.tasks.values(), *carriers]:
                task.cancel()

    def _shutdown(self, sources: Sequence[asyncio.Task[None]], carriers: Sequence[asyncio.Task[None]]) -> Shutdown:
        """The stop of what there is by now: stages may have come since the start."""
        return Shutdown(
            sources=sources,
            pipeline=list(self.running.tasks.values()),
            carriers=carriers,
            finish_sources=[source.finish for source in self.supervisors],
            finish_pipeline=[*self.running.steps_to_finish(), self._end_operations, self.unscored.end_all],
            writer=self.writer,
            keep=self.baselines.save,
            deliver=self.uplink.drain,
            last_status=self._write_last_status,
        )

    @property
    def stages(self) -> list[SourceStage]:
        """Return what reads the sources' samples and tags now."""
        return self.running.stages

    @property
    def snapshots(self) -> list[SnapshotStage]:
        """Return what scores tags now."""
        return self.running.snapshots

    async def _write_last_status(self) -> None:
        document = await self._answer() | stopped_fields(self.writer.state)
        records = document.get("outbox", {}).get("records")
        waiting = "an unknown number of records" if records is None else counted(records, "record")  # no disk by now
        log.info("stopped; %s waiting in the outbox for the next start", waiting)
        await asyncio.to_thread(self.host.folders.write, document)

    async def _put(self, records: Sequence[Record]) -> None:
        everything = [*records, *self.recorder.take_events()]
        for record in everything:
            if isinstance(record, Event):
                self.ledger.add(record)
        await self.writer.put(everything)

    async def _end_operations(self) -> None:
        ended = [gap for operation in self.operations.all for gap in operation.flush()]
        await self._put([self.recorder.gap(gap) for gap in ended])

    async def _answer(self) -> dict[str, Any]:
        """The status, or at least why it cannot be made."""
        document = await self.supervision.result("status", self._describe)
        return document or minimal_document(self.settings, self.supervision.failures, now_ns=self.utc.now_ns())

    async def _describe(self) -> dict[str, Any]:
        try:
            depth, counters = await asyncio.to_thread(self.outbox.depth), await asyncio.to_thread(self.outbox.counters)
            self.ledger.add_outbox_gaps(await asyncio.to_thread(self.outbox.gaps), subject=self.settings.gateway.id)
            outbox_error = None
        except OutboxError as exc:
            depth, counters, outbox_error = None, {}, exc.message
        inputs = StatusInputs(
            settings=self.settings,
            now_ns=self.utc.now_ns(),
            clock=self.clock,
            clock_health=await asyncio.to_thread(self.clock_keeper.health),
            sources={supervisor.name: supervisor.health for supervisor in self.supervisors},
            reports={supervisor.name: supervisor.report() for supervisor in self.supervisors},
            stages=self.stages,
            snapshots=self.snapshots,
            operations=self.operations.all,
            unscored=self.unscored.described(),
            models=list(self.models.values()),
            model_updates=describe_updates(self.lifecycle, self.model_pull),
            model_errors=self.model_errors,
            depth=depth,
            counters=counters,
            clock_set_back=self.recorder.clock,
            outbox_error=outbox_error,
            writer=self.writer.state,
            uplink=self.uplink.state,
            link=self.link.describe(self.uplink.state.accepted_total, self.clock.now_ns()),
            held_back=self.link.problem(depth, self.clock.now_ns()),
            transport=self.transport,
            ledger=self.ledger,
            reconcile=self.reconciliation.state,
            certificate=await asyncio.to_thread(certificate_problem, self.settings.central),
            failures=self.supervision.failures,
            unusable_drivers=source_kinds().unusable,
            left_out=self.left_out,
            own=self.installation,
            outbox=self.outbox_watch.look(depth, counters, error=self.writer.state.error, now_ns=self.utc.now_ns()),
            host=await asyncio.to_thread(self.host.look),
        )
        return describe(inputs)

    async def _warn_of_host(self) -> None:
        """Once, and apart from the others: a disk that does not answer must not keep a stop from being heard."""
        for line in await asyncio.to_thread(self.host.warnings):
            log.warning("%s", line)

    async def _keep_status_file(self) -> None:
        while True:
            await self._put([])  # what the recorder itself has to tell, also when no stage has anything
            document = await self._describe()
            await asyncio.to_thread(self.host.folders.write, document)
            self.notifier.status(document["summary"])
            await self.clock.sleep(STATUS_FILE_EVERY_S)


def _log_line(level: str, line: str) -> None:
    log.log(logging.getLevelNamesMapping()[level.upper()], "%s", line)
