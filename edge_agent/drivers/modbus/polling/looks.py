"""Looking again at what failed, after a scan: a little at a time, so that the scans keep their interval.

Constraints
- At most `LOOKS_PER_PASS` requests follow a scan, `LOOK_FOR_S` long, and at most one of them may cost a time-out.
- Questions that get no answer take at most `SEARCH_SHARE` of the time while a silence is new, `AGAIN_SHARE` later.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from edge_agent.core.clock import Clock
from edge_agent.drivers.modbus.data.types import Table
from edge_agent.drivers.modbus.plan import RegisterBlock
from edge_agent.drivers.modbus.polling.block_plan import Aside, BlockPlan
from edge_agent.drivers.modbus.polling.failures import Failure
from edge_agent.drivers.modbus.polling.read_sizes import TOO_LONG, Doubt
from edge_agent.drivers.modbus.polling.silent_search import Answered, SilentSearch
from edge_agent.drivers.modbus.polling.tag_states import TagStates, Taken
from edge_agent.drivers.modbus.polling.unit import Failed, Unit

LOOKS_PER_PASS: Final = 16
LOOK_FOR_S: Final = 0.5
SEARCH_SHARE: Final = 0.5
AGAIN_SHARE: Final = 0.05


class Looks:
    """What is asked of one device beside its scans."""

    def __init__(self, unit: Unit, states: TagStates, clock: Clock) -> None:
        self._unit = unit
        self._states = states
        self._clock = clock
        self._left = 0
        self._until_s = 0.0
        self._turn = 0
        self._no_silence_until_s = 0.0

    async def sizes(self) -> set[Table]:
        """Learn the longest read where a read was too long; return the tables whose longest read has changed."""
        changed: set[Table] = set()
        sizes = self._unit.sizes
        for table, refused in sizes.due(self._clock.monotonic_s()):
            if await self._refusal(refused) is None:
                sizes.forget(table)
                changed.add(table)
            else:
                sizes.still_too_long(table, self._clock.monotonic_s())
        while sizes.doubts:
            table, doubt = sizes.doubts.popitem()
            longest = await self._longest_accepted(doubt)
            if longest < doubt.block.count:
                sizes.learn(table, longest, doubt.block, self._clock.monotonic_s())
                changed.add(table)
        return changed

    def due_s(self, plans: Iterable[BlockPlan]) -> float:
        """Return when something in these plans is to be looked at next (seconds, monotonic); infinity for nothing."""
        due_s = math.inf
        for plan in plans:
            if plan.look_at_whole is not None:
                due_s = min(due_s, self._may_ask_from_s(plan.failure, plan.look_at_whole.due_s))
            for aside in plan.asides:
                due_s = min(due_s, self._may_ask_from_s(aside.failure, aside.look.due_s))
            if plan.searches:
                due_s = min(due_s, self._no_silence_until_s)
        return due_s

    async def parts(self, in_parts: Sequence[BlockPlan], taken: Taken) -> None:
        """Look at what failed in these plans, as far as it is due; what is answered goes to `taken`."""
        self._left = LOOKS_PER_PASS
        self._until_s = self._clock.monotonic_s() + LOOK_FOR_S
        for plan in in_parts:
            await self._go_on(plan, [search for search in plan.searches if search.is_new], taken)
        for i in range(len(in_parts)):
            await self._look_at(in_parts[(self._turn + i) % len(in_parts)], taken)

    async def _look_at(self, plan: BlockPlan, taken: Taken) -> None:
        """Look at what is due in one plan. Who comes first changes: a silence ends the turn."""
        steps = [self._look_at_whole, self._look_at_asides, self._search_again]
        first = self._turn % len(steps)
        for step in steps[first:] + steps[:first]:
            await step(plan, taken)

    async def _look_at_whole(self, plan: BlockPlan, taken: Taken) -> None:
        look = plan.look_at_whole
        if look is None or look.due_s > self._clock.monotonic_s() or not self._may_ask(plan.failure):
            return
        failure = await self._ask(plan.whole, taken, AGAIN_SHARE)
        if failure is None:
            plan.make_whole()
        else:
            plan.whole_failed_again(failure, self._clock.monotonic_s())

    async def _look_at_asides(self, plan: BlockPlan, taken: Taken) -> None:
        for aside in plan.due_asides(self._clock.monotonic_s()):
            if self._may_ask(aside.failure):
                await self._ask_again(plan, aside, taken)

    async def _search_again(self, plan: BlockPlan, taken: Taken) -> None:
        await self._go_on(plan, plan.searches, taken)

    async def _ask_again(self, plan: BlockPlan, aside: Aside, taken: Taken) -> None:
        if len(aside.block.tags) > 1:
            plan.search_again(aside)
            return
        failure = await self._ask(aside.block, taken, AGAIN_SHARE)
        if failure is None:
            plan.answers_again(aside, self._clock.monotonic_s())
            return
        self._states.take_failure(aside.block, failure, taken)
        aside.failure = failure
        aside.look.failed_again(self._clock.monotonic_s())

    async def _go_on(self, plan: BlockPlan, searches: Sequence[SilentSearch], taken: Taken) -> None:
        for search in tuple(searches):
            await self._go_on_with(plan, search, taken)

    async def _go_on_with(self, plan: BlockPlan, search: SilentSearch, taken: Taken) -> None:
        """Ask the next questions of a search, up to one that gets no answer."""
        share = SEARCH_SHARE if search.is_new else AGAIN_SHARE
        while (question := search.question()) is not None:
            if not self._may_ask(self._unit.silence):
                return
            failure = await self._ask(question, taken, share)
            if failure is None:
                search.take(question, Answered.CELLS)
            else:
                search.take(question, Answered.NOTHING if failure.code is None else Answered.EXCEPTION)
                self._take_alone(plan, question, failure, taken)
            plan.renew()
        plan.end_search(search, self._unit.silence, self._clock.monotonic_s())
        self._unit.sizes.doubt([(block, None) for block in search.failed], plan.answered_tags())

    def _take_alone(self, plan: BlockPlan, question: RegisterBlock, failure: Failure, taken: Taken) -> None:
        """Take how a tag failed that was asked alone; the search keeps those that are silent."""
        if len(question.tags) > 1:
            return
        self._states.take_failure(question, failure, taken)
        if failure.code is not None:
            plan.put_aside(question, failure, self._clock.monotonic_s())

    async def _ask(self, block: RegisterBlock, taken: Taken, share: float) -> Failure | None:
        """Ask and take the cells; return what came instead of them."""
        self._left -= 1
        start_s = self._clock.monotonic_s()
        try:
            cells = await self._unit.read(block)
        except Failed as failed:
            if failed.failure.code is None:
                now_s = self._clock.monotonic_s()
                self._no_silence_until_s = now_s + (now_s - start_s) * (1 / share - 1)
                self._left = 0
                self._turn += 1
            return failed.failure
        self._states.take_cells(block, cells, taken)
        return None

    def _may_ask_from_s(self, failure: Failure, due_s: float) -> float:
        return max(due_s, self._no_silence_until_s) if failure.code is None else due_s

    def _may_ask(self, failure: Failure) -> bool:
        """Return whether something may be asked that failed like this."""
        now_s = self._clock.monotonic_s()
        if self._left <= 0 or now_s >= self._until_s:
            return False
        return failure.code is not None or now_s >= self._no_silence_until_s

    async def _longest_accepted(self, doubt: Doubt) -> int:
        """Return the longest read that is accepted, up to the one in doubt; found by halving what is between.

        Where cells between the tags are read along, only "illegal data value" is about the length.
        """
        block = doubt.block
        accepted, refused = self._unit.sizes.longest_answered(block.table), block.count
        while not doubt.is_silent and refused - accepted > 1:
            middle = (accepted + refused) // 2
            failure = await self._refusal(RegisterBlock(block.table, block.address, middle, ()))
            if failure is None:
                accepted = middle
            elif failure.code is None or (block.has_holes and failure.code != TOO_LONG):
                break
            else:
                refused = middle
        return accepted

    async def _refusal(self, block: RegisterBlock) -> Failure | None:
        try:
            await self._unit.read(block)
        except Failed as failed:
            return failed.failure
        return None
