"""Which requests read a poll group, and when: few, and none the device or the protocol would refuse for its size.

Constraints
- A request stays inside one table and inside `max_registers` (2000 bits for coils and discrete inputs).
- A number over several registers is never cut: its registers come in one answer, or it would be torn.
- Up to `max_hole` unused registers are read along to save a request; 16 bits count as one register.

Pure: opens nothing, asks no clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.drivers.modbus.data.types import BIT_TABLES, Table
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings
from edge_agent.errors import ConfigurationError

MAX_BITS: Final = 2000  # Modbus Application Protocol V1.1b3, 6.1 and 6.2
BITS_PER_REGISTER: Final = 16
ADDRESS_SPACE: Final = 65_536


@dataclass(frozen=True, slots=True)
class RegisterBlock:
    """One read request: `count` registers (or bits) of `table` from `address`, and the tags found in it."""

    table: Table
    address: int
    count: int
    tags: tuple[ModbusTagSettings, ...]

    @property
    def end(self) -> int:
        """Return the first address after the block."""
        return self.address + self.count

    @property
    def is_bits(self) -> bool:
        """Return whether its cells are bits."""
        return self.table in BIT_TABLES

    @property
    def in_words(self) -> str:
        """Return it for a person: "holding 0 to 9", "input 5"."""
        return f"{self.table} {self.address}" + (f" to {self.end - 1}" if self.count > 1 else "")

    @property
    def has_holes(self) -> bool:
        """Return whether it reads cells that belong to no tag."""
        reached = self.address
        for tag in sorted(self.tags, key=lambda tag: tag.address):
            if tag.address > reached:
                return True
            reached = max(reached, _end(tag))
        return reached < self.end

    def covers(self, other: RegisterBlock) -> bool:
        """Return whether all cells of `other` are cells of this block."""
        return self.table == other.table and self.address <= other.address and other.end <= self.end


def plan_blocks(
    tags: Iterable[ModbusTagSettings], *, max_registers: int, max_hole: int, max_bits: int = MAX_BITS
) -> tuple[RegisterBlock, ...]:
    """Return the requests that read every tag once, by table and address.

    Raises
    ------
    ConfigurationError
        A tag that no request can read: wider than `max_registers`, or past the last address.
    """
    by_place = sorted(tags, key=lambda tag: (tag.table, tag.address, _end(tag)))
    blocks: list[RegisterBlock] = []
    for tag in by_place:
        _check_is_readable(tag, max_registers)
        joined = _join(blocks[-1], tag, max_bits if tag.is_bit else max_registers, max_hole) if blocks else None
        if joined is None:
            blocks.append(block_of([tag]))
        else:
            blocks[-1] = joined
    return tuple(blocks)


def split(block: RegisterBlock) -> tuple[RegisterBlock, ...]:
    """Return smaller requests for the same tags, for a device that refused the block; empty when it has one tag.

    Holes go first, since devices refuse to read registers they do not have; then the block is halved.
    """
    if len(block.tags) == 1:
        return ()
    runs = plan_blocks(block.tags, max_registers=block.count, max_hole=0)
    if len(runs) > 1:
        return runs
    return halves(block)


def halves(block: RegisterBlock) -> tuple[RegisterBlock, RegisterBlock]:
    """Return two smaller requests for the same tags, of which there are at least two."""
    middle = len(block.tags) // 2
    return block_of(block.tags[:middle]), block_of(block.tags[middle:])


def join_neighbours(
    blocks: Iterable[RegisterBlock], failed: Sequence[RegisterBlock], longest: int
) -> list[RegisterBlock]:
    """Return fewer requests for the same cells: neighbours without a hole between them become one.

    None is made longer than `longest` cells, and none that covers a request known to have `failed`.
    """
    joined: list[RegisterBlock] = []
    for block in sorted(blocks, key=lambda block: (block.table, block.address, block.end)):
        last = joined[-1] if joined else None
        if last is not None and last.table == block.table and block.address <= last.end:
            union = block_of((*last.tags, *block.tags))
            if union.count <= longest and not any(union.covers(bad) for bad in failed):
                joined[-1] = union
                continue
        joined.append(block)
    return joined


def _join(block: RegisterBlock, tag: ModbusTagSettings, limit: int, max_hole: int) -> RegisterBlock | None:
    """Return `block` with `tag` in it, or None when they do not fit into one request of `limit` cells."""
    hole_limit = max_hole * BITS_PER_REGISTER if tag.is_bit else max_hole
    end = max(block.end, _end(tag))
    if tag.table != block.table or tag.address - block.end > hole_limit or end - block.address > limit:
        return None
    return RegisterBlock(block.table, block.address, end - block.address, (*block.tags, tag))


def block_of(tags: Sequence[ModbusTagSettings]) -> RegisterBlock:
    """Return one request for all of `tags`, which share a table; it may be longer than a device accepts."""
    start = min(tag.address for tag in tags)
    return RegisterBlock(tags[0].table, start, max(map(_end, tags)) - start, tuple(tags))


def _end(tag: ModbusTagSettings) -> int:
    return tag.address + tag.width


def _check_is_readable(tag: ModbusTagSettings, max_registers: int) -> None:
    width = tag.width
    if not tag.is_bit and width > max_registers:
        raise ConfigurationError(
            f"{tag.name}: a {tag.data_type} takes {width} registers, but max_registers is {max_registers}",
            hint=f"set max_registers to at least {width}, or read a narrower register",
        )
    if _end(tag) > ADDRESS_SPACE:
        raise ConfigurationError(
            f"{tag.name}: a {tag.data_type} at address {tag.address} reaches past 65535, the last address",
            hint="addresses count from 0 and leave out the table digit: 40001 in a manual is holding address 0",
        )


class FixedRate:
    """When a poll group is due: at `start_s`, `start_s + interval_s` and so on (monotonic seconds).

    A pass that takes longer than its interval does not pile up work: the grid points it ran over are skipped and
    counted. The caller brings the time.
    """

    def __init__(self, *, start_s: float, interval_s: float) -> None:
        self._start_s = start_s
        self._interval_s = interval_s
        self._index = 0

    @property
    def due_s(self) -> float:
        """Return the monotonic time of the next pass."""
        return self._start_s + self._index * self._interval_s

    def advance(self, now_s: float) -> int:
        """Move to the next grid point that is not yet past, and return how many points were run over."""
        next_index = max(self._index + 1, math.ceil((now_s - self._start_s) / self._interval_s))
        skipped = next_index - (self._index + 1)
        self._index = next_index
        return skipped
