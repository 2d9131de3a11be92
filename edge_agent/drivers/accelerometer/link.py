"""Where frames come from: a TCP connection to the sensor, or UDP datagrams it sends to us.

Constraints
- TCP: bytes that are no frame end the connection, since nobody knows where the next frame begins.
- UDP: a datagram that is no frame is counted and passed over, since the next one stands for itself; so is one
  from another sender than the first. When nothing else comes, silence ends the link and names the last reason.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol

from edge_agent.drivers.accelerometer.protocol import HEADER_BYTES, Frame, FrameError, decode, decode_header
from edge_agent.errors import TransientDriverError

_CONNECT_TIMEOUT_S: Final = 5.0
_CLOSE_TIMEOUT_S: Final = 0.5
_DATAGRAMS: Final = 1024  # held for a busy event loop; the kernel holds more before that

Address = tuple[str, int]


class FrameLink(Protocol):
    """`open` and `receive` raise TransientDriverError; `close` never raises."""

    async def open(self) -> None:
        """Connect, or bind. Raise TransientDriverError."""

    async def receive(self) -> Frame:
        """Return the next whole frame. Raise TransientDriverError after silence, or when the link ends."""

    async def close(self) -> None:
        """Close the link, within a bound."""

    def counts(self) -> Mapping[str, int]:
        """Return what was dropped here, by the names of docs/CLI_OUTPUT.md."""


class TcpLink:
    """A client: the sensor listens. No frame for `silent_after_s` is a loss."""

    def __init__(self, where: str, *, host: str, port: int, silent_after_s: float) -> None:
        self._where = where
        self._address = host, port
        self._silent_after_s = silent_after_s
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                self._reader, self._writer = await asyncio.open_connection(*self._address)
        except TimeoutError as exc:
            raise TransientDriverError(
                f"{self._where} does not answer within {_CONNECT_TIMEOUT_S:g} s",
                hint="is it switched on and in this network?",
            ) from exc
        except OSError as exc:
            raise TransientDriverError(
                f"{self._where}: {_why_not(exc)}", hint="check host, port and that it is switched on"
            ) from exc

    async def receive(self) -> Frame:
        if self._reader is None:
            raise TransientDriverError(f"{self._where} is not open")
        try:
            async with asyncio.timeout(self._silent_after_s):
                head = await self._reader.readexactly(HEADER_BYTES)
                header = decode_header(head)
                return decode(head + await self._reader.readexactly(header.frame_bytes - HEADER_BYTES))
        except TimeoutError as exc:
            raise _silent(self._where, self._silent_after_s, "") from exc
        except FrameError as exc:
            raise TransientDriverError(
                f"{self._where} sends something else than frames: {exc}", hint="is this the right port?"
            ) from exc
        except asyncio.IncompleteReadError as exc:
            raise TransientDriverError(f"{self._where} closed the connection", hint="it may be restarting") from exc
        except OSError as exc:
            raise TransientDriverError(f"{self._where}: the connection broke: {exc}") from exc

    async def close(self) -> None:
        writer, self._reader, self._writer = self._writer, None, None
        if writer is None:
            return
        writer.close()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await writer.wait_closed()
        except (OSError, TimeoutError):  # it is gone either way
            writer.transport.abort()

    def counts(self) -> Mapping[str, int]:
        return {}


class UdpLink(asyncio.DatagramProtocol):
    """A listener: the sensor sends to us."""

    def __init__(self, where: str, *, host: str, port: int, silent_after_s: float) -> None:
        self._where = where
        self._address = host, port
        self._silent_after_s = silent_after_s
        self._transport: asyncio.DatagramTransport | None = None
        self._frames: deque[Frame] = deque()
        self._arrived = asyncio.Event()
        self._sender: Address | None = None
        self._refusal = ""
        self.refused_total = 0
        self.dropped_total = 0

    async def open(self) -> None:
        await self.close()
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=self._address)
        except OSError as exc:
            raise TransientDriverError(
                f"{self._where}: cannot listen: {exc}", hint="is another program using the port, is the address ours?"
            ) from exc

    async def receive(self) -> Frame:
        if self._transport is None:
            raise TransientDriverError(f"{self._where} is not open")
        try:
            async with asyncio.timeout(self._silent_after_s):
                while not self._frames:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError as exc:
            raise _silent(self._where, self._silent_after_s, self._refusal) from exc
        return self._frames.popleft()

    async def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
        self._frames.clear()
        self._sender, self._refusal = None, ""

    def counts(self) -> Mapping[str, int]:
        return {"refused_datagrams_total": self.refused_total, "dropped_frames_total": self.dropped_total}

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Take a datagram: asyncio calls this."""
        if self._sender not in (None, addr):
            self._refuse(f"{addr[0]} sends here too")
            return
        try:
            frame = decode(data)
        except FrameError as exc:
            self._refuse(f"{addr[0]} sent {len(data)} bytes that are no frame: {exc}")
            return
        self._sender = addr
        if len(self._frames) >= _DATAGRAMS:  # the sequence numbers will show what is missing
            self._frames.popleft()
            self.dropped_total += 1
        self._frames.append(frame)
        self._arrived.set()

    def _refuse(self, reason: str) -> None:
        self.refused_total += 1
        self._refusal = reason


def _silent(where: str, silent_after_s: float, refusal: str) -> TransientDriverError:
    but = f"; but {refusal}" if refusal else ""
    return TransientDriverError(
        f"{where} has been silent for {silent_after_s:g} s{but}", hint="is the sensor switched on and sending here?"
    )


def _why_not(exc: OSError) -> str:
    """Return why nothing was connected; asyncio's own words hold numbers and tuples."""
    if isinstance(exc, ConnectionRefusedError):
        return "nobody listens there: connection refused"
    if isinstance(exc, socket.gaierror):
        return f"its name cannot be looked up: {exc.strerror}"
    return os.strerror(exc.errno).lower() if exc.errno else str(exc)
