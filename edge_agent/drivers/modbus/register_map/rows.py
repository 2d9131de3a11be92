"""A register map as vendors give it, in CSV, as the tags of a poll group (docs/MODBUS.md).

Constraints
- The same file gives the same names, in whatever order its lines stand.
- A row that only writes is left out, and so is one without an address: a heading, the units. Everything else is read,
  or is a mistake with its line and column.
- What a number could mean in two ways is asked, not guessed (`map_addresses`).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from edge_agent.drivers.modbus.data.types import SHAPES, Order
from edge_agent.drivers.modbus.register_map.address_column import (
    Counting,
    MapAddress,
    address_of,
    counting_of,
    place_in_map,
)
from edge_agent.drivers.modbus.register_map.cells import (
    count_of,
    data_type_of,
    factor_of,
    invalid_of,
    is_readable,
    number_of,
    order_of,
    table_of,
    words_of,
)
from edge_agent.drivers.modbus.register_map.columns import Column
from edge_agent.drivers.modbus.register_map.table import MapError, MapRow, MapTable, read_table
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings

MAX_MISTAKES: Final = 20
MAX_NAME: Final = 100
_SIGNS: Final = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "°": "deg", "µ": "u", "μ": "u", "%": "percent"}
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MapReading:
    """How a map is to be read where it does not say: the asset before its names, the order, and how addresses count."""

    asset: str
    order: Order = "ABCD"
    counting: Counting | None = None


class _RowError(ValueError):
    """A mistake in one row, with the column it is in."""

    def __init__(self, what: str, column: Column | None) -> None:
        super().__init__(what)
        self.column = column


def read_register_map(path: Path, reading: MapReading) -> tuple[ModbusTagSettings, ...]:
    """Return the map's tags, in its order. Raises MapError with every mistake, its line and column."""
    table = read_table(path)
    rows = [row for row in table.rows if _is_register(row)]
    if not rows:
        raise MapError(f"{path}: there is no row with an address under its header")
    try:
        counting = reading.counting or counting_of(_first(row) for row in rows)
    except ValueError as exc:
        raise MapError(f"{path}: {exc}") from exc
    is_hex = _is_hex(table)
    found: list[dict[str, Any]] = []
    mistakes: list[str] = []
    lines: list[MapRow] = []
    for row in rows:
        try:
            fields = _fields(row, reading, counting, is_hex=is_hex)
        except _RowError as exc:
            mistakes.append(f"{table.where(row, exc.column)}: {exc}")
            continue
        if fields is not None:
            found.append(fields)
            lines.append(row)
    tags = _checked(table, lines, _with_names(found, reading.asset), mistakes)
    if mistakes:
        more = [f"{path}: and {len(mistakes) - MAX_MISTAKES} more mistakes"] if len(mistakes) > MAX_MISTAKES else []
        raise MapError("\n".join(mistakes[:MAX_MISTAKES] + more))
    return tags


def _is_register(row: MapRow) -> bool:
    """Return whether a row is about a register: it has an address, and that is not the name of its unit."""
    address = row.get("address", "hex_address")
    if address is None:
        return False
    return any(character.isdigit() for character in address) or ("data_type" in row.cells and "name" in row.cells)


def _is_hex(table: MapTable) -> bool:
    """Return whether addresses are hexadecimal without 0x in each cell: by the column's name or its units' row."""
    if "address" not in table.headers:
        return True
    first = table.rows[0].get("address") if table.rows else None
    return first is not None and first.strip("[]() ").lower() in ("hex", "hexadecimal")


def _first(row: MapRow) -> str:
    try:
        return address_of(row.get("address", "hex_address") or "").text
    except ValueError:
        return ""


def _fields(row: MapRow, reading: MapReading, counting: Counting, *, is_hex: bool) -> dict[str, Any] | None:
    """Return the fields of a tag; None for a register that can only be written. Raises _RowError."""
    if not _cell(row, is_readable, "access", otherwise=True):
        return None
    where: Column = "address" if "address" in row.cells else "hex_address"
    at: MapAddress = _cell(row, address_of, where)
    place = _cell(row, lambda _: place_in_map(at.text, counting, is_hex=is_hex), where)
    fields: dict[str, Any] = {"address": place.address}
    if (named := row.get("table")) is not None:
        fields["table"] = _cell(row, table_of, "table")
        if fields["table"] is None:
            return None
        if place.table not in (None, fields["table"]):
            raise _RowError(f"{named!r} is {fields['table']}, and the address {at.text} is {place.table}", "table")
    elif place.table is not None:
        fields["table"] = place.table
    fields |= _type(row, at, fields, reading)
    for column, read in _NUMBERS.items():
        if column in row.cells:
            fields[column] = _cell(row, read, column)
    if "divisor" in row.cells:
        divisor = _cell(row, factor_of, "divisor")
        if divisor == 0 or "scale" in fields:
            raise _RowError("a divisor is not 0, and stands alone, without a scale", "divisor")
        fields["scale"] = 1 / divisor
    fields["unit"] = row.cells.get("unit", "").strip("[]() ")
    if fields["unit"] in ("-", "--", "n/a", "none"):
        fields["unit"] = ""
    fields["called"] = row.get("name", "description") or ""
    return fields


