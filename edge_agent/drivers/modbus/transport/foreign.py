"""What bytes are that are no Modbus answer, in words, with what to do. For messages alone; decides nothing."""

from __future__ import annotations

from typing import Final

from edge_agent.drivers.modbus.transport.crc import frame_at_start
from edge_agent.drivers.modbus.transport.request import Misfit

_SHOWN: Final = 12
_NO_MODBUS_HINT: Final = "is this the device's Modbus port?"
_TLS_RECORDS: Final = (b"\x15\x03", b"\x16\x03")


def no_header(data: bytes) -> Misfit:
    """Return what `data` looks like, where a Modbus TCP header belongs."""
    if frame_at_start(data):
        return Misfit("a serial (RTU) frame came, without a Modbus TCP header", 'set transport = "rtu_over_tcp"')
    if len(data) > 6 and int.from_bytes(data[4:6], "big") == len(data) - 6:
        return Misfit(f"the answer has protocol id {int.from_bytes(data[2:4], 'big')}, expected 0", _NO_MODBUS_HINT)
    return _misfit(data, "a Modbus TCP header", _NO_MODBUS_HINT)


def no_serial_frame(data: bytes) -> Misfit:
    """Return what `data` looks like, where a frame with a good checksum belongs."""
    if len(data) >= 8 and data[2:4] == b"\x00\x00" and int.from_bytes(data[4:6], "big") == len(data) - 6:
        return Misfit("a Modbus TCP frame came, without a checksum", 'set transport = "tcp"')
    hint = "check baud_rate, parity and stop_bits, the wiring and its termination; two devices may have one unit id"
    return _misfit(data, "a serial (RTU) frame with a good checksum", hint)


def _misfit(data: bytes, expected: str, hint: str | None = None) -> Misfit:
    if data.startswith(b"HTTP/"):
        return Misfit("an HTTP answer came: a web server listens there", "Modbus TCP is usually on port 502")
    if data[:2] in _TLS_RECORDS:
        return Misfit(f"a TLS record came, expected {expected}", 'set transport = "tls"')
    more = f" ... ({len(data)} bytes)" if len(data) > _SHOWN else ""
    return Misfit(f"{data[:_SHOWN].hex(' ')}{more} came, expected {expected}", hint)
