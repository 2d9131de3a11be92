"""Registers and bits into numbers, and numbers into readings. Nothing here encodes.

A number over several registers arrives in one of four orders. With the bytes of the number called
A (most significant) to D, or A to H for 64 bits, the registers hold, in address order:

| order | 32 bits | 64 bits     | meaning                                         |
|-------|---------|-------------|-------------------------------------------------|
| ABCD  | AB CD   | AB CD EF GH | big-endian, as the protocol has it              |
| CDAB  | CD AB   | GH EF CD AB | registers reversed, bytes in a register as sent |
| BADC  | BA DC   | BA DC FE HG | bytes swapped in each register                  |
| DCBA  | DC BA   | HG FE DC BA | little-endian: both of these                    |

One register is always big-endian; `order` does not touch it. 64-bit integers above 2**53 lose their
last digits, since every value travels as a double.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Final

from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading, Tag
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings

_FORMATS: Final = {
    "uint16": ">H",
    "int16": ">h",
    "uint32": ">I",
    "int32": ">i",
    "float32": ">f",
    "uint64": ">Q",
    "int64": ">q",
    "float64": ">d",
}
_REVERSES_REGISTERS: Final = frozenset({"CDAB", "DCBA"})
_SWAPS_BYTES: Final = frozenset({"BADC", "DCBA"})


def decode(tag: ModbusTagSettings, cells: Sequence[int]) -> float:
    """Return the tag's number, scaled: `raw * scale + offset`. Not finite when the device sent such a float.

    `cells` are exactly the registers of this tag (0..65535), or its one bit (0 or 1).
    """
    if tag.data_type == "bool":
        (bit,) = cells
        raw: float = 1.0 if bit else 0.0
    else:
        (raw,) = struct.unpack(_FORMATS[tag.data_type], _big_endian(cells, tag.order))
    return float(raw) * tag.scale + tag.offset


def reading(tag: Tag, value: float, received_time_ns: int) -> Reading:
    """Return a GOOD reading of a finite value; a BAD one, without value, of anything else."""
    if math.isfinite(value):
        return Reading(tag, value, Quality.GOOD, None, received_time_ns)
    return bad_reading(tag, f"the device sent {value}, which is not a finite number", received_time_ns)


def bad_reading(tag: Tag, status: str, received_time_ns: int) -> Reading:
    """Return a BAD reading, which has no value; `status` is why."""
    return Reading(tag, None, Quality.BAD, None, received_time_ns, status)


def _big_endian(registers: Sequence[int], order: str) -> bytes:
    if len(registers) == 1:
        return struct.pack(">H", registers[0])
    in_order = registers[::-1] if order in _REVERSES_REGISTERS else registers
    return struct.pack(("<" if order in _SWAPS_BYTES else ">") + "H" * len(in_order), *in_order)
