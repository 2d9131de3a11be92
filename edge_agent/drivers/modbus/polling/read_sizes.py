"""The longest read that a device accepts, learnt when it accepts less than is configured. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from edge_agent.drivers.modbus.data.types import Table
from edge_agent.drivers.modbus.plan import RegisterBlock

LOOK_AGAIN_S: Final = 3_600.0
TOO_LONG: Final = 3  # "illegal data value": the quantity is what it is about


@dataclass(frozen=True, slots=True)
class Doubt:
    """A read that was refused although each tag in it is answered: its length may be why."""

    block: RegisterBlock
    is_silent: bool


@dataclass(slots=True)
class _Limit:
    longest: int
    refused: RegisterBlock
    look_s: float


class ReadSizes:
    """By table, since devices differ there: the longest read answered, and what was learnt from those that were not."""

    def __init__(self) -> None:
        self.doubts: dict[Table, Doubt] = {}
        self._answered: dict[Table, int] = {}
        self._limits: dict[Table, _Limit] = {}

    @property
    def has_doubts(self) -> bool:
        """Return whether a length is in doubt, or was learnt and may be longer now."""
        return bool(self.doubts or self._limits)

    def answered(self, block: RegisterBlock) -> None:
        """Take that a read of this length was answered."""
        if block.count > self._answered.get(block.table, 0):
            self._answered[block.table] = block.count

    def longest_answered(self, table: Table) -> int:
        """Return the longest read that was answered."""
        return self._answered.get(table, 0)

    def longest(self, table: Table, configured: int) -> int:
        """Return the longest read to plan with."""
        limit = self._limits.get(table)
        return configured if limit is None else min(limit.longest, configured)

    def doubt(self, failed: Iterable[tuple[RegisterBlock, int | None]], fine_tags: frozenset[str]) -> None:
        """Look for a read that failed (with an exception code, or None) although all its tags are answered."""
        for block, code in failed:
            is_about_length = code == TOO_LONG or not block.has_holes
            if not is_about_length or not all(tag.name in fine_tags for tag in block.tags):
                continue
            known = self.doubts.get(block.table)
            if known is None or block.count < known.block.count:
                self.doubts[block.table] = Doubt(block, code is None)

    def learn(self, table: Table, longest: int, refused: RegisterBlock, now_s: float) -> None:
        """Plan no longer reads of this table than `longest` from now on."""
        self._limits[table] = _Limit(longest, refused, now_s + LOOK_AGAIN_S)

    def due(self, now_s: float) -> list[tuple[Table, RegisterBlock]]:
        """Return reads that were too long, and are to be tried again."""
        return [(table, limit.refused) for table, limit in self._limits.items() if limit.look_s <= now_s]

    def still_too_long(self, table: Table, now_s: float) -> None:
        """Keep what was learnt for another while."""
        self._limits[table].look_s = now_s + LOOK_AGAIN_S

    def forget(self, table: Table) -> None:
        """Plan with what is configured again."""
        del self._limits[table]

    def learnt(self) -> dict[Table, int]:
        """Return the longest read learnt, by table."""
        return {table: limit.longest for table, limit in self._limits.items()}
