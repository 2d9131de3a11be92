"""The only asyncio of the pipeline: channel in, pure step, records out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from cloud_sync.columns import Record
from edge_agent.core.channel import Channel
from edge_agent.core.clock import Clock
from edge_agent.core.gaps import Gap
from edge_agent.core.samples import SampleBlock
from edge_agent.core.tags import Reading, Scan
from edge_agent.pipeline.indicators import IndicatorLine
from edge_agent.pipeline.tags import SnapshotLine, TagLine
from edge_agent.pipeline.waveform import WaveformLine

Put = Callable[[Sequence[Record]], Awaitable[None]]


class _SampleStage:
    """Blocks of one waveform source become records. `lines` see every item, in this order."""

    def __init__(
        self, lines: Sequence[WaveformLine | IndicatorLine], inlet: Channel[SampleBlock | Gap], put: Put
    ) -> None:
        self.name = f"{lines[0].source} pipeline"
        self.inlet = inlet
        self._lines = lines
        self._put = put

    async def run(self) -> None:
        while True:
            await self._pass(await self.inlet.receive())
            # Arithmetic holds the loop for some milliseconds per second of signal: let the others in between.
            await asyncio.sleep(0)

    async def finish(self) -> None:
        """What still waits, then what is only partly reported. After the source has stopped."""
        for item in self.inlet.receive_ready():
            await self._pass(item)
        for line in self._lines:
            await self._put_some(line.flush())

    async def _pass(self, item: SampleBlock | Gap) -> None:
        for line in self._lines:
            await self._put_some(line.push(item))

    async def _put_some(self, records: Sequence[Record]) -> None:
        if records:
            await self._put(records)


class WaveformStage(_SampleStage):
    """One waveform source with a model, and indicators of the same samples."""

    def __init__(
        self,
        line: WaveformLine,
        inlet: Channel[SampleBlock | Gap],
        put: Put,
        indicators: IndicatorLine | None = None,
    ) -> None:
        # Indicators first: the model's alarm tells the fault lines of its own window.
        super().__init__([line] if indicators is None else [indicators, line], inlet, put)
        self.line = line
        self.indicators = indicators
        if indicators is not None:
            line.fault_lines, line.rows_taken = indicators.standing_lines, indicators.row_names


class IndicatorStage(_SampleStage):
    """One waveform source whose condition is looked at without a model."""

    def __init__(self, line: IndicatorLine, inlet: Channel[SampleBlock | Gap], put: Put) -> None:
        super().__init__([line], inlet, put)
        self.line = self.indicators = line


class TagStage:
    """One source of tags."""

    def __init__(self, line: TagLine, inlet: Channel[Scan | Gap], put: Put, clock: Clock) -> None:
        self.name = f"{line.source} pipeline"
        self.line = line
        self.inlet = inlet
        self._put = put
        self._clock = clock

    async def run(self) -> None:
        while True:
            await self._pass(await self.inlet.receive())

    async def finish(self) -> None:
        for item in self.inlet.receive_ready():
            await self._pass(item)
        await self._put(self.line.flush(self._clock.now_ns()))

    async def _pass(self, item: Scan | Gap) -> None:
        records = self.line.push(item)
        if records:
            await self._put(records)


class SnapshotStage:
    """One tabular model, scored at its interval on a fixed beat."""

    def __init__(self, line: SnapshotLine, latest: Callable[[], dict[str, Reading]], put: Put, clock: Clock) -> None:
        self.name = f"{line.settings.name} snapshots"
        self.line = line
        self._latest = latest
        self._put = put
        self._clock = clock

    async def run(self) -> None:
        due_s = self._clock.monotonic_s()
        while True:
            due_s += self.line.settings.interval_s
            await self._clock.sleep(max(0.0, due_s - self._clock.monotonic_s()))
            due_s = max(due_s, self._clock.monotonic_s() - self.line.settings.interval_s)
            records = self.line.score(self._latest(), self._clock.now_ns())
            if records:
                await self._put(records)

    async def finish(self) -> None:
        await self._put(self.line.flush(self._clock.now_ns()))
