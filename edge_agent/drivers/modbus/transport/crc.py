"""A frame of Modbus RTU in the bytes that came: its length, and its checksum."""

from __future__ import annotations

from typing import Final

from pymodbus.framer import FramerRTU

from edge_agent.drivers.modbus.transport.request import EXCEPTION_BIT

SHORTEST_FRAME: Final = 5  # an exception: unit, function, code, two of checksum
_AROUND_DATA: Final = 5  # unit, function, byte count, two of checksum


def frame_at_start(data: bytes | bytearray) -> bytes:
    """Return the whole answer with a good checksum that the bytes begin with; empty when there is none."""
    if len(data) < SHORTEST_FRAME:
        return b""
    length = SHORTEST_FRAME if data[1] & EXCEPTION_BIT else _AROUND_DATA + data[2]
    frame = bytes(data[:length])
    return frame if len(frame) == length and _has_good_crc(frame) else b""


def _has_good_crc(frame: bytes) -> bool:
    return FramerRTU.compute_CRC(frame[:-2]) == int.from_bytes(frame[-2:], "big")
