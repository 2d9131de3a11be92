"""How far the clocks of earlier runs were off, as far as it can be known now: pure arithmetic.

Of a run in this boot, or in one whose clock was known, it is known exactly. Of a run in another boot, which ended
before any synchronisation, only bounds are known: it lies behind the last time that was known before it, and before
the next boot whose clock is known. Runs of one boot keep their distance, boots keep their order.

Constraints
- A boot is moved no further than its bounds ask for, and its quality says that this is not exact.
- Two boots never come to lie over each other, so that no two readings get one key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, Self

from cloud_sync.outbox.clock_tables import Epoch

BOUNDED_QUALITY: Final = 0.3
"""No reading claims more whose time is only known between bounds."""
_APART_US: Final = 1


@dataclass(frozen=True, slots=True)
class BoundedBoot:
    """Runs of one boot that were placed between `not_before_us` and `not_after_us`, UTC."""

    epochs: tuple[Epoch, ...]
    start_us: int
    end_us: int
    not_before_us: int
    not_after_us: int


@dataclass(frozen=True, slots=True)
class PlacedEpochs:
    """All epochs that were open, decided; and those of them that are known between bounds only."""

    exact: tuple[Epoch, ...]
    bounded: tuple[BoundedBoot, ...]

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        return (*self.exact, *(epoch for bounded in self.bounded for epoch in bounded.epochs))


def place_epochs(epochs: Sequence[Epoch], last_us: Mapping[str, int], known: Sequence[tuple[str, int]]) -> PlacedEpochs:
    """Decide about open epochs, oldest first.

    `last_us` is the last time of each, on its own clock. `known` are boots whose clocks are known, the present one
    last, each with UTC minus the time since it.
    """
    offsets = dict(known)
    present_us = known[-1][1]  # the present boot began then
    exact = [replace(e, by_us=offsets[e.boot_id] - e.offset_us) for e in epochs if e.boot_id in offsets]
    unknown = (e for e in epochs if e.boot_id not in offsets)
    boots = [_Boot.of(tuple(group), last_us) for _, group in groupby(unknown, key=lambda epoch: epoch.boot_id)]
    return PlacedEpochs(tuple(exact), tuple(_in_order(boots, present_us)))


@dataclass(frozen=True, slots=True)
class _Boot:
    """Runs of one boot; `first` and `last` of their times, since the boot."""

    epochs: tuple[Epoch, ...]
    first: int
    last: int

    @classmethod
    def of(cls, epochs: tuple[Epoch, ...], last_us: Mapping[str, int]) -> Self:
        first = min(epoch.began_us - epoch.offset_us for epoch in epochs)
        last = max(last_us.get(epoch.id, epoch.began_us) - epoch.offset_us for epoch in epochs)
        return cls(epochs, first, last)

    def at(self, offset_us: int, *, not_before_us: int, not_after_us: int) -> BoundedBoot:
        epochs = [replace(e, by_us=offset_us - e.offset_us, quality_cap=BOUNDED_QUALITY) for e in self.epochs]
        return BoundedBoot(tuple(epochs), self.first + offset_us, self.last + offset_us, not_before_us, not_after_us)


def _in_order(boots: Sequence[_Boot], present_us: int) -> list[BoundedBoot]:
    """Each behind the earliest end of the one before it; from the newest on, so that it ends before the next."""
    least: list[int] = []
    for boot in boots:
        behind_us = least[-1] if least else boot.epochs[0].not_before_us
        least.append(max(boot.epochs[0].not_before_us, behind_us) + boot.last - boot.first + _APART_US)
    out: list[BoundedBoot] = []
    not_after_us = present_us
    for boot, earliest_end_us in zip(reversed(boots), reversed(least), strict=True):
        offset_us = max(boot.epochs[-1].offset_us, earliest_end_us - _APART_US - boot.last)  # what it was last
        offset_us = min(offset_us, not_after_us - _APART_US - boot.last)
        not_before_us = boot.epochs[0].not_before_us
        out.insert(0, boot.at(offset_us, not_before_us=not_before_us, not_after_us=present_us))
        not_after_us = boot.first + offset_us
    return out
