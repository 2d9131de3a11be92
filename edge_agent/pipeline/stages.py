"""The only asyncio of the pipeline: channel in, pure step, records out.

A stage that fails is started again (`supervision`) and goes on with the next item; a gap stands for the one it failed
at, so that nothing is missing in silence.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from cloud_sync.columns import Record
from edge_agent.core.channel import Channel
from edge_agent.core.clock import Clock
from edge_agent.core.gaps import Gap, GapCause, GapSpan
from edge_agent.core.samples import SampleBlock
from edge_agent.core.tags import KeepAlive, Reading, Scan
from edge_agent.pipeline.condition.line import IndicatorLine
from edge_agent.pipeline.recorder import gap_event
from edge_agent.pipeline.sample_gaps import is_news
from edge_agent.pipeline.scored_line import SampleLine, ScoredSampleLine, ScoredTagLine
from edge_agent.pipeline.sensor_health.signal import SignalHealth
from edge_agent.pipeline.tags import TagLine

Put = Callable[[Sequence[Record]], Awaitable[None]]
TagItem = Scan | KeepAlive
ItemT = TypeVar("ItemT", SampleBlock, TagItem)


class _Stage(ABC, Generic[ItemT]):
    """Items of one source become records, one after the other. `status` reads the lines that it has."""

    scored: ScoredSampleLine | None = None
    indicators: IndicatorLine | None = None
    health: SignalHealth | None = None
    tags: TagLine | None = None

    def __init__(self, source: str, inlet: Channel[ItemT | Gap], put: Put, clock: Clock) -> None:
        self.source = source
        self.name = f"{source} pipeline"
        self.inlet: Channel[ItemT | Gap] = inlet
        self._put = put
        self._clock = clock
        self._in_work: ItemT | Gap | None = None
        self._fault = GapSpan(source)

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self._take(await self.inlet.receive())
            # Arithmetic holds the loop for some milliseconds per second of signal: let the others in between.
            await asyncio.sleep(0)

    async def finish(self) -> None:
        """Pass what still waits, then put what is only partly reported. After the source has stopped."""
        while self.inlet.stats().depth > 0:
            await self._take(await self.inlet.receive())
        await self._flush()
        await self._end_fault(self._clock.now_ns())

    @property
    def is_between_items(self) -> bool:
        """Return whether its task can be cancelled without an item that is only half through."""
        return self._in_work is None

    @property
    def has_items(self) -> bool:
        """Return whether something waits in front of this stage."""
        return self.inlet.stats().depth > 0

    async def record_fault(self, what: str) -> None:
        """Put a gap for the item in work when this stage failed; an item that was a gap is put as it is."""
        item, self._in_work = self._in_work, None
        if isinstance(item, Gap):
            await self._put([gap_event(item)])
            return
        start_ns = self._clock.now_ns() if item is None else _start_ns(item)
        begun = self._fault.begin(GapCause.AGENT_FAULT, start_ns, what, count=1)
        await self._put_some([gap_event(begun)] if begun else [])

    async def _take(self, item: ItemT | Gap) -> None:
        self._in_work = item
        await self._pass(item)
        self._in_work = None
        if not isinstance(item, Gap):
            await self._end_fault(_start_ns(item))

    async def _end_fault(self, at_ns: int) -> None:
        ended = self._fault.end(at_ns)
        await self._put_some([gap_event(ended)] if ended else [])

    async def _put_some(self, records: Sequence[Record]) -> None:
        if records:
            await self._put(records)

    @abstractmethod
    async def _pass(self, item: ItemT | Gap) -> None:
        """Make records of one item, and put them."""

    @abstractmethod
    async def _flush(self) -> None:
        """Put what is only partly reported."""


class WaveformStage(_Stage[SampleBlock]):
    """One waveform source, with a line that scores its samples, with indicators of them, or with both.

    What `health` has not judged yet waits in it, also from one stage of a source to the next.
    """

    def __init__(
        self,
        source: str,
        inlet: Channel[SampleBlock | Gap],
        put: Put,
        clock: Clock,
        *,
        scored: ScoredSampleLine | None = None,
        indicators: IndicatorLine | None = None,
        health: SignalHealth | None = None,
    ) -> None:
        super().__init__(source, inlet, put, clock)
        self.scored = scored
        self.indicators = indicators
        self.health = health
        # Indicators first: the model's alarm names the fault lines of its own window.
        self._lines: list[SampleLine] = [line for line in (indicators, scored) if line is not None]

    @property
    def has_items(self) -> bool:
        """Return whether something waits in front of this stage, or in it to be passed on."""
        return super().has_items or (self.health is not None and self.health.has_judged)

    async def _flush(self) -> None:
        if self.health is not None:
            await self._put_some(self.health.release())
            await self._pass_judged(self.health)
        for line in self._lines:
            await self._put_some(line.flush())
        if self.health is not None:
            await self._put_some(self.health.flush())

    async def _pass(self, item: SampleBlock | Gap) -> None:
        if self.health is None:
            await self._into_lines(item)
            return
        await self._put_some(self.health.push(item))
        await self._pass_judged(self.health)

    async def _pass_judged(self, health: SignalHealth) -> None:
        while (item := health.take()) is not None:
            self._in_work = item
            await self._into_lines(item)

    async def _into_lines(self, item: SampleBlock | Gap) -> None:
        if not self._lines and isinstance(item, Gap) and is_news(item, None):  # else a line says it
            await self._put([gap_event(item)])
        for line in self._lines:
            await self._put_some(line.push(item))


class TagStage(_Stage[TagItem]):
    """One source of tags."""

    def __init__(self, line: TagLine, inlet: Channel[TagItem | Gap], put: Put, clock: Clock) -> None:
        super().__init__(line.name, inlet, put, clock)
        self.tags = line
        self._line = line

    async def _pass(self, item: TagItem | Gap) -> None:
        await self._put_some(self._line.push(item))

    async def _flush(self) -> None:
        await self._put(self._line.flush(self._clock.now_ns()))


SourceStage = WaveformStage | TagStage


class SnapshotStage:
    """One tabular model, scored at its interval on a fixed beat."""

    def __init__(self, line: ScoredTagLine, latest: Callable[[], dict[str, Reading]], put: Put, clock: Clock) -> None:
        self.name = f"{line.name} snapshots"
        self.line = line
        self._latest = latest
        self._put = put
        self._clock = clock
        self._fault = GapSpan(line.name)

    async def run(self) -> None:
        """Run until cancelled."""
        due_s = self._clock.monotonic_s()
        while True:
            due_s += self.line.interval_s
            await self._clock.sleep(max(0.0, due_s - self._clock.monotonic_s()))
            due_s = max(due_s, self._clock.monotonic_s() - self.line.interval_s)
            records = [*self.line.score(self._latest(), self._clock.now_ns()), *self._end_fault()]
            if records:
                await self._put(records)

    async def finish(self) -> None:
        """Put what is only partly reported."""
        await self._put([*self.line.flush(self._clock.now_ns()), *self._end_fault()])

    @property
    def has_items(self) -> bool:
        """Return False: it looks at what the tags are at its time."""
        return False

    async def record_fault(self, what: str) -> None:
        """Begin a gap for the snapshot that was not scored; it lasts until the next one is."""
        begun = self._fault.begin(GapCause.AGENT_FAULT, self._clock.now_ns(), what, count=1)
        if begun is not None:
            await self._put([gap_event(begun)])

    def _end_fault(self) -> list[Record]:
        ended = self._fault.end(self._clock.now_ns())
        return [] if ended is None else [gap_event(ended)]


def _start_ns(item: SampleBlock | TagItem) -> int:
    if isinstance(item, SampleBlock):
        return item.start_ns
    if isinstance(item, KeepAlive):
        return item.received_time_ns
    times = [reading.received_time_ns for reading in item.readings] + [text.received_time_ns for text in item.texts]
    return min(times, default=0)
