"""A TCP relay that counts what it carries, and can hang up on everybody."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.support.sockets import listening


class CountingRelay:
    """`up` and `down` are bytes of TCP payload since `forget`, TLS included; `connections` were opened."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._writers: set[asyncio.StreamWriter] = set()
        self.up = self.down = self.connections = 0
        self.port = 0

    @property
    def carried(self) -> int:
        return self.up + self.down

    def forget(self) -> None:
        self.up = self.down = self.connections = 0

    def hang_up(self) -> None:
        """As a router that forgets, or a server that closes what is idle."""
        for writer in self._writers:
            writer.close()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._target)
        both = {writer, up_writer}
        self.connections += 1
        self._writers |= both
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, up_writer, "up"))
                group.create_task(self._carry(up_reader, writer, "down"))
        finally:
            self._writers -= both
            for one in both:
                one.close()
            with contextlib.suppress(OSError):
                await up_writer.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                setattr(self, way, getattr(self, way) + len(chunk))
                writer.write(chunk)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def counting_relay(host: str, port: int) -> AsyncIterator[CountingRelay]:
    relay = CountingRelay(host, port)
    async with listening(relay.handle) as relay.port:
        yield relay