def _type(row: MapRow, at: MapAddress, fields: Mapping[str, Any], reading: MapReading) -> dict[str, Any]:
    """Return the fields about how registers are read: type, order, bits, length."""
    is_of_bits = fields.get("table") in ("coil", "discrete")
    counts = {name: _cell(row, count_of, name) for name in _LENGTHS if name in row.cells}
    registers = counts.get("length") or at.registers
    registers = counts["length_bits"] // 16 if registers is None and "length_bits" in counts else registers
    registers = counts["length_bytes"] // 2 if registers is None and "length_bytes" in counts else registers
    order, characters = None, None
    data_type = "bool" if is_of_bits else "uint16"
    if "data_type" in row.cells and not is_of_bits:
        size = registers // 16 if registers in (16, 32, 48, 64) else registers  # given in bits
        data_type, order, characters = _cell(row, lambda cell: data_type_of(cell, size), "data_type")
    out: dict[str, Any] = {"data_type": data_type}
    if "order" in row.cells:
        order = _cell(row, order_of, "order")
    elif "word_order" in row.cells:
        order = _cell(row, lambda cell: order_of(cell, is_of_words=True), "word_order")
    if data_type == "string":
        characters = characters or counts.get("length_bytes") or (registers or 0) * 2
        if not characters:
            raise _RowError("a string needs its length: a column with its registers or bytes", "data_type")
        return out | {"length": characters} | ({"order": "BADC"} if order in ("BADC", "DCBA") else {})
    out["order"] = order or reading.order
    bits = row.cells.get("bit")
    if bits is not None and not is_of_bits:
        out |= _cell(row, _bits, "bit")
    elif at.bit is not None and (data_type == "bool" or at.bit > 0):
        out["bit"] = at.bit
    if counts and "bit" not in out and not is_of_bits:
        _check_size(row, data_type, counts)
    return out


def _check_size(row: MapRow, data_type: str, counts: Mapping[Column, int]) -> None:
    """Refuse a size that is not the type's; `length` may be meant in registers, bytes or bits."""
    shape = next(shape for name, shape in SHAPES.items() if name == data_type)
    allowed: dict[Column, tuple[int, ...]] = {
        "length": (shape.registers, shape.registers * 2, shape.bits),
        "length_bits": (shape.bits, shape.registers * 16),
        "length_bytes": (-(-shape.bits // 8), shape.registers * 2),
    }
    for column in _LENGTHS:
        if column in counts and counts[column] not in allowed[column]:
            raise _RowError(
                f"a {data_type} takes {shape.registers} registers, and {counts[column]} stands here", column
            )


def _bits(cell: str) -> dict[str, Any]:
    found = re.fullmatch(r"(?:bit)?\s*(\d{1,2})\s*(?:(?:-|–|\.\.|:|to)\s*(\d{1,2}))?", cell.strip().lower())
    if found is None:
        raise ValueError(f"{cell!r} is no bit and no range of bits, like 3 or 4..7")
    if found[2] is None:
        return {"bit": int(found[1])}
    first, last = sorted((int(found[1]), int(found[2])))
    return {"bits": f"{first}..{last}"}


def _cell(row: MapRow, read: Callable[[str], T], column: Column, *, otherwise: T | None = None) -> T:
    """Return what `read` makes of a cell; `otherwise` when it is empty. Raises _RowError."""
    if column not in row.cells and otherwise is not None:
        return otherwise
    try:
        return read(row.cells.get(column, ""))
    except ValueError as exc:
        raise _RowError(str(exc), column) from exc


def _with_names(found: Iterable[dict[str, Any]], asset: str) -> list[dict[str, Any]]:
    """Return the fields with names: of two rows called the same each gets its place behind its name."""
    rows = [{**fields, "name": _name(fields["called"], fields, asset)} for fields in found]
    counts = Counter(row["name"] for row in rows)
    for row in rows:
        if counts[row["name"]] > 1:
            row["name"] += f"_{_place_in_words(row)}"
        del row["called"]
    return rows


def _name(called: str, fields: Mapping[str, Any], asset: str) -> str:
    """Return a safe name: small ASCII letters, digits, _ and -; the asset in front when it names none."""
    parts = [_safe(part) for part in called.split(".")]
    name = ".".join(part for part in parts if part)[:MAX_NAME].strip("._-")
    if not name:
        name = _place_in_words(fields)
    return name if "." in name else f"{asset}.{name}"


def _safe(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.lower().translate(_SIGNS)).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9-]+", "_", plain).strip("_-")


def _place_in_words(fields: Mapping[str, Any]) -> str:
    bit = fields.get("bit", (fields.get("bits") or "").replace("..", "-"))
    return f"{fields.get('table', 'holding')}_{fields['address']}" + (f"_{bit}" if bit not in ("", None) else "")


def _checked(
    table: MapTable, rows: Iterable[MapRow], found: Iterable[dict[str, Any]], mistakes: list[str]
) -> tuple[ModbusTagSettings, ...]:
    """Return the tags, and add to `mistakes` what the settings of a tag refuse, and names that are taken."""
    tags: list[ModbusTagSettings] = []
    line_of: dict[str, int] = {}
    for row, fields in zip(rows, found, strict=True):
        try:
            tag = ModbusTagSettings.model_validate({"table": "holding", **fields})
        except ValidationError as exc:
            mistakes += [f"{table.where(row)}: {_in_words(error)}" for error in exc.errors(include_url=False)]
            continue
        if tag.name in line_of:
            mistakes.append(f"{table.where(row)}: it is the same as line {line_of[tag.name]}: {tag.name}")
        line_of[tag.name] = row.line
        tags.append(tag)
    return tuple(tags)


def _in_words(error: Any) -> str:
    field = ".".join(str(part) for part in error["loc"])
    what = str(error["msg"]).removeprefix("Value error, ")
    return f"{field}: {what}" if field else what


_LENGTHS: Final[tuple[Column, ...]] = ("length", "length_bits", "length_bytes")
_NUMBERS: Final[dict[Column, Callable[[str], Any]]] = {
    "scale": factor_of, "offset": number_of, "deadband": number_of, "words": words_of, "invalid_values": invalid_of,
    "sensor_type": str.lower,
}  # fmt: skip
