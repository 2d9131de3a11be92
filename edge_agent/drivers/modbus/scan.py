"""What a Modbus device lets be read: which tables and ranges, and which units answer. Polite, bounded, read only.

Constraints
- One request at a time with a pause between; never more than the requests that were allowed.
- A refused span is halved until what is readable in it is found; a table whose function is refused is left.
- Silence costs a time-out each, so after some in a row the tables are left, and that is said. Of each unit one
  register is asked: a unit that is not there is silent, or a gateway closes the connection, and the next one is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from edge_agent.core.clock import Clock
from edge_agent.drivers.modbus.data.types import Table
from edge_agent.drivers.modbus.plan import ADDRESS_SPACE, RegisterBlock
from edge_agent.drivers.modbus.polling.failures import UNREACHABLE
from edge_agent.drivers.modbus.transport.answers import ConnectionLost, ExceptionAnswer, NoAnswer, StrangeAnswer
from edge_agent.drivers.modbus.transport.connection import DeviceConnection

PAUSE_S: Final = 0.02
SPAN: Final = 64
"""Registers, or bits, that are asked for at a time."""

FINEST: Final = 8
"""A refused span is halved down to so many; of those the first is asked for, and the others when it is given."""

SILENCES: Final = 3
"""So many requests in a row without an answer: the rest is left."""


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses, from 0, that can be read, the first and the last."""

    table: Table
    first: int
    last: int


@dataclass(slots=True)
class DeviceScan:
    """What was found. `left` says, in words, what was not looked at, and why."""

    units: list[int] = field(default_factory=list)
    ranges: list[Range] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    requests_total: int = 0


class Scanner:
    """Asks one device with a bound on the requests."""

    def __init__(self, clock: Clock, *, max_requests: int) -> None:
        self.found = DeviceScan()
        self._clock = clock
        self._max_requests = max_requests
        self._silences = 0
        self._refused: set[Table] = set()  # the device does not have their function

    async def ranges(self, connection: DeviceConnection, tables: Iterable[Table], *, up_to: int) -> None:
        """Find what can be read of each table below the address `up_to`."""
        for table in tables:
            self._silences = 0
            readable: list[tuple[int, int]] = []
            for start in range(0, min(up_to, ADDRESS_SPACE), SPAN):
                if table in self._refused or self._is_over(f"{table} from {start}"):
                    break
                await self._halve(connection, table, start, min(SPAN, up_to - start, ADDRESS_SPACE - start), readable)
            self.found.ranges += [Range(table, first, last) for first, last in _joined(readable)]

    async def units(self, connections: Iterable[tuple[int, DeviceConnection]], table: Table, address: int) -> None:
        """Find which units answer at all, with data or an exception of their own. Opens and closes each connection."""
        self._silences = 0
        for unit, connection in connections:
            if self._is_over(f"units from {unit}"):
                return
            await connection.open()
            try:
                if await self._answers(connection, table, address):
                    self.found.units.append(unit)
            finally:
                await connection.close()

    async def _halve(
        self, connection: DeviceConnection, table: Table, start: int, count: int, readable: list[tuple[int, int]]
    ) -> None:
        todo = [(start, count)]
        while todo:
            first, n = todo.pop(0)
            if table in self._refused or self._is_over(f"{table} from {first}"):
                return
            if await self._is_given(connection, table, first, n):
                readable.append((first, first + n - 1))
            elif n > FINEST and not self._silences:
                todo[:0] = [(first, n // 2), (first + n // 2, n - n // 2)]
            elif n == 1 or self._silences or self._is_over(f"{table} from {first}"):
                continue
            elif await self._is_given(connection, table, first, 1):
                readable.append((first, first))
                todo[:0] = [(first + offset, 1) for offset in range(1, n)]

    async def _answers(self, connection: DeviceConnection, table: Table, address: int) -> bool:
        try:
            await self._ask(connection, RegisterBlock(table, address, 1, ()))
        except ExceptionAnswer as exc:
            return exc.code not in UNREACHABLE
        except StrangeAnswer as strange:
            self.found.left.append(strange.message.removeprefix(f"{connection.name}: "))
            return False
        except (NoAnswer, ConnectionLost):
            return False
        return True

    async def _is_given(self, connection: DeviceConnection, table: Table, start: int, count: int) -> bool:
        """Return whether the span was given; when nothing came that answers, `_silences` counts it."""
        try:
            await self._ask(connection, RegisterBlock(table, start, count, ()))
        except ExceptionAnswer as exc:
            self._silences = 0
            if exc.code == 1:
                self._refused.add(table)
            return False
        except (NoAnswer, StrangeAnswer, ConnectionLost):
            self._silences += 1
            return False
        self._silences = 0
        return True

    async def _ask(self, connection: DeviceConnection, block: RegisterBlock) -> None:
        """Ask, and once more when the answer is damaged: noise on a line comes and goes. Raise as `read` does."""
        await self._pause()
        try:
            await connection.read(block)
        except StrangeAnswer:
            if self.found.requests_total >= self._max_requests:
                raise
            await self._pause()
            await connection.read(block)

    async def _pause(self) -> None:
        self.found.requests_total += 1
        await self._clock.sleep(PAUSE_S)

    def _is_over(self, what: str) -> bool:
        if self._silences >= SILENCES:
            self._leave(f"{what}: {SILENCES} requests in a row were not answered")
            return True
        if self.found.requests_total >= self._max_requests:
            self._leave(f"{what}: {self._max_requests} requests were made (--max-requests)")
            return True
        return False

    def _leave(self, what: str) -> None:
        table = what.split(" from ")[0]
        if not any(known.startswith(f"{table} from ") for known in self.found.left):
            self.found.left.append(what)


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined
