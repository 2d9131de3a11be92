"""The same steps as `network`, for a thread that may wait: how paho comes to its socket.

A proxy that is itself spoken to over TLS (https://) is for HTTPS alone: the library wraps a plain socket.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
from typing import Any

from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.keepalive import set_keepalive
from cloud_sync.transports.local_end import reachable_from
from cloud_sync.transports.proxies.handshake import Handshake, handshake, hung_up
from cloud_sync.transports.proxies.proxy import Proxy
from cloud_sync.transports.steps import StepError, no_name_in_time, no_tcp_in_time, why_not_reached


def open_socket(options: ConnectionOptions, scheme: str, host: str, port: int) -> socket.socket:
    """Return a connected socket, through a proxy when there is one. Raises StepError, or the system's OSError."""
    proxy = options.proxy.proxy_for(scheme, host, port)
    if proxy is None:
        return _reach(options, host, port)
    if proxy.scheme == "https":
        raise StepError(
            f"{proxy.in_words} is spoken to over TLS, which a connection to a broker cannot be",
            hint="name one that begins with http://, socks5:// or socks5h://, or the broker in no_proxy",
        )
    return _through(options, proxy, host, port)


def _through(options: ConnectionOptions, proxy: Proxy, host: str, port: int) -> socket.socket:
    within_s = options.connect_timeout_s
    if not proxy.looks_up_names:
        host = _look_up(host, port, within_s)[0]
    try:
        sock = _reach(options, proxy.host, proxy.port)
    except StepError as exc:
        raise StepError(f"{proxy.in_words}: {exc}", hint=exc.hint) from exc
    except OSError as exc:
        raise StepError(
            f"{proxy.in_words}: {why_not_reached(exc)}", hint=f"does the proxy run? Check {proxy.source}"
        ) from exc
    try:
        _speak(proxy, handshake(proxy, host, port), sock)
    except TimeoutError as exc:
        sock.close()
        raise StepError(
            f"{proxy.in_words} did not answer within {within_s:g} s (central.connect_timeout_s)",
            hint="does the proxy reach the broker? On a slow link raise central.connect_timeout_s",
        ) from exc
    except BaseException:
        sock.close()
        raise
    return sock


def _reach(options: ConnectionOptions, host: str, port: int) -> socket.socket:
    """Connect to the first address that answers."""
    within_s = options.connect_timeout_s
    addresses = reachable_from(options.end, host, _look_up(host, port, within_s))
    failures: list[OSError] = []
    for address in addresses:
        try:
            return _connected(options, address, port)
        except TimeoutError:
            failures.append(TimeoutError())
        except OSError as exc:
            failures.append(exc)
    if isinstance(failures[0], TimeoutError):
        raise no_tcp_in_time(host, port, within_s)
    try:
        raise failures[0]
    finally:
        failures.clear()  # each of them holds this frame, and would keep paho's client and its sockets with it


def _connected(options: ConnectionOptions, address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if options.end is not None:
            options.end.bind(sock)
        sock.settimeout(options.connect_timeout_s)
        sock.connect((address, port))
        set_keepalive(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _look_up(host: str, port: int, within_s: float) -> list[str]:
    """Return the addresses of a host. The resolver cannot be cancelled: it is left to its own time-outs in a thread."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return [host]
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as exc:
            found.append(exc)

    thread = threading.Thread(target=run, name="name look-up", daemon=True)
    thread.start()
    thread.join(within_s)
    if not found:
        raise no_name_in_time(host, within_s)
    if isinstance(found[0], OSError):
        raise found[0]
    return list(dict.fromkeys(str(one[4][0]) for one in found[0]))


def _speak(proxy: Proxy, exchange: Handshake, sock: socket.socket) -> None:
    given = b""
    try:
        while True:
            wanted = exchange.send(given) if given else next(exchange)
            given = b""
            if isinstance(wanted, bytes):
                sock.sendall(wanted)
                continue
            while len(given) < wanted:
                more = sock.recv(wanted - len(given))
                if not more:
                    raise hung_up(proxy)
                given += more
    except StopIteration:
        return
    except ConnectionError as exc:
        raise hung_up(proxy) from exc
