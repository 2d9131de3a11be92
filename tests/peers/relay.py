"""A TCP relay between a driver and a device: it records what the driver sends, and can go mute, lie or vanish."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Callable

_RANDOM = random.Random(12)


class Relay:
    """Listens on 127.0.0.1 and forwards to a port there. After `vanish`, `start` listens on the same port again."""

    def __init__(self, target_port: int, tls: ssl.SSLContext | None = None) -> None:
        self._target_port = target_port
        self._tls = tls  # of its own side; the device is asked without
        self.port = 0
        self.sent_by_client = bytearray()
        self.swallowed = asyncio.Event()
        self.delay_s = 0.0  # before each part of what the device says
        self._is_mute = False
        self._distort: Callable[[bytes], bytes] | None = None
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}

    async def start(self) -> None:
        self._is_mute = False
        self._distort = None
        self.swallowed.clear()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    def mute(self) -> None:
        """Keep every connection open, and accept new ones, but deliver nothing more."""
        self._is_mute = True

    def garble(self) -> None:
        """Put as many random bytes in place of whatever the device says from now on."""
        self._distort = lambda chunk: _RANDOM.randbytes(len(chunk))

    def halve(self) -> None:
        """Deliver the first half of whatever the device says at once from now on, and never the rest."""
        self._distort = lambda chunk: chunk[: len(chunk) // 2]

    async def vanish(self) -> None:
        """Cut every connection and stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task, writers in list(self._links.items()):
            for writer in writers:
                writer.transport.abort()
            task.cancel()
        if self._links:
            await asyncio.wait(list(self._links))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links[task] = (writer,)
        try:
            device_reader, device_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._links[task] = (writer, device_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._from_client(reader, device_writer))
                group.create_task(self._from_device(device_reader, writer))
        except* OSError:
            pass
        finally:
            for each in self._links.pop(task):
                each.transport.abort()

    async def _from_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65_536):
            self.sent_by_client += chunk
            if self._is_mute:
                self.swallowed.set()
            else:
                writer.write(chunk)
        raise ConnectionError("the client hung up")

    async def _from_device(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65_536):
            await asyncio.sleep(self.delay_s)
            if not self._is_mute:
                writer.write(chunk if self._distort is None else self._distort(chunk))
        raise ConnectionError("the device hung up")


@contextlib.asynccontextmanager
async def relay_to(target_port: int, tls: ssl.SSLContext | None = None):
    relay = Relay(target_port, tls)
    await relay.start()
    try:
        yield relay
    finally:
        await relay.vanish()
