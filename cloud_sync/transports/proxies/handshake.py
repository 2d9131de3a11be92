"""What is said to a proxy before it lets bytes through: CONNECT (RFC 9110, 9.3.6) and SOCKS 5 (RFC 1928, RFC 1929).

Each is a generator that knows no socket: it yields bytes to be sent, or the number of bytes it wants next, and is given
them. So one text serves asyncio and paho's thread. It takes nothing of what comes after the proxy's own answer.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Generator
from typing import Final

from cloud_sync.host.printable import printable
from cloud_sync.transports.proxies.proxy import Proxy
from cloud_sync.transports.steps import StepError

Handshake = Generator[bytes | int, bytes, None]

_MOST_NAME_BYTES: Final = 253
_MOST_HEAD_BYTES: Final = 16_384
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: |\r|\n)")
_OTHER_KIND: Final = "is it the right port, and the right kind (http, https, socks5) in its URL?"
_ITS_PEOPLE: Final = "whoever runs the proxy must allow it"

_SOCKS_REPLIES: Final = {
    1: ("it failed", "its log says why"),
    2: ("its rules do not allow it", _ITS_PEOPLE),
    3: ("it has no route to that network", "does the central run where the proxy can reach it?"),
    4: ("it does not reach that host", "does the central run? Check host and port; does the proxy know the name?"),
    5: ("nobody listens there: connection refused", "does the central run? Check host and port"),
    6: ("it does not reach that host in time", "does the central run? Check host and port"),
    7: ("it does not take CONNECT", _ITS_PEOPLE),
    8: ("it does not take this kind of address", "use socks5h:// for names, or an address it knows"),
}
_NO_SIGN_IN: Final = 0
_WITH_PASSWORD: Final = 2
_NONE_OF_THEM: Final = 0xFF
_IPV4: Final = 1
_NAME: Final = 3
_IPV6: Final = 4


def handshake(proxy: Proxy, host: str, port: int) -> Handshake:
    """Return the exchange that asks this proxy for a connection to host and port."""
    host = _plain(host)
    return _socks(proxy, host, port) if proxy.is_socks else _connect(proxy, host, port)


def _plain(host: str) -> str:
    """Return the name as it travels. Raises StepError for what is no name."""
    try:
        plain = host.encode("idna").decode("ascii")
    except UnicodeError as exc:
        raise StepError(f"{host!r} is not the name of a host: {exc}", hint="check the host") from exc
    if len(plain) > _MOST_NAME_BYTES:
        raise StepError(f"the name of the host is longer than {_MOST_NAME_BYTES} bytes", hint="check the host")
    return plain


def _connect(proxy: Proxy, host: str, port: int) -> Handshake:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if (basic := proxy.basic()) is not None:
        lines.append(f"Proxy-Authorization: {basic}")
    yield ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
    head = bytearray()
    while not head.endswith((b"\r\n\r\n", b"\n\n")):
        head += yield 1
        if len(head) > _MOST_HEAD_BYTES or (len(head) == 5 and head != b"HTTP/"):
            raise _not_its_kind(proxy, "an HTTP proxy")
    if (found := _STATUS.match(head)) is None:
        raise _not_its_kind(proxy, "an HTTP proxy")
    if not found[1].startswith(b"2"):
        raise refused_by_http(proxy, int(found[1]), target, offered=_offered(bytes(head)))


def _offered(head: bytes) -> list[str]:
    """Return the methods of signing in that the proxy names."""
    found = re.findall(rb"^proxy-authenticate:[ \t]*([!-~]+)", head, re.IGNORECASE | re.MULTILINE)
    return [printable(one.decode("ascii"), limit=20) for one in found]


def refused_by_http(proxy: Proxy, status: int, target: str, *, offered: list[str]) -> StepError:
    """Return what an answer but 200 of an HTTP proxy means. `offered`: the methods of signing in that it names."""
    said = f"{proxy.in_words} answers {status}"
    if status in (401, 407):  # tinyproxy says 401 to a wrong password
        if offered and "basic" not in {one.lower() for one in offered}:
            return StepError(
                f"{said}: it wants {' or '.join(offered)} to sign in, which is not spoken here",
                hint="it must take Basic for this gateway, or let it through without",
            )
        if proxy.username is None:
            return StepError(f"{said}: it wants a user name and password", hint=proxy.sign_in_hint)
        return StepError(f"{said}: it does not take this user name and password", hint=proxy.sign_in_hint)
    if status in (403, 451):
        return StepError(f"{said}: it does not allow a connection to {target}", hint=_ITS_PEOPLE)
    if status in (404, 405, 501):
        return StepError(f"{said}: it does not take CONNECT", hint="is it a proxy, and not the central itself?")
    if status >= 500:
        return StepError(
            f"{said}: it does not reach {target}",
            hint="does the central run? Check central.url; does the proxy know the name?",
        )
    return StepError(f"{said} when asked for a connection to {target}", hint=_ITS_PEOPLE)


def _socks(proxy: Proxy, host: str, port: int) -> Handshake:
    methods = bytes([_NO_SIGN_IN] if proxy.username is None else [_NO_SIGN_IN, _WITH_PASSWORD])
    yield bytes([5, len(methods)]) + methods
    version, method = yield 2
    if version != 5:
        raise _not_its_kind(proxy, "a SOCKS 5 proxy")
    if method == _NONE_OF_THEM:
        wants = "a user name and password" if proxy.username is None else "another way to sign in than a password"
        raise StepError(f"{proxy.in_words} wants {wants}", hint=proxy.sign_in_hint)
    if method == _WITH_PASSWORD and proxy.username is not None:
        yield from _sign_in(proxy, proxy.username)
    elif method != _NO_SIGN_IN:
        raise _not_its_kind(proxy, "a SOCKS 5 proxy")
    yield b"\x05\x01\x00" + _socks_address(host) + port.to_bytes(2, "big")
    version, reply, _, kind = yield 4
    if version != 5:
        raise _not_its_kind(proxy, "a SOCKS 5 proxy")
    if reply != 0:
        why, hint = _SOCKS_REPLIES.get(reply, (f"it says {reply}", None))
        raise StepError(f"{proxy.in_words} makes no connection to {host}:{port}: {why}", hint=hint)
    length = {_IPV4: 4, _IPV6: 16}.get(kind)
    if length is None:
        (length,) = yield 1
    yield length + 2  # the address it connects from, which nobody needs


def _sign_in(proxy: Proxy, username: str) -> Handshake:
    name, password = username.encode(), (proxy.password or "").encode()
    yield bytes([1, len(name)]) + name + bytes([len(password)]) + password
    _, status = yield 2
    if status != 0:
        raise StepError(f"{proxy.in_words} does not take this user name and password", hint=proxy.sign_in_hint)


def _socks_address(host: str) -> bytes:
    try:
        packed = ipaddress.ip_address(host).packed
    except ValueError:
        name = host.encode("ascii")
        return bytes([_NAME, len(name)]) + name
    return bytes([_IPV4 if len(packed) == 4 else _IPV6]) + packed


def _not_its_kind(proxy: Proxy, kind: str) -> StepError:
    return StepError(f"{proxy.in_words} does not answer as {kind}", hint=_OTHER_KIND)


def hung_up(proxy: Proxy) -> StepError:
    """Return the error of a proxy that ended the connection in the middle of its own answer."""
    return StepError(
        f"{proxy.in_words} hung up before it made a connection",
        hint=_OTHER_KIND,
    )
