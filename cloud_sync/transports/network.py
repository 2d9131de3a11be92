"""How the HTTP library comes to a connection: the name, TCP, the proxy and TLS, each with time of its own.

Constraints
- Every connection over HTTP is made here and every byte of it passes here, in the clear on the way in and out of the
  library and as it travels between the kernel and TLS.
- What fails says which step it was. A certificate that is not trusted passes as the TLS library's own error: what it
  means depends on who is at the other end.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from functools import partial
from typing import Any

import httpcore

from cloud_sync.transports.attempts import first_made
from cloud_sync.transports.bound_backend import BoundBackend
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.counted_backend import CountedBackend
from cloud_sync.transports.keepalive import SOCKET_OPTIONS
from cloud_sync.transports.local_end import reachable_from
from cloud_sync.transports.proxies.handshake import Handshake, handshake, hung_up
from cloud_sync.transports.proxies.proxy import Proxy
from cloud_sync.transports.sending_progress import watched
from cloud_sync.transports.steps import (
    LOST,
    StepError,
    causes_of,
    no_name_in_time,
    no_tcp_in_time,
    no_tls_in_time,
    why_not_reached,
)
from cloud_sync.transports.tls import trusting

_Option = Any  # the library's: what `socket.setsockopt` takes


class NetworkStream(httpcore.AsyncNetworkStream):
    """One connection, its TLS bounded by a time of its own."""

    def __init__(self, inner: httpcore.AsyncNetworkStream, tls_timeout_s: float) -> None:
        self._inner = inner
        self._tls_timeout_s = tls_timeout_s
        self._socket = inner.get_extra_info("socket")

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with watched(self._socket):
            return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with watched(self._socket):
            await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            secured = await self._inner.start_tls(ssl_context, server_hostname, self._tls_timeout_s)
        except httpcore.ConnectTimeout as exc:
            raise no_tls_in_time(self._tls_timeout_s) from exc
        return NetworkStream(secured, self._tls_timeout_s)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class Network(httpcore.AsyncNetworkBackend):
    """Connects as the options say. `forward` is a proxy the library itself speaks to, in place of every other."""

    def __init__(self, options: ConnectionOptions, scheme: str, *, forward: Proxy | None = None) -> None:
        self._options = options
        self._scheme = scheme
        self._forward = forward
        meter = options.use.meter
        plain = httpcore.AnyIOBackend() if options.end is None else BoundBackend(options.end)
        self._backend = plain if meter is None else CountedBackend(plain, meter)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[_Option] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        if self._forward is not None:
            return await self._to_proxy(self._forward)
        proxy = self._options.proxy.proxy_for(self._scheme, host, port)
        if proxy is None:
            return await self._reach(host, port)
        return await self._through(proxy, host, port)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _through(self, proxy: Proxy, host: str, port: int) -> httpcore.AsyncNetworkStream:
        if not proxy.looks_up_names:
            (host, *_) = await self._look_up(host, port)
        stream = await self._to_proxy(proxy)
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                await _speak(proxy, handshake(proxy, host, port), stream)
        except TimeoutError as exc:
            await stream.aclose()
            raise StepError(
                f"{proxy.in_words} did not answer within {self._options.connect_timeout_s:g} s "
                "(central.connect_timeout_s)",
                hint="does the proxy reach the central? On a slow link raise central.connect_timeout_s",
            ) from exc
        except BaseException:
            await stream.aclose()
            raise
        return stream

    async def _to_proxy(self, proxy: Proxy) -> httpcore.AsyncNetworkStream:
        try:
            stream = await self._reach(proxy.host, proxy.port)
        except StepError as exc:
            raise StepError(f"{proxy.in_words}: {exc}", hint=exc.hint) from exc
        except (OSError, httpcore.ConnectError) as exc:
            raise StepError(
                f"{proxy.in_words}: {why_not_reached(exc)}", hint=f"does the proxy run? Check {proxy.source}"
            ) from exc
        if proxy.scheme != "https":
            return stream
        try:
            context = trusting(None)
            if proxy.ca_file is not None:
                context.load_verify_locations(proxy.ca_file)
            return await stream.start_tls(context, proxy.host)
        except StepError as exc:
            raise StepError(f"{proxy.in_words}: {exc}", hint=exc.hint) from exc
        except (OSError, httpcore.ConnectError) as exc:
            raise _no_tls(proxy, exc) from exc

    async def _reach(self, host: str, port: int) -> httpcore.AsyncNetworkStream:
        """Connect to this very host. Raises StepError when it takes too long, else the system's error."""
        addresses = reachable_from(self._options.end, host, await self._look_up(host, port))
        attempts = [partial(self._connect, address, port) for address in addresses]
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                stream = await first_made(attempts, close=httpcore.AsyncNetworkStream.aclose)
        except TimeoutError as exc:
            raise no_tcp_in_time(host, port, self._options.connect_timeout_s) from exc
        return NetworkStream(stream, self._options.tls_timeout_s)

    async def _connect(self, address: str, port: int) -> httpcore.AsyncNetworkStream:
        return await self._backend.connect_tcp(address, port, socket_options=SOCKET_OPTIONS)

    async def _look_up(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host in the resolver's order, each once."""
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(host)
            return [host]
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as exc:
            raise no_name_in_time(host, self._options.connect_timeout_s) from exc
        except OSError as exc:  # as the library says it of a name it looks up itself
            raise httpcore.ConnectError(str(exc)) from exc
        return list(dict.fromkeys(str(one[4][0]) for one in found))


async def _speak(proxy: Proxy, exchange: Handshake, stream: httpcore.AsyncNetworkStream) -> None:
    given = b""
    try:
        while True:
            wanted = exchange.send(given) if given else next(exchange)
            given = b""
            if isinstance(wanted, bytes):
                await stream.write(wanted)
                continue
            while len(given) < wanted:
                more = await stream.read(wanted - len(given))
                if not more:
                    raise hung_up(proxy)
                given += more
    except StopIteration:
        return
    except LOST as exc:
        raise hung_up(proxy) from exc


def _no_tls(proxy: Proxy, exc: BaseException) -> StepError:
    for cause in causes_of(exc):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return StepError(
                f"{proxy.in_words}: its certificate is not trusted: {cause.verify_message}",
                hint="name the CA that signed it in central.proxy.ca_file",
            )
        if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and cause.filename is not None:
            return StepError(f"central.proxy.ca_file: {cause.filename}: {cause.strerror}", hint="it must be a PEM file")
    return StepError(
        f"{proxy.in_words}: no TLS there", hint="does it speak plain HTTP? Then its URL begins with http://"
    )
