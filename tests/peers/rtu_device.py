"""A device of a serial Modbus line written by hand: it says exactly what a test tells it to, over any bytes.

`script` gets each request with its unit, and gives the PDU of the answer, or None for silence. `send` may be used to
send anything at any time.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.peers.rtu_frames import crc, rtu_frame
from tests.support.sockets import listening

REQUEST_BYTES = 8


@dataclass(frozen=True)
class UnitRequest:
    unit: int
    function: int
    address: int
    count: int


class RtuDevice:
    def __init__(self, script: Callable[[UnitRequest], bytes | None], send: Callable[[bytes], None]) -> None:
        self.script = script
        self.send = send
        self.requests: list[UnitRequest] = []
        self._bytes = b""

    def take(self, data: bytes) -> None:
        self._bytes += data
        while len(self._bytes) >= REQUEST_BYTES:
            frame, self._bytes = self._bytes[:REQUEST_BYTES], self._bytes[REQUEST_BYTES:]
            assert crc(frame[:-2]) == frame[-2:], f"a request with a wrong checksum: {frame.hex(' ')}"
            request = UnitRequest(*struct.unpack(">BBHH", frame[:-2]))
            self.requests.append(request)
            answer = self.script(request)
            if answer is not None:
                self.send(rtu_frame(request.unit, answer))


class RtuServer(RtuDevice):
    """Behind TCP, as a serial server makes it; `connections_total` as they come, the newest is answered."""

    def __init__(self, script: Callable[[UnitRequest], bytes | None]) -> None:
        super().__init__(script, self._write)
        self.connections_total = 0
        self.port = 0
        self._writer: asyncio.StreamWriter | None = None

    def _write(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)

    def hang_up(self) -> None:
        """Close the newest connection."""
        assert self._writer is not None
        self._writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_total += 1
        self._writer = writer
        try:
            while data := await reader.read(4_096):
                self.take(data)
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def rtu_server(script: Callable[[UnitRequest], bytes | None]):
    device = RtuServer(script)
    async with listening(device.serve) as device.port:
        yield device
