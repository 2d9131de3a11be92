"""`edge-agent probe modbus`: a place in a device in every type and order, and what can be read at all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_agent.cli.probe_modbus_text import show
from edge_agent.cli.probe_output import answer, options_in_words, progress, table_lines
from edge_agent.core.clock import SystemClock
from edge_agent.drivers.modbus.data.addresses import manual_number, place_of
from edge_agent.drivers.modbus.data.types import BIT_TABLES, Table
from edge_agent.drivers.modbus.probe import Candidate, ProbedPlace, ProbeResult, connection_settings, look
from edge_agent.drivers.modbus.scan import DeviceScan, Scanner
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.modbus.transport.connection import DeviceConnection
from edge_agent.errors import EdgeError

_COUNTED: Final = "with --table a number counts from 0; alone it may be a manual's: 40001; or hex: 0x1F"
_TABLES: Final[tuple[Table, ...]] = ("holding", "input", "coil", "discrete")


@dataclass(frozen=True, slots=True)
class ModbusQuestion:
    """What is asked, as it was written on the command line."""

    device: str
    unit: int
    table: str | None
    address: str | None
    count: int
    reads: int
    interval_s: float
    is_scan: bool
    units: str
    up_to: int
    max_requests: int
    connection: Mapping[str, Any]


def probe_modbus(question: ModbusQuestion, *, as_json: bool) -> None:
    """Read the place, or scan, and print what was found with lines for the site's file. Raise EdgeError."""
    answer(lambda: asyncio.run(_probe(question)), show, as_json=as_json)


async def _probe(question: ModbusQuestion) -> dict[str, Any]:
    tables = _tables(question)
    units = _units(question.units) if question.is_scan else []
    place = None if question.address is None else _place(question)
    if place is None and not question.is_scan:
        raise EdgeError("say what to look at: --address, or --scan", hint="--address 100 --table holding, for example")
    given = _given(question)
    settings = _settings(given)
    connection = DeviceConnection(settings, SystemClock())
    progress(f"reading unit {question.unit} at {connection.place} ...")
    await connection.open()
    try:
        found = None
        if place is not None:
            found = await look(connection, place, SystemClock(), reads=question.reads, interval_s=question.interval_s)
        scan = await _scan(question, connection, tables, units, given) if question.is_scan else None
    finally:
        await connection.close()
    return _document(question, settings, found, scan)


async def _scan(
    question: ModbusQuestion,
    connection: DeviceConnection,
    tables: Sequence[Table],
    units: Sequence[int],
    given: Mapping[str, Any],
) -> DeviceScan:
    progress(f"scanning {', '.join(tables)} up to {question.up_to}, at most {question.max_requests} requests ...")
    scanner = Scanner(SystemClock(), max_requests=question.max_requests)
    await scanner.ranges(connection, tables, up_to=question.up_to)
    if units:
        first = scanner.found.ranges[0] if scanner.found.ranges else None
        table, address = (first.table, first.first) if first is not None else (tables[0], 0)
        progress(f"asking units {question.units} ...")
        others = ((unit, DeviceConnection(_settings({**given, "unit_id": unit}), SystemClock())) for unit in units)
        await scanner.units(others, table, address)
    return scanner.found


def _tables(question: ModbusQuestion) -> tuple[Table, ...]:
    named = tuple(table for table in _TABLES if table == question.table)
    if question.table is not None and not named:
        raise EdgeError(f"--table {question.table}: there are {', '.join(_TABLES)}")
    return named or _TABLES


def _place(question: ModbusQuestion) -> ProbedPlace:
    written = (question.address or "").strip()
    is_given = question.table is not None
    try:
        # A bare number counts from 0 when its table stands beside it; alone it may be a manual's, as in a site's file.
        number: int | str = int(written) if written.isdecimal() and (is_given or len(written) < 5) else written
        place = place_of(number, is_table_given=is_given)
    except ValueError as exc:
        raise EdgeError(f"--address {written}: {exc}", hint=_COUNTED) from exc
    if is_given and place.table not in (None, question.table):
        raise EdgeError(f"--address {written} is in the table {place.table}, and --table is {question.table}")
    table = place.table or _tables(question)[0]
    return ProbedPlace(question.unit, table, place.address, question.count)


