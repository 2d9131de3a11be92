"""One planned request and what became of it: asked whole while the device answers it, else in parts that it answers.

Constraints
- Each tag is in one place: a request of every pass, a request put aside, or a search that is under way.
- What failed is remembered, and looked at again after a wait that doubles up to `LONGEST_WAIT_S`.

Pure: opens nothing; the caller brings the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from edge_agent.drivers.modbus.plan import RegisterBlock, join_neighbours
from edge_agent.drivers.modbus.polling.failures import Failure
from edge_agent.drivers.modbus.polling.silent_search import SilentSearch
from edge_agent.drivers.report import TagState

FIRST_WAIT_S: Final = 5.0
LONGEST_WAIT_S: Final = 300.0
"""A register that was refused may appear with a new PLC program: minutes, not scans."""
LONGEST_WAIT_FOR_WHOLE_S: Final = 3_600.0
"""Where every tag is answered in parts, asking them together would only save requests."""
_PATIENCE: Final = {TagState.SILENT: (2, 10.0), TagState.BAD: (5, 60.0)}
"""So many scans in a row without cells, or so many seconds of them, and a request is looked into that may yet be
answered."""


@dataclass(slots=True)
class BlockLook:
    """When something is asked again that failed, and how long to wait after that (seconds, monotonic)."""

    due_s: float
    wait_s: float

    @classmethod
    def after(cls, failure: Failure, now_s: float) -> BlockLook:
        """Return the first look at something that failed in this way."""
        wait_s = LONGEST_WAIT_S if failure.state is TagState.REFUSED else FIRST_WAIT_S
        return cls(now_s + wait_s, wait_s)

    def failed_again(self, now_s: float, longest_s: float = LONGEST_WAIT_S) -> None:
        """Wait twice as long for the next one, at most `longest_s`."""
        self.wait_s = min(2 * self.wait_s, longest_s)
        self.due_s = now_s + self.wait_s


@dataclass(slots=True)
class Aside:
    """A request that is not made in every pass: one tag that failed alone, or a run that is taken to be silent."""

    block: RegisterBlock
    failure: Failure
    look: BlockLook


@dataclass(slots=True)
class Split:
    """What became of the parts of a request: answered, not asked yet, failed on the way down, silent, failed alone."""

    fine: list[RegisterBlock] = field(default_factory=list)
    unasked: list[RegisterBlock] = field(default_factory=list)
    failed: list[RegisterBlock] = field(default_factory=list)
    silent: list[RegisterBlock] = field(default_factory=list)
    alone: list[tuple[RegisterBlock, Failure]] = field(default_factory=list)

    def is_nothing_but(self, state: TagState) -> bool:
        """Return whether every tag failed alone, in this way."""
        return not (self.fine or self.unasked or self.silent) and all(why.state is state for _, why in self.alone)


class BlockPlan:
    """A request as planned. `requests` is what each pass asks of it; replaced when that changes, never changed."""

    def __init__(self, whole: RegisterBlock, longest: int, interval_s: float) -> None:
        self.whole = whole
        self.longest = longest
        self._interval_s = interval_s
        self.requests: tuple[RegisterBlock, ...] = (whole,)
        self.asides: list[Aside] = []
        self.searches: list[SilentSearch] = []
        self.look_at_whole: BlockLook | None = None
        self.failure = Failure(None, "")
        self._fine: list[RegisterBlock] = [whole]
        self._failed: dict[tuple[int, int], RegisterBlock] = {}
        self._misses: dict[tuple[int, int], int] = {}
        self._leave_whole_until_s = 0.0

    @property
    def is_whole(self) -> bool:
        """Return whether it is asked as planned."""
        return self.look_at_whole is None

    @property
    def all_answered(self) -> bool:
        """Return whether every tag is in a request of every pass."""
        return not self.asides and not self.searches

    def answered(self, request: RegisterBlock) -> None:
        """Take that a request of every pass brought its cells."""
        if self._misses:
            self._misses.pop(_key(request), None)

    def missed(self, request: RegisterBlock, failure: Failure, now_s: float) -> bool:
        """Take that a request of every pass brought no cells; return whether to look into it now."""
        key = _key(request)
        self._misses[key] = misses = self._misses.get(key, 0) + 1
        if not self._asks(request) or (failure.code is not None and self.is_left_whole(now_s)):
            return False
        return not failure.may_pass or misses >= self._patience(failure)

    def leave_whole(self, request: RegisterBlock, now_s: float) -> None:
        """Take that no part of a request is answered either: it stays one request, and is looked into again later."""
        self.answered(request)
        self._leave_whole_until_s = now_s + LONGEST_WAIT_S

    def is_left_whole(self, now_s: float) -> bool:
        """Return whether no part was answered when it was looked into, and that is not long ago."""
        return now_s < self._leave_whole_until_s

    def split(self, request: RegisterBlock, found: Split, failure: Failure, now_s: float) -> None:
        """Ask the fine parts in place of a request of every pass, which came to this `failure`."""
        self.answered(request)
        self._fine = [block for block in self._fine if block is not request] + found.fine + found.unasked
        self._remember(found.failed)
        self.searches += [SilentSearch(block) for block in found.silent]
        for block, why in found.alone:
            self.put_aside(block, why, now_s)
        if self.look_at_whole is None:
            self.look_at_whole, self.failure = BlockLook.after(failure, now_s), failure
        self.renew()

    def due_asides(self, now_s: float) -> list[Aside]:
        """Return what was put aside and is due, the longest due first."""
        due = [aside for aside in self.asides if aside.look.due_s <= now_s]
        return sorted(due, key=lambda aside: aside.look.due_s)

    def answered_tags(self) -> frozenset[str]:
        """Return the names of the tags in the requests of every pass."""
        return frozenset(tag.name for request in self.requests for tag in request.tags)

    def put_aside(self, block: RegisterBlock, failure: Failure, now_s: float) -> None:
        """Ask this only now and then."""
        self.asides.append(Aside(block, failure, BlockLook.after(failure, now_s)))

    def answers_again(self, aside: Aside, now_s: float) -> None:
        """Take that what was put aside is answered; when nothing else is aside, the whole may be answered soon."""
        self.asides.remove(aside)
        self._fine.append(aside.block)
        if self.all_answered and self.look_at_whole is not None:
            self.look_at_whole.due_s = min(self.look_at_whole.due_s, now_s + FIRST_WAIT_S)
        self.renew()

    def whole_failed_again(self, failure: Failure, now_s: float) -> None:
        """Take that the whole is not answered yet."""
        self.failure = failure
        if self.look_at_whole is not None:
            self.look_at_whole.failed_again(now_s, LONGEST_WAIT_FOR_WHOLE_S if self.all_answered else LONGEST_WAIT_S)

    def search_again(self, aside: Aside) -> None:
        """Look for tags that are answered in a run that was taken to be silent."""
        self.asides.remove(aside)
        self.searches.append(SilentSearch(aside.block, known_silent_wait_s=aside.look.wait_s))

    def end_search(self, search: SilentSearch, silence: Failure, now_s: float) -> None:
        """Take over what a search has found."""
        self.searches.remove(search)
        self._remember(search.failed)
        self._fine += search.fine
        for run in search.silent:
            look = BlockLook.after(silence, now_s)
            if search.known_silent_wait_s is not None:
                look = BlockLook(now_s, search.known_silent_wait_s)
                look.failed_again(now_s)
            self.asides.append(Aside(run, silence, look))
        self.renew()

    def renew(self) -> None:
        """Make `requests` again from the parts that are answered."""
        self._fine = join_neighbours(self._fine, [*self._failed.values()], self.longest)
        found = [block for search in self.searches for block in (*search.fine, *search.answered_alone)]
        self.requests = (*self._fine, *found)

    def make_whole(self) -> None:
        """Forget every part: the device answers the whole again."""
        self.requests = (self.whole,)
        self._fine = [self.whole]
        self.asides, self.searches = [], []
        self._failed.clear()
        self._misses.clear()
        self.look_at_whole = None

    def look_soon(self, now_s: float) -> None:
        """Look again at everything soon: the device was away, and may have changed."""
        looks = [aside.look for aside in self.asides]
        for look in looks + ([self.look_at_whole] if self.look_at_whole else []):
            look.due_s, look.wait_s = min(look.due_s, now_s + FIRST_WAIT_S), FIRST_WAIT_S
        self._leave_whole_until_s = 0.0

    def _remember(self, failed: Iterable[RegisterBlock]) -> None:
        self._failed.update({_key(block): block for block in failed})

    def _patience(self, failure: Failure) -> int:
        scans, seconds = _PATIENCE[failure.state]
        return min(scans, math.ceil(seconds / self._interval_s))

    def _asks(self, request: RegisterBlock) -> bool:
        """Return whether it is a request of its own, not one of a search under way."""
        return any(request is block for block in self._fine)


def _key(block: RegisterBlock) -> tuple[int, int]:
    """Return what tells the blocks of one table apart."""
    return block.address, block.count
