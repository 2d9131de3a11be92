"""A place in a Modbus device in every type, order and address base side by side, to find the one that was meant.

Reads only, a few requests, through the product's own connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_agent.core.clock import Clock
from edge_agent.core.tags import TextReading
from edge_agent.drivers.modbus.answers import ExceptionAnswer
from edge_agent.drivers.modbus.codec import NotANumberError, TagDecoder
from edge_agent.drivers.modbus.connection import Connection
from edge_agent.drivers.modbus.plan import ADDRESS_SPACE, RegisterBlock
from edge_agent.drivers.modbus.plausibility import PLAUSIBLE, Judgement, judge, judge_text
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings
from edge_agent.drivers.modbus.types import BIT_TABLES, ORDERS, SHAPES, DataType, Order, Table
from edge_agent.errors import DeviceRejectedError

NEIGHBOURS: Final = 3
"""So many places after a number are looked at, where they were read."""

_LENGTH: Final = 32  # of a text that may stand there, in characters
Cells = Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Place:
    """What is looked at: `count` registers from `address`, from 0, and the one before it."""

    unit: int
    table: Table
    address: int
    count: int

    @property
    def bases(self) -> tuple[int, ...]:
        """Return the address as given, and the one it is when the manual counts from 1."""
        return (self.address, self.address - 1) if self.address else (self.address,)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one type and order makes of the registers at an address: the newest value, judged over all reads."""

    data_type: DataType
    order: Order
    address: int
    value: float | str | None
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Found:
    """The cells that were read, each time, and every way to read them."""

    place: Place
    reads: tuple[Cells, ...]
    readings: tuple[Reading, ...]

    @property
    def best(self) -> Reading | None:
        """Return the likeliest reading; None when none stands out from zeros and noise."""
        if self.place.table in BIT_TABLES:
            return next(iter(self.readings), None)
        best = max(self.readings, key=lambda reading: reading.judgement.points, default=None)
        return best if best is not None and best.judgement.points >= PLAUSIBLE else None


def connection_settings(given: Mapping[str, Any]) -> ModbusSettings:
    """Return the settings of a source that reads nothing yet. Raises ValidationError."""
    tag = {"name": "probe.value", "unit": "", "address": 0, "table": "holding"}
    return ModbusSettings.model_validate({"type": "modbus", "name": "probe", **given, "poll_groups": [{"tags": [tag]}]})


async def look(connection: Connection, place: Place, clock: Clock, *, reads: int, interval_s: float) -> Found:
    """Read the place `reads` times. Raises DeviceRejectedError, TransientDriverError."""
    taken: list[Cells] = []
    spans = [(place.bases[-1], place.address + place.count - place.bases[-1])]
    for number in range(reads):
        if number:
            await clock.sleep(interval_s)
        cells, spans = await _read(connection, place, spans)
        taken.append(cells)
    return Found(place, tuple(taken), tuple(readings_of(place, taken)))


async def _read(
    connection: Connection, place: Place, spans: Sequence[tuple[int, int]]
) -> tuple[Cells, list[tuple[int, int]]]:
    """Return what can be read, and in which spans: those that are refused are asked for cell by cell, once."""
    cells: dict[int, int] = {}
    readable: list[tuple[int, int]] = []
    refusal: ExceptionAnswer | None = None
    todo = list(spans)
    while todo:
        start, count = todo.pop(0)
        count = min(count, ADDRESS_SPACE - start)
        try:
            got = await connection.read(RegisterBlock(place.table, start, count, ()))
        except ExceptionAnswer as exc:
            refusal = exc
            todo += [(start + offset, 1) for offset in range(count)] if count > 1 else []
            continue
        readable.append((start, count))
        cells |= {start + offset: cell for offset, cell in enumerate(got)}
    if not cells:
        raise DeviceRejectedError(
            f"unit {place.unit} at {connection.place} refuses {place.table} {place.address}: "
            f"{'no answer' if refusal is None else refusal.status}",
            hint="try another --table, the address of the manual minus 1, or --scan to see what can be read",
        )
    return cells, readable


def readings_of(place: Place, reads: Sequence[Cells]) -> Iterator[Reading]:
    """Yield every way to read the place, of both address bases, as given first."""
    for base in place.bases:
        if place.table in BIT_TABLES:
            if base in reads[-1]:
                yield Reading("bool", "ABCD", base, float(reads[-1][base]), Judgement(0.0, "possible", "a bit"))
            continue
        for data_type, shape in SHAPES.items():
            if shape.kind == "bit":
                continue
            if data_type == "string":
                yield from _texts(place, base, reads)
                continue
            orders = ORDERS if shape.registers > 1 else ORDERS[:1]
            for order in orders:
                if (reading := _number(place, base, data_type, order, reads)) is not None:
                    yield reading


def _number(place: Place, base: int, data_type: DataType, order: Order, reads: Sequence[Cells]) -> Reading | None:
    shape = SHAPES[data_type]
    decoder = TagDecoder(_tag(place, base, data_type, order))
    values = [_value(decoder, cells, base, shape.registers) for cells in reads if _has(cells, base, shape.registers)]
    if not values:
        return None
    newest = reads[-1]
    starts = [base + step * shape.registers for step in range(1, NEIGHBOURS + 1)]
    neighbours = [
        _value(decoder, newest, start, shape.registers) for start in starts if _has(newest, start, shape.registers)
    ]
    judgement = judge(values, neighbours, shape, is_as_given=base == place.address)
    return Reading(data_type, order, base, values[-1], judgement)


def _texts(place: Place, base: int, reads: Sequence[Cells]) -> Iterator[Reading]:
    registers = 0
    while registers < _LENGTH // 2 and _has(reads[-1], base + registers, 1):
        registers += 1
    orders: tuple[Order, ...] = ("ABCD", "BADC") if registers else ()
    for order in orders:
        tag = _tag(place, base, "string", order, length=2 * registers)
        reading = TagDecoder(tag).read([reads[-1][base + offset] for offset in range(registers)], 0)
        if isinstance(reading, TextReading):
            judgement = judge_text(reading.text, is_as_given=base == place.address)
            yield Reading("string", tag.order, base, reading.text, judgement)


def _tag(
    place: Place, address: int, data_type: DataType, order: Order, *, length: int | None = None
) -> ModbusTagSettings:
    return ModbusTagSettings(
        name="probe.value", unit="", table=place.table, address=address, data_type=data_type, order=order, length=length
    )


def _has(cells: Cells, start: int, count: int) -> bool:
    return all(start + offset in cells for offset in range(count))


def _value(decoder: TagDecoder, cells: Cells, start: int, count: int) -> float | None:
    try:
        return decoder.raw([cells[start + offset] for offset in range(count)])
    except NotANumberError:
        return None
