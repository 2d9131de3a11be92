"""Connections of the HTTP library that leave this box by one of its links.

The library's own backend binds to an address at most, and only its socket options would name an interface, which it
sets after the connection is made; here the socket is bound first.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import ssl
from collections.abc import Iterable, Iterator
from typing import Any, Final

import anyio
import httpcore
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.tls import TLSAttribute, TLSStream

from cloud_sync.transports.local_end import LocalEnd

_LOST: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, ssl.SSLError)
_KNOWN: Final = {
    "ssl_object": TLSAttribute.ssl_object,
    "client_addr": SocketAttribute.local_address,
    "server_addr": SocketAttribute.remote_address,
    "socket": SocketAttribute.raw_socket,
}


class BoundStream(httpcore.AsyncNetworkStream):
    """One connection over a socket that was made elsewhere."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _as_library(httpcore.ReadTimeout, httpcore.ReadError), anyio.fail_after(timeout):
            try:
                return await self._stream.receive(max_bytes)
            except anyio.EndOfStream:
                return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if buffer:
            with _as_library(httpcore.WriteTimeout, httpcore.WriteError), anyio.fail_after(timeout):
                await self._stream.send(buffer)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._stream.aclose)
            with _as_library(httpcore.ConnectTimeout, httpcore.ConnectError), anyio.fail_after(timeout):
                secured = await TLSStream.wrap(
                    self._stream, hostname=server_hostname, ssl_context=ssl_context, standard_compatible=False
                )
            stack.pop_all()
        return BoundStream(secured)

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return _is_readable(self._known(SocketAttribute.raw_socket))
        return self._known(_KNOWN[info]) if info in _KNOWN else None

    def _known(self, attribute: Any) -> Any:
        return self._stream.extra(attribute, None)  # noqa: S610 (no Django here)


class BoundBackend(httpcore.AsyncNetworkBackend):
    """Connects from `end`."""

    def __init__(self, end: LocalEnd) -> None:
        self._end = end

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to an IP address. Raises StepError when this box does not have the link now."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            self._end.bind(sock)
            for option in (*(socket_options or ()), (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)):
                sock.setsockopt(*option)
            with _as_library(httpcore.ConnectTimeout, httpcore.ConnectError), anyio.fail_after(timeout):
                await asyncio.get_running_loop().sock_connect(sock, (host, port))
            return BoundStream(await SocketStream.from_socket(sock))
        except BaseException:
            sock.close()
            raise

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


@contextlib.contextmanager
def _as_library(late: type[Exception], lost: type[Exception]) -> Iterator[None]:
    """Let out the HTTP library's own errors, as its own backends do."""
    try:
        yield
    except TimeoutError as exc:
        raise late(str(exc)) from exc
    except (*_LOST, OSError) as exc:
        raise lost(str(exc)) from exc


def _is_readable(sock: socket.socket | None) -> bool:
    """Whether a connection that should be idle has something to read, which is mostly its end."""
    if sock is None or sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
