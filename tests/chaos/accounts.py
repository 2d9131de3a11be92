"""Which readings that did not become durable are accounted for, whatever the speed of the machine.

Nothing here is a time to be kept. A device answers one request after the other, and the agent stores in that order, so
what may be missing is told by the order:

- the last reading of a connection: the agent hung up on it, or was ended, before it had it;
- the end of a life that was killed: what was in memory. In the middle of a life nothing may be missing;
- of a life that was asked to stop, what was read after the order;
- what was read while the clock was behind or the disk away, and the few readings that were in flight at its ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

ON_THE_WAY = 20
"""Readings that may be lost around a time in which they may be: two seconds at the device's own pace."""

Span = tuple[float, float]


@dataclass(frozen=True)
class Handed:
    """A reading the device gave out: when (monotonic seconds), and over which connection."""

    at_s: float
    connection: int


@dataclass
class Life:
    """One start of the agent and its end; `asked_s` is when it was told to stop, infinite when it was killed."""

    began_s: float
    is_killed: bool = False
    asked_s: float = float("inf")


def unaccounted(
    handed: Mapping[int, Handed], missing: Iterable[int], lives: Sequence[Life], may_miss: Iterable[Span]
) -> list[int]:
    """Numbers (1, 2, ... as they were given out) that should have become durable and did not."""
    last_of_connection = {reading.connection: number for number, reading in sorted(handed.items())}.values()
    last_of_life = {_life_of(reading, lives): number for number, reading in sorted(handed.items())}
    spans = list(may_miss)
    left: list[int] = []
    for run in _runs(sorted(missing), handed, lives):
        life = lives[_life_of(handed[run[0]], lives)]
        is_the_end = run[-1] == last_of_life[_life_of(handed[run[0]], lives)]
        until_s = handed[run[-1] + 1].at_s if run[-1] + 1 in handed else float("inf")
        touched = [span for span in spans if span[0] <= until_s and handed[run[0]].at_s <= span[1]]
        outside = [n for n in run if not any(begin <= handed[n].at_s <= end for begin, end in touched)]
        if (is_the_end and life.is_killed) or (touched and len(outside) <= ON_THE_WAY):
            continue
        left += [n for n in run if n not in last_of_connection and not (is_the_end and handed[n].at_s >= life.asked_s)]
    return left


def _life_of(reading: Handed, lives: Sequence[Life]) -> int:
    """The newest that had begun. What a dead one had asked for is given out before the next one asks."""
    return max(0, sum(life.began_s <= reading.at_s for life in lives) - 1)


def _runs(numbers: Sequence[int], handed: Mapping[int, Handed], lives: Sequence[Life]) -> list[list[int]]:
    """Numbers that follow each other within one life."""
    breaks, place = {}, 0
    for before, now in pairwise([numbers[0] if numbers else 0, *numbers]):
        is_new = now - before > 1 or _life_of(handed[now], lives) != _life_of(handed[before], lives)
        place += is_new
        breaks[now] = place
    return [list(run) for _, run in groupby(numbers, key=lambda number: breaks[number])]
