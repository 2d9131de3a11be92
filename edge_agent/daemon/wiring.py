"""Which source feeds which stage: drivers, inlets and stages are made and connected here, as the settings say.

Starts nothing; who is connected later, because its model came later, is the affair of `late_models`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from edge_agent.core.channel import Channel, WhenFull
from edge_agent.core.clock import Clock
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.samples import SampleBlock
from edge_agent.daemon.late_models import UnscoredGaps
from edge_agent.daemon.running_stages import RunningStages
from edge_agent.drivers.registry import build_driver
from edge_agent.drivers.supervisor import Supervisor
from edge_agent.errors import FamilyError
from edge_agent.pipeline.lines import ModelLines, indicator_line, signal_health, tag_line, when_full
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.operating_state import Operations
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.stages import Put, TagItem, TagStage, WaveformStage
from edge_agent.rollout.lifecycle import ModelLifecycle
from edge_agent.settings import Settings, SourceSettings, WaveformSettings
from edge_agent.settings.source_kinds import source_kinds

BLOCKS_QUEUED: Final = 64  # some seconds of signal: the loop is never away that long, and memory stays small
SCANS_QUEUED: Final = 64


class Wiring:
    """Puts what it makes into `running`, and what has no model into `unscored`."""

    def __init__(
        self,
        settings: Settings,
        models: Mapping[str, ScoringModel],
        *,
        lines: ModelLines,
        running: RunningStages,
        lifecycle: ModelLifecycle,
        unscored: UnscoredGaps,
        recorder: Recorder,
        put: Put,
        clock: Clock,
        operations: Operations,
    ) -> None:
        self._settings = settings
        self._models = models
        self._lines = lines
        self._running = running
        self._lifecycle = lifecycle
        self._unscored = unscored
        self._recorder = recorder
        self._put = put
        self._clock = clock
        self._operations = operations
        self.left_out: dict[str, FamilyError] = {}
        """Indicators whose family's package cannot be used, by where they stand."""

    def connect(self, *, log: Callable[[str, str], None]) -> list[Supervisor]:
        """Return what runs the sources, in the settings' order."""
        for error in source_kinds().unusable.values():
            log("warning", f"{error.message}; {error.hint}")
        supervisors = []
        for source in self._settings.sources:
            inlet: Channel[Any]
            if isinstance(source, WaveformSettings):
                inlet = Channel(source.name, capacity=BLOCKS_QUEUED, when_full=when_full(source))
                self._connect_waveform(source, inlet)
            else:
                inlet = Channel(source.name, capacity=SCANS_QUEUED, when_full=WhenFull.BLOCK)
                self._connect_tags(source, inlet)
            self._running.inlets[source.name] = inlet
            driver = build_driver(source, self._clock)
            deliver, ended = inlet.send, None
            if isinstance(source, WaveformSettings):
                ended = partial(self._end, source.name, inlet)
            supervisors.append(Supervisor(driver, deliver=deliver, clock=self._clock, log=log, ended=ended))
        self._connect_tag_models()
        for where, problem in self.left_out.items():
            log("warning", f"{where}: {problem.message}; {problem.hint}")
        return supervisors

    async def _end(self, name: str, inlet: Channel[SampleBlock | Gap]) -> None:
        """Say that a recording is over: whoever collects samples has all of them."""
        now_ns = self._clock.now_ns()
        await inlet.send(Gap(name, GapCause.END_OF_RECORDING, now_ns, now_ns, "the recording has been played"))

    def _connect_waveform(self, source: WaveformSettings, inlet: Channel[SampleBlock | Gap]) -> None:
        running, model = self._running, self._models.get(source.model or "")
        health = signal_health(
            source,
            self._recorder,
            latest=running.latest,
            now_ns=self._clock.now_ns,
            operation=self._operations.of(source.asset),
        )
        running.health[source.name] = health
        indicators = indicator_line(
            source,
            model,
            self._settings,
            recorder=self._recorder,
            latest=running.latest,
            now_ns=self._clock.now_ns,
            leave_out=self.left_out.__setitem__,
            uses=health.uses,
        )
        line = None
        if model is None:
            if source.model or indicators is None:
                self._unscored.add(source.name, source.model)
        else:
            observe = self._lifecycle.rollouts[model.name].observe
            line = self._lines.waveform(source, model, observe=observe, indicators=indicators, uses=health.uses)
            self._lifecycle.attach(line)
        stage = WaveformStage(
            source.name, inlet, self._put, self._clock, scored=line, indicators=indicators, health=health
        )
        running.add(stage)

    def _connect_tags(self, source: SourceSettings, inlet: Channel[TagItem | Gap]) -> None:
        line = tag_line(source, self._settings.report, self._recorder)
        self._running.add(TagStage(line, inlet, self._put, self._clock))

    def _connect_tag_models(self) -> None:
        for settings in self._settings.tag_models:
            model = self._models.get(settings.model)
            if model is None:
                self._unscored.add(settings.name, settings.model)
                continue
            line = self._lines.snapshot(
                settings,
                model,
                observe=self._lifecycle.rollouts[model.name].observe,
                operation=self._operations.of(settings.asset),
            )
            self._lifecycle.attach(line)
            self._running.add_snapshot(line)
