"""The HTTP library's connections, made over a network of ours."""

from __future__ import annotations

import ssl
from typing import Final

import httpcore
import httpx

from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.network import Network
from cloud_sync.transports.proxies.proxy import Proxy

_PLAIN_PORT: Final = 80


class _PoolTransport(httpx.AsyncHTTPTransport):
    """The library's own transport with a pool of ours; its constructor has no place for a network."""

    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        self._pool = pool


def transport_of(
    url: httpx.URL, connection: ConnectionOptions, verify: ssl.SSLContext, limits: httpx.Limits
) -> httpx.AsyncHTTPTransport:
    """Return what a client sends its requests through. Raises StepError for a proxy variable that cannot be used.

    Through an HTTP proxy http:// is asked for by its whole URL (RFC 9112, 3.2.2), as its rules expect; all else goes
    through a tunnel, which the network makes.
    """
    forward = forward_of(url, connection)
    network = Network(connection, url.scheme, forward=forward)
    kept = limits.max_connections if limits.max_connections is not None else limits.max_keepalive_connections
    if forward is None:
        return _PoolTransport(
            httpcore.AsyncConnectionPool(
                ssl_context=verify,
                max_connections=limits.max_connections,
                max_keepalive_connections=kept,
                keepalive_expiry=limits.keepalive_expiry,
                network_backend=network,
            )
        )
    basic = forward.basic()
    return _PoolTransport(
        httpcore.AsyncHTTPProxy(
            proxy_url=httpcore.URL(scheme="http", host=forward.host, port=forward.port, target="/"),
            proxy_headers=None if basic is None else {"Proxy-Authorization": basic},
            max_connections=limits.max_connections,
            max_keepalive_connections=kept,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=network,
        )
    )


def forward_of(url: httpx.URL, connection: ConnectionOptions) -> Proxy | None:
    """Return the proxy that is asked for whole URLs, if there is one."""
    if url.scheme != "http":
        return None
    proxy = connection.proxy.proxy_for(url.scheme, url.host, url.port or _PLAIN_PORT)
    return proxy if proxy is not None and proxy.scheme == "http" else None
