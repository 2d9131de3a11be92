"""Which tags of a silent request are answered when asked otherwise: with few questions, each may cost a time-out.

What is silent is mostly one range. So the two ends of a run of tags are asked alone: when both are silent, the run is
taken to be, and is left for another day; when one answers, the run is halved until the border is found.

Pure: opens nothing, asks no clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from edge_agent.drivers.modbus.plan import RegisterBlock, block_of, halves
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings


class Answered(Enum):
    """What came of a question."""

    CELLS = auto()
    EXCEPTION = auto()
    NOTHING = auto()


@dataclass(slots=True)
class _Run:
    tags: list[ModbusTagSettings]
    is_failed: bool  # asked as a whole, without getting cells


class SilentSearch:
    """The search in one silent request: `question` is what to ask next, `take` what came of it.

    `fine` are requests that were answered, `silent` runs of which both ends are silent. A tag that is answered with an
    exception is in neither: whoever asks knows of it. A run that was taken to be silent before comes with
    `known_silent_wait_s`, how long it was left alone.
    """

    def __init__(self, block: RegisterBlock, *, known_silent_wait_s: float | None = None) -> None:
        self.block = block
        self.fine: list[RegisterBlock] = []
        self.silent: list[RegisterBlock] = []
        self.failed: list[RegisterBlock] = [block]
        self.known_silent_wait_s = known_silent_wait_s
        self._alone: dict[str, bool] = {}
        self._runs: deque[_Run] = deque()
        tags = list(block.tags)
        if known_silent_wait_s is not None:
            self._alone = {tags[0].name: False, tags[-1].name: False}
            self._halve(tags)
        else:
            self._runs.append(_Run(tags, is_failed=True))

    @property
    def is_new(self) -> bool:
        """Return whether the silence was not looked into before."""
        return self.known_silent_wait_s is None

    @property
    def answered_alone(self) -> list[RegisterBlock]:
        """Return the tags that are answered when asked alone, and are in no request of `fine` yet."""
        return [block_of([tag]) for run in self._runs for tag in run.tags if self._alone.get(tag.name)]

    def question(self) -> RegisterBlock | None:
        """Return what to ask next; None when the search has ended."""
        while self._runs:
            asked = self._ask_about(self._runs[0])
            if asked is not None:
                return asked
        return None

    def take(self, question: RegisterBlock, answered: Answered) -> None:
        """Take what came of `question`, the newest one."""
        run = self._runs[0]
        if len(question.tags) > 1:
            self._take_run(run, question, answered)
            return
        (tag,) = question.tags
        if answered is Answered.EXCEPTION:
            run.tags.remove(tag)
        else:
            self._alone[tag.name] = answered is Answered.CELLS

    def _take_run(self, run: _Run, question: RegisterBlock, answered: Answered) -> None:
        if answered is Answered.CELLS:
            self._runs.popleft()
            self.fine.append(question)
            return
        self.failed.append(question)
        run.is_failed = True

    def _ask_about(self, run: _Run) -> RegisterBlock | None:
        """Return the next question about the first run; None when it is done with, and gone."""
        if not run.tags:
            self._runs.popleft()
            return None
        first, last = run.tags[0], run.tags[-1]
        for tag in (first, last):
            if tag.name not in self._alone:
                return block_of([tag])
        if not self._alone[first.name] and not self._alone[last.name]:
            self._runs.popleft()
            self.silent.append(block_of(run.tags))
            return None
        if first is last:
            self._runs.popleft()
            self.fine.append(block_of(run.tags))
            return None
        if self._alone[first.name] and self._alone[last.name] and not run.is_failed:
            return block_of(run.tags)
        self._runs.popleft()
        self._halve(run.tags)
        return None

    def _halve(self, tags: list[ModbusTagSettings]) -> None:
        """Go on with both halves of a run, the one with an end that answers first."""
        parts = [_Run(list(half.tags), is_failed=False) for half in halves(block_of(tags))]
        parts.sort(key=lambda part: not (self._alone.get(part.tags[0].name) or self._alone.get(part.tags[-1].name)))
        self._runs.extendleft(reversed(parts))
