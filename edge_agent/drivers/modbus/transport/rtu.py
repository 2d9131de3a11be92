"""Frames of a serial line, direct or through a serial server: unit, function, data, checksum, and no transaction id.

Constraints
- Nothing in a frame tells the answer to this request from a late one to the request before. After a request that was
  given up its unit is therefore not asked again before the late answer has come, or can come no more; the other units
  are, since an answer says its unit.
- What comes while nothing is asked for is thrown away.
- A frame with a wrong checksum does not exist; nor do bytes of noise before a frame.
"""

from __future__ import annotations

import asyncio
from typing import Final

from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU

from edge_agent.drivers.modbus.transport.crc import SHORTEST_FRAME, frame_at_start
from edge_agent.drivers.modbus.transport.foreign import no_serial_frame
from edge_agent.drivers.modbus.transport.framing import LONGEST_FRAME
from edge_agent.drivers.modbus.transport.request import EXCEPTION_BIT, Misfit, ReadRequest

_NOISE: Final = 16
"""So many bytes before a frame may be noise, as drivers of a line make when it turns round."""


class RtuFraming:
    """Frames of one serial line. Outlives its connections: a late answer may come over the next one, too."""

    def __init__(self) -> None:
        self._passed_over: Misfit | None = None
        self._framer = FramerRTU(DecodePDU(False))
        self._request: ReadRequest | None = None
        self._echo = b""
        self._given_up: dict[int, float] = {}  # unit to the time until which its late answer may come

    def start(self, request: ReadRequest) -> bytes:
        self._passed_over = None
        self._request = request
        self._echo = self._framer.buildFrame(request.message())
        return self._echo

    def take(self, buffer: bytearray) -> bytes | None:
        self._pass_over_echo(buffer)
        while frame := self._whole_frame(buffer):
            if self._is_of_request(frame):
                return frame[1:-2]
            self._settle(frame)
            self._passed_over = Misfit(f"an answer of unit {frame[0]}, function {frame[1] & ~EXCEPTION_BIT} came")
        if len(buffer) > LONGEST_FRAME + _NOISE:
            raise no_serial_frame(bytes(buffer))
        return None

    def what_came(self, buffer: bytearray) -> Misfit | None:
        return no_serial_frame(bytes(buffer)) if buffer else self._passed_over

    def unanswered(self, until_s: float) -> None:
        if self._request is not None:
            self._given_up[self._request.unit] = until_s

    def unasked(self, buffer: bytearray) -> None:
        while frame := frame_at_start(buffer):
            del buffer[: len(frame)]
            self._settle(frame)

    def must_wait_until_s(self, unit: int) -> float | None:
        until_s = self._given_up.get(unit)
        if until_s is not None and until_s <= asyncio.get_running_loop().time():
            del self._given_up[unit]
            return None
        return until_s

    def _settle(self, frame: bytes) -> None:
        """The late answer of this unit has come: it may be asked again."""
        self._given_up.pop(frame[0], None)

    def _pass_over_echo(self, buffer: bytearray) -> None:
        """Remove the request itself, which some adapters send back."""
        if self._echo and buffer.startswith(self._echo):
            del buffer[: len(self._echo)]
            self._echo = b""

    def _whole_frame(self, buffer: bytearray) -> bytes:
        """Take the frame at the start, or the request's own answer behind a few bytes of noise; empty when none is."""
        if frame := frame_at_start(buffer):
            del buffer[: len(frame)]
            return frame
        for offset in range(1, min(_NOISE, len(buffer) - SHORTEST_FRAME) + 1):
            frame = frame_at_start(buffer[offset:])
            if frame and self._is_of_request(frame):
                del buffer[: offset + len(frame)]
                return frame
        return b""

    def _is_of_request(self, frame: bytes) -> bool:
        request = self._request
        if request is None or frame[0] != request.unit:
            return False
        return frame[1] & ~EXCEPTION_BIT == request.function
