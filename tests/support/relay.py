"""A TCP relay that loses answers on purpose, between a real client and a real server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

from tests.support.sockets import listening


class Relay:
    """Passes bytes both ways until told otherwise."""

    def __init__(self, upstream: str) -> None:
        self._host, self._port = urlsplit(upstream).hostname, urlsplit(upstream).port
        self.drop_next_answer = False
        self.silent = False
        self._says: Callable[[bytes], bytes] | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.heard = asyncio.Event()
        self.url = ""

    def is_answer(self, chunk: bytes) -> bool:
        """Whether this is what `drop_next_answer` means."""
        return bool(chunk)

    def answer_instead(self, says: Callable[[bytes], bytes] | None) -> None:
        """From now on somebody answers each request in place of what stands behind; None: nobody does any more."""
        self._says = says
        for writer in self._open:
            writer.close()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._says is not None:
            writer.write(self._says(await reader.read(65_536)))
            await writer.drain()
            return
        self._open.add(writer)
        try:
            await self._relay(reader, writer)
        finally:
            self._open.discard(writer)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(self._host, self._port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, up_writer))
                group.create_task(self._answer(up_reader, writer))
        finally:
            up_writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                self.heard.set()
                if not self.silent:
                    writer.write(chunk)
                    await writer.drain()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                if self.drop_next_answer and self.is_answer(chunk):
                    self.drop_next_answer = False
                    break
                writer.write(chunk)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def relaying(upstream: str) -> AsyncIterator[Relay]:
    relay = Relay(upstream)
    async with listening(relay.handle) as port:
        relay.url = f"http://127.0.0.1:{port}"
        yield relay


def page(status: int) -> bytes:
    """An answer of a proxy or portal: a status and a page of its own."""
    body = b"<html>somebody between</html>"
    head = f"HTTP/1.1 {status} said\r\nServer: portal/1.0\r\nContent-Type: text/html\r\nConnection: close\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
