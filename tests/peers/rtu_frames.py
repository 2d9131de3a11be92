"""Frames of a serial Modbus line, written by hand from the specification; shares no code with any Modbus library."""

from __future__ import annotations


def crc(data: bytes) -> bytes:
    """The checksum, low byte first (Modbus over serial line V1.02, 6.2.2)."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    frame = bytes([unit]) + pdu
    return frame + crc(frame)
