"""Which hosts are reached without the proxy: the list that NO_PROXY and `central.proxy.no_proxy` hold.

An entry is `*`, a name (`central.plant`, also with all names below it; `.plant` and `*.plant` say the same), an
address, a network (`10.0.0.0/8`), each also with a port (`central.plant:8443`, `[fd00::1]:443`). A network is compared
with addresses only: no name is looked up for it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]+)*")
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class _Entry:
    """One of `is_all`, `network` and `name` is given."""

    name: str = ""
    network: _Network | None = None
    port: int | None = None
    is_all: bool = False

    def covers(self, host: str, address: _Address | None, port: int) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.is_all:
            return True
        if self.network is not None:
            return address is not None and address in self.network
        return host == self.name or host.endswith("." + self.name)


@dataclass(frozen=True, slots=True)
class Bypass:
    """The hosts that are reached directly."""

    entries: tuple[_Entry, ...] = ()

    def covers(self, host: str, port: int) -> bool:
        """Return whether this host and port are reached without the proxy."""
        host = host.lower().rstrip(".")
        address = _address(host)
        return any(entry.covers(host, address, port) for entry in self.entries)


def parse_bypass(entries: Iterable[str]) -> Bypass:
    """Return the list as it is compared. Raises ValueError naming the entry that is none."""
    return Bypass(tuple(_entry(text.strip()) for text in entries if text.strip()))


def split_bypass(text: str) -> list[str]:
    """Return the entries of a variable: commas or blanks stand between them."""
    return [entry for entry in re.split(r"[,\s]+", text) if entry]


def _entry(text: str) -> _Entry:
    if text == "*":
        return _Entry(is_all=True)
    host, port = _split_port(text)
    if (network := _network(host)) is not None:
        return _Entry(network=network, port=port)
    name = host.removeprefix("*").removeprefix(".").rstrip(".").lower()
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{text!r} is no host, domain, address or network;"
            " for instance central.plant, .plant, 10.0.0.5, 10.0.0.0/8, central.plant:8443, or * for all"
        )
    return _Entry(name=name, port=port)


def _split_port(text: str) -> tuple[str, int | None]:
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::([0-9]{1,5}))?", text)
    if bracketed:
        return bracketed[1], None if bracketed[2] is None else int(bracketed[2])
    named = re.fullmatch(r"([^:]+):([0-9]{1,5})", text)
    return (named[1], int(named[2])) if named else (text, None)


def _network(text: str) -> _Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _address(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
