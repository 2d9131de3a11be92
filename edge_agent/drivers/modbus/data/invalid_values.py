"""What devices send in place of a number (0x8000, 0xFFFF, NaN, -9999), as bit patterns. Pure.

A pattern is compared before scaling, so 0x8000 is found in an int16 (-32768) and in a uint16 (32768) alike.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from edge_agent.drivers.modbus.data.types import FLOAT_FORMATS, Kind

_HEX: Final = re.compile(r"0[xX]([0-9a-fA-F]{1,16})")
_NUMBER: Final = re.compile(r"[-+]?[0-9]{1,20}(\.[0-9]{1,20})?([eE][-+]?[0-9]{1,3})?")


def patterns_of(values: Iterable[int | float | str], kind: Kind, bits: int) -> frozenset[int]:
    """Return the bit patterns of `values` in a number of `bits` bits. Raises ValueError, in words, for what is none."""
    return frozenset(pattern for value in values for pattern in _patterns(value, kind, bits))


def _patterns(value: int | float | str, kind: Kind, bits: int) -> Iterator[int]:
    if isinstance(value, str):
        if found := _HEX.fullmatch(value.strip()):
            yield _fitting(int(found[1], 16), bits, value)
            return
        if not _NUMBER.fullmatch(value.strip()):
            raise ValueError(f'{value!r} in invalid_values is no number: write 32768, 0x8000 or "0x8000"')
        value = float(value) if any(mark in value for mark in ".eE") else int(value)
    if kind == "float":
        yield from _of_float(value, bits)
        return
    if not math.isfinite(value) or value != int(value):
        raise ValueError(f"{value} in invalid_values is no whole number, and the tag is one")
    if kind == "bcd":
        yield _fitting(int(str(int(value)), 16) if value >= 0 else -1, bits, value)
        return
    yield _fitting(int(value), bits, value)


def _of_float(value: int | float, bits: int) -> Iterator[int]:
    """Yield the float's own pattern; and a whole number's as it stands: TOML tells 0x7FC00000 from no other number."""
    try:
        yield int.from_bytes(struct.pack(FLOAT_FORMATS[bits], value), "big")
    except (OverflowError, struct.error) as exc:
        if isinstance(value, float) or not 0 <= value < 1 << bits:
            raise ValueError(f"{value} in invalid_values is beyond what a float of {bits} bits holds") from exc
    if isinstance(value, int) and (1 << (bits - 9)) <= value < 1 << bits:
        yield value


def _fitting(value: int, bits: int, written: object) -> int:
    if not -(1 << (bits - 1)) <= value < 1 << bits:
        raise ValueError(f"{written} in invalid_values does not fit into the {bits} bits of the tag")
    return value % (1 << bits)
