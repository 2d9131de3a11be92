"""The checksum of Modbus RTU frames."""

from __future__ import annotations

from pymodbus.framer import FramerRTU


def has_good_crc(frame: bytes) -> bool:
    """Return whether the last two bytes of `frame` are the checksum of the others."""
    return len(frame) >= 4 and FramerRTU.compute_CRC(frame[:-2]) == int.from_bytes(frame[-2:], "big")
