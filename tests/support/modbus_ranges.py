"""A Modbus device without a socket: each range of cells behaves in its own way, on the time of a FakeClock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edge_agent.core.clock import FakeClock
from edge_agent.drivers.modbus.data.types import BIT_TABLES, Table
from edge_agent.drivers.modbus.plan import RegisterBlock
from edge_agent.drivers.modbus.transport.answers import ExceptionAnswer, NoAnswer

Behaviour = int | Literal["fine", "silent"]  # an exception code, or one of these


def cell(table: Table, address: int) -> int:
    """The value of a cell: none is zero, and neighbours differ."""
    return 1 if table in BIT_TABLES else 1 + (address * 7919 + len(table)) % 65_535


@dataclass
class RangesDevice:
    """`behaviours` by (table, address); other cells are fine. `longest` and `too_long`: what longer reads come to.

    `busy_but_every` n: only every n-th request is answered, the others with exception 6.
    """

    clock: FakeClock
    behaviours: dict[tuple[Table, int], Behaviour] = field(default_factory=dict)
    longest: int = 10_000
    too_long: Behaviour = 3
    timeout_s: float = 3.0
    requests: list[RegisterBlock] = field(default_factory=list)
    silent_total: int = 0
    is_off: bool = False
    lose_next: int = 0
    busy_but_every: int = 1
    latency_s: float = 0.01

    def set(self, table: Table, addresses: range, behaviour: Behaviour) -> None:
        for address in addresses:
            self.behaviours[table, address] = behaviour

    async def read(self, block: RegisterBlock) -> list[int]:
        self.requests.append(block)
        came = "silent" if self.is_off or self.lose_next else self._came_of(block)
        if len(self.requests) % self.busy_but_every and came == "fine":
            came = 6
        self.lose_next = max(0, self.lose_next - 1)
        if came == "silent":
            self.silent_total += 1
            self.clock.advance(self.timeout_s)
            raise NoAnswer(f"no answer within {self.timeout_s:g} s")
        self.clock.advance(self.latency_s)
        if isinstance(came, int):
            raise ExceptionAnswer(came)
        return [cell(block.table, address) for address in range(block.address, block.end)]

    def behaviour(self, table: Table, addresses: range) -> Behaviour:
        """What a read of these cells alone comes to; silence is the strongest."""
        found = {self.behaviours.get((table, address), "fine") for address in addresses}
        codes: list[Behaviour] = sorted(one for one in found if isinstance(one, int))
        return "silent" if "silent" in found else (codes or ["fine"])[0]

    def _came_of(self, block: RegisterBlock) -> Behaviour:
        came = self.behaviour(block.table, range(block.address, block.end))
        return self.too_long if came == "fine" and block.count > self.longest else came


def expected(table: Table, address: int, data_type: str) -> float:
    """The value of a tag of such a device."""
    if data_type == "uint32":
        return cell(table, address) * 65_536 + cell(table, address + 1)
    return cell(table, address)
