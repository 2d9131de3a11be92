"""Connections of the HTTP library whose bytes are counted: a network backend around another one.

What is written to and read from a stream is counted above TLS; the meter asks the kernel for what is below.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

from cloud_sync.transports.link_meter import LinkMeter, WatchedConnection


class CountedStream(httpcore.AsyncNetworkStream):
    """One connection; TLS inside it is counted as the same one."""

    def __init__(self, inner: httpcore.AsyncNetworkStream, watched: WatchedConnection) -> None:
        self._inner = inner
        self._watched = watched

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._inner.read(max_bytes, timeout)
        self._watched.note(received=len(data))
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)
        self._watched.note(sent=len(buffer))

    async def aclose(self) -> None:
        self._watched.look()
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        with self._watched.securing():  # a handshake that fails has cost its bytes as well
            inner = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        return CountedStream(inner, self._watched)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class CountedBackend(httpcore.AsyncNetworkBackend):
    """Connects as `inner` does, and counts."""

    def __init__(self, inner: httpcore.AsyncNetworkBackend, meter: LinkMeter) -> None:
        self._inner = inner
        self._meter = meter

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return CountedStream(stream, self._meter.watch(stream.get_extra_info("socket")))

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)
