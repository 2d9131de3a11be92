"""What people write for an address: from 0 as on the wire, hexadecimal, or as manuals number registers (40001). Pure.

A manual's number has the table's digit in front and counts from 1: 40001 and 400001 are holding register 0, 30001 is
input register 0, 10001 discrete input 0, 00001 coil 0. Written as a text or beyond 65535 it can be nothing else. A
bare 40001 could also be an address from 0, so the table must stand beside it; it then counts from 0, as it always did.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from edge_agent.drivers.modbus.data.types import TABLE_WORDS, Table

LAST_ADDRESS: Final = 65_535

_TABLES: Final[dict[str, Table]] = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
_HEX: Final = re.compile(r"0x([0-9a-f]{1,8})|([0-9a-f]{1,8})h", re.IGNORECASE)
_MANUAL: Final = re.compile(r"([0134])(\d{4,5})")  # 40001, 400001
_MARKED: Final = re.compile(r"([134])x(\d{1,5})", re.IGNORECASE)  # 4x0001: what begins with 0x is hexadecimal
ALLOWED: Final = 'a number from 0, as on the wire ("0x1F" in hex), or a manual\'s number in quotes, like "40001"'


@dataclass(frozen=True, slots=True)
class RegisterPlace:
    """An address from 0; `table` when the way it was written says so."""

    address: int
    table: Table | None = None


def place_of(written: int | str, *, is_table_given: bool) -> RegisterPlace:
    """Return what was meant. Raises ValueError, in words, for what is no address or could be two."""
    if isinstance(written, str):
        return _of_text(written.strip())
    if written < 0:
        raise ValueError(f"{written} is no address: {ALLOWED}")
    if written > LAST_ADDRESS:
        return _manual(str(written))
    if not is_table_given and (manual := _manual_or_none(str(written))) is not None and manual.table is not None:
        cell = f"{TABLE_WORDS[manual.table]} {manual.address}"
        raise ValueError(
            f"{written} can mean two things: {cell} as manuals number them, or the address {written} "
            f'counted from 0. Write "{written}" in quotes for the first, or add the table (table = "holding") for the '
            "second"
        )
    return RegisterPlace(written)


def _of_text(text: str) -> RegisterPlace:
    if found := _HEX.fullmatch(text):
        return RegisterPlace(_in_space(int(found[1] or found[2], 16), text))
    if found := _MARKED.fullmatch(text):
        return _from_one(found[1], found[2], text)
    if _MANUAL.fullmatch(text):
        return _manual(text)
    if text.isascii() and text.isdecimal():
        raise ValueError(
            f'"{text}" can be counted from 0 or from 1: write {int(text)} without quotes for an address from 0, or the '
            f"manual's number with its table's digit, like \"{40_000 + int(text) % 10_000}\""
        )
    raise ValueError(f"{text!r} is no address: {ALLOWED}")


def _manual_or_none(text: str) -> RegisterPlace | None:
    found = _MANUAL.fullmatch(text)
    return None if found is None or int(found[2]) == 0 else RegisterPlace(int(found[2]) - 1, _TABLES[found[1]])


def _manual(text: str) -> RegisterPlace:
    found = _MANUAL.fullmatch(text)
    if found is None:
        raise ValueError(f"{text} is no address: {ALLOWED}")
    return _from_one(found[1], found[2], text)


def _from_one(digit: str, number: str, text: str) -> RegisterPlace:
    if int(number) == 0:
        raise ValueError(f"{text} is no address: manuals count from 1, so the first one is {text[:-1]}1")
    return RegisterPlace(_in_space(int(number) - 1, text), _TABLES[digit])


def _in_space(address: int, text: str) -> int:
    if address > LAST_ADDRESS:
        raise ValueError(f"{text} reaches past the last address, which is {LAST_ADDRESS} from 0")
    return address


def manual_number(table: Table, address: int) -> str:
    """Return the number manuals give this place: "40001" for holding register 0, six digits where five do not do."""
    digit = next(digit for digit, known in _TABLES.items() if known == table)
    return f"{digit}{address + 1:04d}" if address < 9_999 else f"{digit}{address + 1:05d}"
