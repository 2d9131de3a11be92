"""A Modbus device as a source of scans: what is read when, and what its answers mean for the tags.

Constraints
- A register the device does not have costs that tag only: its block is split until it stands alone.
- Retrying a lost device is the supervisor's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from edge_agent.core.clock import Clock
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.tags import Reading, Scan, Tag, TextReading
from edge_agent.drivers.base import Item
from edge_agent.drivers.modbus.answers import ExceptionAnswer
from edge_agent.drivers.modbus.codec import Decoder, bad_reading
from edge_agent.drivers.modbus.connection import Connection
from edge_agent.drivers.modbus.plan import FixedRate, RegisterBlock, block_of, plan_blocks, split
from edge_agent.drivers.modbus.settings import ModbusSettings, PollGroupSettings
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings
from edge_agent.drivers.report import SourceReport, TagReport, TagState

RETRY_REJECTED_S: Final = 300.0  # a register that was refused may appear with a new PLC program: minutes, not scans

REJECTIONS: Final = frozenset({1, 2, 3})  # the same question will get the same answer

_Found = dict[str, Reading | TextReading]


@dataclass(frozen=True, slots=True)
class ModbusStats:
    """`overruns_total` counts the scans that were due while an earlier one was still running."""

    overruns_total: int
    rejected_tags: tuple[str, ...]


@dataclass(slots=True)
class _Group:
    """A poll group's working plan: the blocks that are read, and the tags the device refused."""

    schedule: FixedRate
    order: tuple[str, ...]
    blocks: list[RegisterBlock]
    refused: dict[str, ModbusTagSettings] = field(default_factory=dict)
    reports: dict[str, TagReport] = field(default_factory=dict)
    retry_refused_s: float = 0.0


class ModbusDriver:
    """Reads the poll groups of one device, each at its own fixed rate, and yields one Scan per pass.

    A tag the device refuses is yielded once as a BAD reading and once as a Gap (DEVICE_REJECTED), when it is
    found out; it is asked for again every `RETRY_REJECTED_S`. Until then it is absent from the scans.
    An exception that may pass (busy, gateway time-out) makes BAD readings in every scan that meets it.
    """

    def __init__(self, settings: ModbusSettings, clock: Clock) -> None:
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        self._connection = Connection(settings, clock)
        self._tags = {tag.name: _tag(tag) for group in settings.poll_groups for tag in group.tags}
        self._decoder = Decoder(tag for group in settings.poll_groups for tag in group.tags)
        self._plans = [self._plan(group) for group in settings.poll_groups]
        self._groups: list[_Group] = []
        self._overruns_total = 0

    async def open(self) -> None:
        """Connect. Raise TransientDriverError."""
        await self._connection.open()

    async def stream(self) -> AsyncIterator[Item]:
        """Yield what each pass of a poll group brings, for ever. Raise DriverError when the device is lost."""
        self._groups = self._start_groups()
        while True:
            group = min(self._groups, key=lambda group: group.schedule.due_s)
            wait_s = group.schedule.due_s - self._clock.monotonic_s()
            if wait_s > 0:
                await self._clock.sleep(wait_s)
            for item in await self._pass(group):
                yield item
            self._connection.rest()
            self._overruns_total += group.schedule.advance(self._clock.monotonic_s())

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    def report(self) -> SourceReport:
        """Return the tags the device refuses, and its scans that were due while an earlier one ran."""
        refused = {name: group.reports[name] for group in self._groups for name in group.refused}
        return SourceReport(refused, figures={"slow_scans_total": self._overruns_total, **self._connection.figures()})

    def stats(self) -> ModbusStats:
        """Return what was read since the driver was made, and the tags that are refused now."""
        return ModbusStats(
            self._overruns_total,
            tuple(name for group in self._groups for name in group.refused),
        )

    def _plan(self, group: PollGroupSettings) -> tuple[RegisterBlock, ...]:
        return plan_blocks(group.tags, max_registers=self._settings.max_registers, max_hole=self._settings.max_hole)

    def _start_groups(self) -> list[_Group]:
        now_s = self._clock.monotonic_s()
        return [
            _Group(
                FixedRate(start_s=now_s, interval_s=settings.interval_s),
                tuple(tag.name for tag in settings.tags),
                list(blocks),
            )
            for settings, blocks in zip(self._settings.poll_groups, self._plans, strict=True)
        ]

    async def _pass(self, group: _Group) -> list[Item]:
        """Read every block of the group once: at most one Scan, then the gaps that were found."""
        known_refused = frozenset(group.refused)
        readings: _Found = {}
        todo, group.blocks = group.blocks + self._retries_due(group), []
        while todo:
            block = todo.pop(0)
            try:
                cells = await self._connection.read(block)
            except ExceptionAnswer as answer:
                parts = split(block) if answer.code in REJECTIONS else ()
                todo[:0] = parts
                if not parts:
                    self._take_exception(group, block, answer, readings)
            else:
                group.blocks.append(block)
                self._take_cells(group, block, cells, readings)
        return self._items(group, readings, known_refused)

    def _retries_due(self, group: _Group) -> list[RegisterBlock]:
        now_s = self._clock.monotonic_s()
        if not group.refused or now_s < group.retry_refused_s:
            return []
        group.retry_refused_s = now_s + RETRY_REJECTED_S
        return [block_of([tag]) for tag in group.refused.values()]

    def _items(self, group: _Group, readings: _Found, known_refused: frozenset[str]) -> list[Item]:
        still_refused = known_refused & group.refused.keys()
        in_order = [readings[name] for name in group.order if name in readings and name not in still_refused]
        items: list[Item] = [Scan.of(self.name, in_order)] if in_order else []
        newly_refused = [name for name in group.refused if name not in known_refused]
        items += [
            self._refusal_gap(name, group.reports[name], readings[name].received_time_ns) for name in newly_refused
        ]
        return items

    def _refusal_gap(self, name: str, refused: TagReport, at_ns: int) -> Gap:
        detail = f"{self.name} at {self._connection.place} refuses {name}: {refused.detail}"
        return Gap(name, GapCause.DEVICE_REJECTED, at_ns, at_ns, detail)

    def _take_cells(self, group: _Group, block: RegisterBlock, cells: list[int], readings: _Found) -> None:
        now_ns = self._clock.now_ns()
        for tag in block.tags:
            group.refused.pop(tag.name, None)
        readings.update((found.tag.name, found) for found in self._decoder.decode(block, cells, now_ns))

    def _take_exception(self, group: _Group, block: RegisterBlock, answer: ExceptionAnswer, readings: _Found) -> None:
        now_ns = self._clock.now_ns()
        for tag in block.tags:
            readings[tag.name] = bad_reading(self._tags[tag.name], answer.status, now_ns)
        if answer.code not in REJECTIONS:
            group.blocks.append(block)
            return
        if not group.refused:
            group.retry_refused_s = self._clock.monotonic_s() + RETRY_REJECTED_S
        for tag in block.tags:
            known = group.reports.get(tag.name) if tag.name in group.refused else None
            group.refused[tag.name] = tag
            since_ns = now_ns if known is None else known.since_ns
            group.reports[tag.name] = TagReport(TagState.REFUSED, answer.status, since_ns, exception=answer.code)


def _tag(settings: ModbusTagSettings) -> Tag:
    return Tag(settings.name, settings.unit, settings.sensor_type)
