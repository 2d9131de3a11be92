"""The stages that run: begun, exchanged and emptied one by one, while sources go on sending.

Constraints
- A stage is given up only between two items, so nothing it has begun is lost.
- `stages`, `snapshots` and `tasks` are the agent's own tables: who reads them sees what runs now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from edge_agent.core.channel import Channel
from edge_agent.core.clock import Clock
from edge_agent.core.tags import Reading
from edge_agent.health.supervision import Supervision
from edge_agent.pipeline.condition.line import IndicatorLine
from edge_agent.pipeline.scored_line import ScoredSampleLine, ScoredTagLine
from edge_agent.pipeline.sensor_health.signal import SignalHealth
from edge_agent.pipeline.stages import Put, SnapshotStage, SourceStage, WaveformStage

AnyStage = SourceStage | SnapshotStage

STAGE_RESTART_MAX_S: Final = 5.0
"""What a source sends meanwhile waits in front of the stage."""
BETWEEN_ITEMS_S: Final = 0.01


class RunningStages:
    """One stage a source, from its inlet on, and one a tag model."""

    def __init__(self, supervision: Supervision, put: Put, clock: Clock) -> None:
        self.inlets: dict[str, Channel[Any]] = {}
        self.stages: list[SourceStage] = []
        self.snapshots: list[SnapshotStage] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.health: dict[str, SignalHealth] = {}
        self._supervision = supervision
        self._put = put
        self._clock = clock

    @property
    def all(self) -> list[AnyStage]:
        """Return them in the order of the flow: what gives tags before what reads them."""
        return [*self.stages, *self.snapshots]

    def of_source(self, name: str) -> SourceStage | None:
        """Return what reads the samples of this source, if anything does."""
        return next((stage for stage in self.stages if stage.source == name), None)

    def indicators_of(self, name: str) -> IndicatorLine | None:
        """Return the indicators that look at the samples of this source, if there are any."""
        stage = self.of_source(name)
        return None if stage is None else stage.indicators

    def add(self, stage: SourceStage) -> None:
        """Take a stage in; it runs once it is started."""
        self.stages.append(stage)

    def add_snapshot(self, line: ScoredTagLine) -> SnapshotStage:
        """Take in a stage for a tag model, which reads the newest readings of all sources."""
        stage = SnapshotStage(line, self.latest, self._put, self._clock)
        self.snapshots.append(stage)
        return stage

    def start(self, stage: AnyStage) -> None:
        """Run it until it is retired, or the agent stops."""
        self.tasks[stage.name] = self._supervision.start(
            stage.name, stage.run, after_failure=stage.record_fault, restart_max_s=STAGE_RESTART_MAX_S
        )

    async def exchange(self, source: str, line: ScoredSampleLine) -> None:
        """Score the source's samples as well, from the next block on; the indicators that looked at them go on."""
        old, indicators = self.of_source(source), self.indicators_of(source)
        if old is not None:
            await self._retire(old)
            self.stages.remove(old)
        if indicators is not None:
            indicators.leave_gaps_to_the_model()
        stage = WaveformStage(
            source,
            self.inlets[source],
            self._put,
            self._clock,
            scored=line,
            indicators=indicators,
            health=self.health.get(source),
        )
        self.add(stage)
        self.start(stage)

    def steps_to_finish(self) -> list[Callable[[], Awaitable[None]]]:
        """Return what empties each, in the order of the flow."""
        return [self._finishing(stage) for stage in self.all]

    def latest(self) -> dict[str, Reading]:
        """Return the newest reading of every tag."""
        latest: dict[str, Reading] = {}
        for stage in self.stages:
            if stage.tags is not None:
                latest |= stage.tags.latest
        return latest

    def _finishing(self, stage: AnyStage) -> Callable[[], Awaitable[None]]:
        async def finish() -> None:
            await self._supervision.finish(
                stage.name, stage.finish, after_failure=stage.record_fault, has_items=lambda: stage.has_items
            )

        return finish

    async def _retire(self, stage: SourceStage) -> None:
        task = self.tasks.pop(stage.name)
        while not stage.is_between_items:
            await self._clock.sleep(BETWEEN_ITEMS_S)
        task.cancel()
        await asyncio.wait([task])
