"""The address column of a register map: how it counts, and one cell of it. Pure.

A map's numbers say how they count only together: where all of them are as manuals number registers (40001, 300017),
they are that; where none is, they count from 0; where some are, nobody can know, and the settings have to say it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from edge_agent.drivers.modbus.data.addresses import LAST_ADDRESS, RegisterPlace, place_of

Counting = Literal["from_0", "from_1", "manual"]

_RANGE: Final = re.compile(r"(\S+?)\s*(?:-|–|\.\.\.?|to|bis|/|&|,\s)\s*(\S+)", re.IGNORECASE)
_BIT: Final = re.compile(r"(\w+)[.:](\d{1,2})")
_PLAIN: Final = re.compile(r"\d{1,6}")


@dataclass(frozen=True, slots=True)
class MapAddress:
    """A cell: where the value begins, how many registers a range spans, and the bit behind a point (40010.3)."""

    text: str
    registers: int | None = None
    bit: int | None = None


def address_of(cell: str) -> MapAddress:
    """Return the parts of a cell like 40001, 40001-40002, 0x1F or 40010.3. Raises ValueError."""
    text = cell.strip().replace("'", "").replace(" ", " ")
    if found := _RANGE.fullmatch(text):
        first, last = found[1], found[2]
        if not (first.isdecimal() and last.isdecimal()):
            return MapAddress(first)
        count = int(last) - int(first) + 1
        if count < 1:
            raise ValueError(f"{cell!r} ends before it begins")
        return MapAddress(first, registers=count)
    if found := _BIT.fullmatch(text):
        return MapAddress(found[1], bit=int(found[2]))
    return MapAddress(text)


def counting_of(addresses: Iterable[str]) -> Counting:
    """Return how a map's addresses count. Raises ValueError for a map that mixes both."""
    plain = [text for text in addresses if _PLAIN.fullmatch(text)]
    manual = [text for text in plain if _is_manual(text)]
    if not manual:
        return "from_0"
    if len(manual) == len(plain):
        return "manual"
    other = next(text for text in plain if not _is_manual(text))
    raise ValueError(
        f"some of its addresses are as manuals number registers ({manual[0]}) and some are not ({other}): say how they "
        'count with map_addresses = "manual" (40001 is the first holding register), "from_0" or "from_1"'
    )


def place_in_map(text: str, counting: Counting, *, is_hex: bool = False) -> RegisterPlace:
    """Return the address from 0, and the table a manual's number names. Raises ValueError."""
    if is_hex and re.fullmatch(r"(0[xX])?[0-9a-fA-F]{1,4}", text):
        return RegisterPlace(int(text, 16))
    if not _PLAIN.fullmatch(text):
        return place_of(text, is_table_given=True)
    if counting == "manual" and _is_manual(text):
        return place_of(text, is_table_given=True)
    address = int(text) - (counting != "from_0")
    if not 0 <= address <= LAST_ADDRESS:
        raise ValueError(f"{text} is no address: they go from 0 to {LAST_ADDRESS}, or from 40001 as manuals count")
    return RegisterPlace(address)


def _is_manual(text: str) -> bool:
    """Return whether it has a table's digit in front, and is not 0 behind it."""
    return re.fullmatch(r"[0134]\d{4,5}", text) is not None and int(text[1:]) != 0
