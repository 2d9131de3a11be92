"""A place in a Modbus device in every type, order and address base side by side, to find the one that was meant.

Reads only, a few requests, through the product's own connection.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_agent.core.clock import Clock
from edge_agent.core.tags import TextReading
from edge_agent.drivers.modbus.codec import NotANumberError, TagDecoder
from edge_agent.drivers.modbus.data.types import BIT_TABLES, ORDERS, SHAPES, DataType, Order, Table
from edge_agent.drivers.modbus.plan import ADDRESS_SPACE, RegisterBlock
from edge_agent.drivers.modbus.plausibility import (
    NO_VALUE,
    NOISE,
    PLAUSIBLE_BITS,
    Plausibility,
    cost_of_reads,
    cost_of_register,
    cost_of_text,
    habit,
    is_likely,
    is_striking,
    verdict,
)
from edge_agent.drivers.modbus.polling.failures import Failure
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings
from edge_agent.drivers.modbus.transport.answers import ExceptionAnswer
from edge_agent.drivers.modbus.transport.connection import DeviceConnection
from edge_agent.errors import DeviceRejectedError

_REFUSED_HINT: Final = "try another --table, the address of the manual minus 1, or --scan to see what can be read"
_LENGTH: Final = 16  # registers of a text that may stand there, at most
Cells = Mapping[int, int]


@dataclass(frozen=True, slots=True)
class ProbedPlace:
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
class Candidate:
    """What one type and order makes of the registers at an address: the newest value, judged over all reads.

    `value` is finite, or None when one of the reads is no number.
    """

    data_type: DataType
    order: Order
    address: int
    value: float | str | None
    judgement: Plausibility


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The cells that were read, each time, and every way to read them."""

    place: ProbedPlace
    reads: tuple[Cells, ...]
    readings: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate | None:
        """Return the likeliest reading; None when none stands out from zeros and noise."""
        if self.place.table in BIT_TABLES:
            return next(iter(self.readings), None)
        told = [reading for reading in self.readings if reading.judgement.is_likely]
        as_given = [reading for reading in told if reading.address == self.place.address]
        if any(reading.judgement.is_striking for reading in as_given):
            told = as_given
        return min(told, key=lambda reading: reading.judgement.bits, default=None)


def connection_settings(given: Mapping[str, Any]) -> ModbusSettings:
    """Return the settings of a source that reads nothing yet. Raises ValidationError."""
    tag = {"name": "probe.value", "unit": "", "address": 0, "table": "holding"}
    return ModbusSettings.model_validate({"type": "modbus", "name": "probe", **given, "poll_groups": [{"tags": [tag]}]})


async def look(
    connection: DeviceConnection, place: ProbedPlace, clock: Clock, *, reads: int, interval_s: float
) -> ProbeResult:
    """Read the place `reads` times. Raises DeviceRejectedError, TransientDriverError."""
    taken: list[Cells] = []
    spans = [(place.bases[-1], place.address + place.count - place.bases[-1])]
    for number in range(reads):
        if number:
            await clock.sleep(interval_s)
        cells, spans = await _read(connection, place, spans)
        taken.append(cells)
    return ProbeResult(place, tuple(taken), tuple(readings_of(place, taken)))


async def _read(
    connection: DeviceConnection, place: ProbedPlace, spans: Sequence[tuple[int, int]]
) -> tuple[Cells, list[tuple[int, int]]]:
    """Return what can be read, and in which spans: those that are refused are asked for cell by cell, once."""
    cells: dict[int, int] = {}
    readable: list[tuple[int, int]] = []
    refusal = Failure(2, "there is no such address")
    todo = list(spans)
    while todo:
        start, wanted = todo.pop(0)
        count = min(wanted, ADDRESS_SPACE - start)
        try:
            got = await connection.read(RegisterBlock(place.table, start, count, ()))
        except ExceptionAnswer as exc:
            refusal = Failure.of(exc)
            todo += [(start + offset, 1) for offset in range(count)] if count > 1 else []
            continue
        readable.append((start, count))
        cells |= {start + offset: cell for offset, cell in enumerate(got)}
    if not cells:
        raise DeviceRejectedError(
            f"unit {place.unit} at {connection.place} refuses {place.table} {place.address}: {refusal.status}",
            hint=refusal.hint or _REFUSED_HINT,
        )
    return cells, readable


