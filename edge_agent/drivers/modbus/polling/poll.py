"""Reading the poll groups of one device: each pass asks the requests of a group once, and a failure costs its own tags.

Constraints
- What was answered is delivered by the pass that asked, whatever became of the other requests.
- A request that fails with an exception is split in the same pass, until the tags that fail stand alone.
- What is silent is searched after the scans (looks.py).
- Two questions in a row without an answer, the second well chosen: the device is lost (unit.py).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.core.clock import Clock
from edge_agent.drivers.base import Item
from edge_agent.drivers.modbus.data.types import BIT_TABLES, Table
from edge_agent.drivers.modbus.plan import MAX_BITS, FixedRate, RegisterBlock, plan_blocks, split
from edge_agent.drivers.modbus.polling.block_plan import BlockPlan, Split
from edge_agent.drivers.modbus.polling.failures import BUSY, Failure
from edge_agent.drivers.modbus.polling.looks import Looks
from edge_agent.drivers.modbus.polling.slow_scans import SlowScans
from edge_agent.drivers.modbus.polling.tag_states import TagStates, Taken
from edge_agent.drivers.modbus.polling.unit import BlockReader, Failed, Unit
from edge_agent.drivers.modbus.settings import ModbusSettings, PollGroupSettings
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings
from edge_agent.drivers.report import TagState
from edge_agent.errors import TransientDriverError

SPLIT_FOR_S: Final = 2.0
"""So long, or one interval, a pass may go on splitting; the next one goes on from there."""
BUSY_PAUSE_S: Final = 0.15
"""Before a device that says it is busy is asked again in the same pass."""
BUSY_FOR_S: Final = 0.5
"""So long, or half an interval, a pass may go on asking a busy device."""
LOOK_PAUSE_S: Final = 0.2
"""Between looks while no scan is due."""


@dataclass(slots=True)
class GroupPoll:
    """The working state of one poll group."""

    settings: PollGroupSettings
    order: tuple[str, ...]
    plans: list[BlockPlan]
    schedule: FixedRate
    slow: SlowScans


@dataclass(frozen=True, slots=True)
class PassOutcome:
    """What a pass yields, and the error when the device was lost in it."""

    items: Sequence[Item]
    lost: TransientDriverError | None = None


_NOTHING: Final = PassOutcome(())


class DevicePoll:
    """All poll groups of one device (one unit), over one connection."""

    def __init__(self, settings: ModbusSettings, place: str, reader: BlockReader, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self.states = TagStates(settings, place, clock)
        self.unit = Unit(settings, place, reader, self._requests)
        self.groups = [self._group(group) for group in settings.poll_groups]
        self._order = tuple(name for group in self.groups for name in group.order)
        self._looks = Looks(self.unit, self.states, clock)

    def start(self) -> None:
        """Begin the grid of each group now: the connection is new."""
        now_s = self._clock.monotonic_s()
        for group in self.groups:
            group.schedule = FixedRate(start_s=now_s, interval_s=group.settings.interval_s)
            for plan in group.plans:
                plan.look_soon(now_s)

    async def scan(self, group: GroupPoll) -> PassOutcome:
        """Ask every request of the group once: at most one Scan, then the gaps that were found."""
        start_s = self._clock.monotonic_s()
        unanswered_before = self.unit.unanswered_total
        taken = Taken()
        first = self.unit.liveness.in_turn(len(group.plans))
        try:
            for plan in [*group.plans[first:], *group.plans[:first]]:
                for request in plan.requests:
                    await self._read(group, plan, request, taken, start_s)
        except TransientDriverError as lost:
            self._take_unreachable()
            return PassOutcome(self.states.items(group.order, taken), lost)
        pass_s = self._clock.monotonic_s() - start_s
        if self.unit.unanswered_total == unanswered_before:
            group.slow.take(pass_s, self._clock.now_ns(), sum(len(plan.requests) for plan in group.plans))
        return PassOutcome(self.states.items(group.order, taken))

    def next_look_s(self) -> float:
        """Return when to look again at what failed, if there is nothing else to do (seconds, monotonic)."""
        in_parts = self._in_parts()
        return max(self._looks.due_s(in_parts), self._clock.monotonic_s() + LOOK_PAUSE_S) if in_parts else math.inf

    async def look(self) -> PassOutcome:
        """Ask a little of what failed before again: what is answered comes as a Scan of its own."""
        if not self.unit.sizes.has_doubts and not self._in_parts():
            return _NOTHING
        taken = Taken()
        try:
            if tables := await self._looks.sizes():
                self._plan_again(tables)
            await self._looks.parts(self._in_parts(), taken)
        except TransientDriverError as lost:
            self._take_unreachable()
            return PassOutcome(self.states.items(self._order, taken), lost)
        return PassOutcome(self.states.items(self._order, taken))

    async def _read(
        self, group: GroupPoll, plan: BlockPlan, request: RegisterBlock, taken: Taken, start_s: float
    ) -> None:
        try:
            cells = await self._cells(group, plan, request, start_s)
        except Failed as failed:
            failure = failed.failure
            self.states.take_failure(request, failure, taken)
            if plan.missed(request, failure, self._clock.monotonic_s()):
                split_until_s = start_s + max(SPLIT_FOR_S, group.settings.interval_s)
                await self._take_apart(plan, request, failure, taken, split_until_s)
        else:
            plan.answered(request)
            self.states.take_cells(request, cells, taken)

    async def _cells(self, group: GroupPoll, plan: BlockPlan, request: RegisterBlock, start_s: float) -> list[int]:
        """Return the cells of a request, asked again soon while the device is busy. Raise as `Unit.read` does.

        One that was busy for long is not asked more often than its interval.
        """
        until_s = start_s + min(BUSY_FOR_S, group.settings.interval_s / 2)
        if plan.is_left_whole(start_s):
            until_s = start_s
        while True:
            try:
                return await self.unit.read(request)
            except Failed as failed:
                if failed.failure.code not in BUSY or self._clock.monotonic_s() + BUSY_PAUSE_S > until_s:
                    raise
            await self._clock.sleep(BUSY_PAUSE_S)

    async def _take_apart(
        self, plan: BlockPlan, request: RegisterBlock, failure: Failure, taken: Taken, split_until_s: float
    ) -> None:
        """Find the parts of a failed request that are answered, and remember them."""
        if failure.code is None:
            found = Split()
            self._take_silent(found, request)
        else:
            found, refused = await self._split(request, failure, taken, split_until_s)
            if found.is_nothing_but(TagState.BAD):
                plan.leave_whole(request, self._clock.monotonic_s())
                return
            self.unit.sizes.doubt(refused, frozenset(tag.name for block in found.fine for tag in block.tags))
        plan.split(request, found, failure, self._clock.monotonic_s())
        for block in found.silent:
            self.states.put_aside(block, self.unit.silence, taken)
        for block, why in found.alone:
            self.states.put_aside(block, why, taken)

    async def _split(
        self, request: RegisterBlock, failure: Failure, taken: Taken, split_until_s: float
    ) -> tuple[Split, list[tuple[RegisterBlock, int | None]]]:
        """Return what became of the parts, and what was refused on the way down, each with its exception code."""
        found = Split()
        refused: list[tuple[RegisterBlock, int | None]] = []
        silent_before = self.unit.silent_total
        todo = deque([(request, failure)])
        while todo:
            block, why = todo.popleft()
            parts = split(block)
            if not parts:
                found.alone.append((block, why))
                continue
            found.failed.append(block)
            refused.append((block, why.code))
            for part in parts:
                if self.unit.silent_total > silent_before or self._clock.monotonic_s() > split_until_s:
                    found.unasked.append(part)  # the next pass asks it, and goes on from there
                    continue
                try:
                    cells = await self.unit.read(part)
                except Failed as failed:
                    self.states.take_failure(part, failed.failure, taken)
                    if failed.failure.code is None:
                        self._take_silent(found, part)
                    else:
                        todo.append((part, failed.failure))
                else:
                    found.fine.append(part)
                    self.states.take_cells(part, cells, taken)
        return found, refused

    def _take_silent(self, found: Split, block: RegisterBlock) -> None:
        if len(block.tags) > 1:
            found.failed.append(block)
            found.silent.append(block)
        else:
            found.alone.append((block, self.unit.silence))

    def _take_unreachable(self) -> None:
        """Show at every tag that the gateway does not reach the unit."""
        if (failure := self.unit.unreachable) is not None:
            for block in self._requests():
                self.states.take_failure(block, failure, Taken())

    def _in_parts(self) -> list[BlockPlan]:
        return [plan for group in self.groups for plan in group.plans if not plan.is_whole]

    def _requests(self) -> list[RegisterBlock]:
        return [request for group in self.groups for plan in group.plans for request in plan.requests]

    def _group(self, settings: PollGroupSettings) -> GroupPoll:
        return GroupPoll(
            settings,
            tuple(tag.name for tag in settings.tags),
            self._plans(settings.tags, settings.interval_s),
            FixedRate(start_s=0.0, interval_s=settings.interval_s),
            SlowScans(settings.interval_s),
        )

    def _plan_again(self, tables: set[Table]) -> None:
        """Plan these tables again, whose longest read has changed; what is split for another reason stays split."""
        for group in self.groups:
            kept = [plan for plan in group.plans if plan.whole.table not in tables or self._stays(plan)]
            for plan in kept:
                plan.longest = self._longest(plan.whole.table)
            names = {tag.name for plan in kept for tag in plan.whole.tags}
            tags = [tag for tag in group.settings.tags if tag.name not in names]
            again = self._plans(tags, group.settings.interval_s)
            group.plans = sorted(kept + again, key=lambda plan: (plan.whole.table, plan.whole.address))

    def _stays(self, plan: BlockPlan) -> bool:
        """Return whether a plan is split for another reason than its length."""
        return not plan.all_answered or not (plan.is_whole or plan.whole.count > self._longest(plan.whole.table))

    def _plans(self, tags: Iterable[ModbusTagSettings], interval_s: float) -> list[BlockPlan]:
        """Return the requests for these tags, none longer than the device is known to accept."""
        by_table: dict[Table, list[ModbusTagSettings]] = {}
        for tag in tags:
            by_table.setdefault(tag.table, []).append(tag)
        plans: list[BlockPlan] = []
        for table in sorted(by_table):
            longest = self._longest(table)
            if longest < self._configured(table):
                longest = max(longest, *(tag.width for tag in by_table[table]))
            blocks = plan_blocks(
                by_table[table], max_registers=longest, max_bits=longest, max_hole=self._settings.max_hole
            )
            plans += [BlockPlan(block, longest, interval_s) for block in blocks]
        return plans

    def _longest(self, table: Table) -> int:
        return self.unit.sizes.longest(table, self._configured(table))

    def _configured(self, table: Table) -> int:
        return MAX_BITS if table in BIT_TABLES else self._settings.max_registers
