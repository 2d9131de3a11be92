"""A WebSocket front before a plain broker, as a cloud's load balancer is one, written from RFC 6455.

It shares no code with the client. `pieces` is how many bytes of payload each of its frames has at most.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.support.sockets import listening

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10


@dataclass
class WebSocketFront:
    """Relays to `broker_port`; `greeting` is answered in place of the upgrade when there is one."""

    broker_port: int
    path: str = "/mqtt"
    pieces: int = 65_536
    greeting: bytes | None = None
    requests: list[str] = field(default_factory=list)
    pongs: int = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(request)
        if self.greeting is not None or not request.startswith(f"GET {self.path} HTTP/1.1\r\n"):
            writer.write(b"HTTP/1.1 404 Not Found\r\n\r\n" if self.greeting is None else self.greeting)
            await writer.drain()
            return
        writer.write(accepting(request))
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.broker_port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._inwards(reader, writer, upstream_writer))
                group.create_task(self._outwards(upstream_reader, writer))
        finally:
            upstream_writer.close()

    async def _inwards(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                kind, payload = await read_frame(reader)
                self.pongs += kind == PONG
                if kind == CLOSE:
                    break
                if kind == BINARY:
                    upstream.write(payload)
                    await upstream.drain()
        upstream.close()

    async def _outwards(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(frame(PING, b"are you there"))
            while data := await upstream.read(65_536):
                for at in range(0, len(data), self.pieces):
                    writer.write(frame(BINARY, data[at : at + self.pieces]))
                await writer.drain()
            writer.write(frame(CLOSE, (1001).to_bytes(2) + b"the broker is gone"))
            await writer.drain()
        writer.close()


def accepting(request: str) -> bytes:
    key = request.partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0].encode()
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 (RFC 6455)
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return head + b"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Kind and payload of one frame, which a client must mask."""
    first, second = await reader.readexactly(2)
    assert second & 0x80, "a client masks its frames"
    length = second & 0x7F
    if length >= 126:
        length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8))
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(length)
    return first & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def frame(kind: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes([0x80 | kind, length]) + payload
    if length < 65_536:
        return bytes([0x80 | kind, 126]) + length.to_bytes(2) + payload
    return bytes([0x80 | kind, 127]) + length.to_bytes(8) + payload


@contextlib.asynccontextmanager
async def websocket_front(front: WebSocketFront, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Hands out its port."""
    async with listening(front.handle, tls=tls) as port:
        yield port