def readings_of(place: ProbedPlace, reads: Sequence[Cells]) -> Iterator[Candidate]:
    """Yield every way to read the place, of both address bases, as given first."""
    whole = {at: [cells[at] for cells in reads] for at in sorted(reads[-1]) if all(at in cells for cells in reads)}
    for base in place.bases:
        if place.table in BIT_TABLES:
            if base in whole:
                yield Candidate("bool", "ABCD", base, float(whole[base][-1]), Plausibility(0.0, "possible", "a bit"))
            continue
        for data_type, shape in SHAPES.items():
            if shape.kind == "text":
                yield from _texts(place, base, whole)
            elif shape.kind != "bit" and _has(whole, base, shape.registers):
                for order in ORDERS if shape.registers > 1 else ORDERS[:1]:
                    yield _number(place, base, data_type, order, whole)


def _number(
    place: ProbedPlace, base: int, data_type: DataType, order: Order, whole: Mapping[int, Sequence[int]]
) -> Candidate:
    shape = SHAPES[data_type]
    decoder = TagDecoder(_tag(place, base, data_type, order))
    values = _values(decoder, whole, base, shape.registers)
    if values is None:
        return Candidate(data_type, order, base, None, NO_VALUE)
    registers = [whole[base + offset][0] for offset in range(shape.registers)]
    bits = habit(data_type, order, is_as_given=base == place.address) + cost_of_reads(values, shape)
    left = set(whole) - set(range(base, base + shape.registers))
    for start in _alike(base, shape.registers, left):
        # What stands beside it is of the same type, or of no known one, whatever costs less.
        covered = range(start, start + shape.registers)
        plain = sum(cost_of_register(whole[at]) for at in covered)
        beside = _values(decoder, whole, start, shape.registers)
        bits += plain if beside is None else min(plain, cost_of_reads(beside, shape) + 1.0)
        left -= set(covered)
    bits += sum(cost_of_register(whole[at]) for at in left)
    is_told = is_likely(values, shape), is_striking(values[0], shape)
    return Candidate(
        data_type, order, base, values[-1], Plausibility(bits, *verdict(values, shape, registers), *is_told)
    )


def _alike(base: int, registers: int, left: Iterable[int]) -> Iterator[int]:
    """Yield where the whole numbers of the same width before and behind a number begin."""
    free = set(left)
    if not free:
        return
    for start in (
        *range(base - registers, min(free) - 1, -registers),
        *range(base + registers, max(free) + 1, registers),
    ):
        if free.issuperset(range(start, start + registers)):
            yield start


def _texts(place: ProbedPlace, base: int, whole: Mapping[int, Sequence[int]]) -> Iterator[Candidate]:
    registers = 0
    while registers < _LENGTH and base + registers in whole:
        registers += 1
    orders: tuple[Order, ...] = ("ABCD", "BADC") if registers else ()
    for order in orders:
        tag = _tag(place, base, "string", order, length=2 * registers)
        reading = TagDecoder(tag).read([whole[base + offset][-1] for offset in range(registers)], 0)
        text = reading.text if isinstance(reading, TextReading) else ""
        used = -(-len(text) // 2)
        own = cost_of_text(text, used)
        if not math.isfinite(own):
            yield Candidate("string", order, base, text, NO_VALUE)
            continue
        left = set(whole) - set(range(base, base + used))
        bits = habit("string", order, is_as_given=base == place.address) + own
        bits += sum(cost_of_register(whole[at]) for at in left)
        is_plausible = NOISE * used - own >= PLAUSIBLE_BITS
        word = "plausible" if is_plausible else "implausible"
        yield Candidate("string", order, base, text, Plausibility(bits, word, "", is_likely=is_plausible))


def _tag(
    place: ProbedPlace, address: int, data_type: DataType, order: Order, *, length: int | None = None
) -> ModbusTagSettings:
    return ModbusTagSettings(
        name="probe.value", unit="", table=place.table, address=address, data_type=data_type, order=order, length=length
    )


def _has(whole: Mapping[int, Sequence[int]], start: int, count: int) -> bool:
    return all(start + offset in whole for offset in range(count))


def _values(decoder: TagDecoder, whole: Mapping[int, Sequence[int]], start: int, count: int) -> list[float] | None:
    """Return the value of each read; None when one of them is no finite number."""
    registers = [whole[start + offset] for offset in range(count)]
    try:
        values = [decoder.raw(cells) for cells in zip(*registers, strict=True)]
    except NotANumberError:
        return None
    return values if all(math.isfinite(value) for value in values) else None