def _units(text: str) -> list[int]:
    found: list[int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = part.partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)):
            raise EdgeError(f"--units {text}: like 1-10 or 1,2,17; none asks no other unit")
        span = range(int(first), int(last if dash else first) + 1)
        if not span or span[-1] > 255:
            raise EdgeError(f"--units {text}: units go from 0 to 255, the lower first")
        found += span
    return list(dict.fromkeys(found))


def _given(question: ModbusQuestion) -> dict[str, Any]:
    """Return the connection as a site's file has it."""
    given = {name: value for name, value in question.connection.items() if value is not None}
    if question.device.startswith("/"):
        return {"transport": "rtu", "serial_port": question.device, "unit_id": question.unit, **given}
    host, port = _host_and_port(question.device)
    return {"host": host, **({"port": port} if port else {}), "unit_id": question.unit, **given}


def _host_and_port(device: str) -> tuple[str, str]:
    if device.startswith("["):
        host, _, rest = device[1:].partition("]")
        return host, rest.removeprefix(":")
    host, colon, port = device.rpartition(":")
    return (host, port) if colon and ":" not in host else (device, "")


def _settings(given: Mapping[str, Any]) -> ModbusSettings:
    with options_in_words("for example plc.plant:502, or /dev/ttyUSB0 --baud-rate 19200"):
        return connection_settings(given)


def _document(
    question: ModbusQuestion, settings: ModbusSettings, found: ProbeResult | None, scan: DeviceScan | None
) -> dict[str, Any]:
    """Return what `--json` prints: a contract (docs/CLI_OUTPUT.md)."""
    document: dict[str, Any] = {"place": settings.line.place, "unit": question.unit}
    if found is not None:
        place, best = found.place, found.best
        newest = found.reads[-1]
        document |= {
            "table": place.table,
            "address": place.address,
            "manual_number": manual_number(place.table, place.address),
            "reads": len(found.reads),
            "registers": [_register(place, address, newest) for address in range(min(newest), max(newest) + 1)],
            "readings": [_reading(reading) for reading in found.readings],
            "best": None if best is None else _reading(best),
            "toml": "" if best is None else _toml(settings, best, place.table),
        }
    if scan is not None:
        document["scan"] = {
            "ranges": [{"table": one.table, "first": one.first, "last": one.last} for one in scan.ranges],
            "units": scan.units,
            "requests_total": scan.requests_total,
            "left": scan.left,
        }
    return document


def _register(place: ProbedPlace, address: int, cells: Mapping[int, int]) -> dict[str, Any]:
    cell = cells.get(address)
    is_bit = place.table in BIT_TABLES
    return {
        "address": address,
        "manual_number": manual_number(place.table, address),
        "hex": None if cell is None or is_bit else f"0x{cell:04X}",
        "value": cell,
    }


def _reading(reading: Candidate) -> dict[str, Any]:
    return {
        "data_type": reading.data_type,
        "order": reading.order,
        "address": reading.address,
        "value": reading.value,
        "verdict": reading.judgement.verdict,
        "why": reading.judgement.why,
    }


def _toml(settings: ModbusSettings, best: Candidate, table: Table) -> str:
    named = {name: getattr(settings, name) for name in settings.model_fields_set - {"type", "name", "poll_groups"}}
    if settings.timeout_s <= ModbusSettings.model_fields["timeout_s"].default:
        named.pop("timeout_s", None)  # a device that was given more needs it
    tag: dict[str, Any] = {"name": "machine-1.quantity", "unit": "", "table": table, "address": best.address}
    tag["data_type"] = best.data_type
    if best.data_type == "string":
        tag["length"] = max(2, len(str(best.value)))
    if best.order != "ABCD":
        tag["order"] = best.order
    return "\n\n".join(
        [
            table_lines("[[sources]]", {"type": "modbus", "name": "device-1", **dict(sorted(named.items()))}),
            table_lines("[[sources.poll_groups]]", {"interval_s": 1.0}),
            table_lines("[[sources.poll_groups.tags]]", tag),
        ]
    )
