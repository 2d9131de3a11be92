"""This box's own end of a connection: which of its links is used, by interface or by source address.

A source address alone leaves the route to the routing table, and the default route is often another link's. An
interface binds the socket to it (SO_BINDTODEVICE, Linux 5.7 and later without privileges).
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cloud_sync.transports.steps import StepError

MOST_ADDRESSES: Final = 6
"""Of one host: so many are tried before it counts as not reached."""


@dataclass(frozen=True, slots=True)
class LocalEnd:
    """At least one of the two is given."""

    interface: str | None = None
    source_address: str | None = None

    def takes(self, address: str) -> bool:
        """Return whether an address of the other side can be reached from here: IPv4 from IPv4, IPv6 from IPv6."""
        if self.source_address is None:
            return True
        own = ipaddress.ip_address(self.source_address)
        return own.version == ipaddress.ip_address(address.partition("%")[0]).version

    def bind(self, sock: socket.socket) -> None:
        """Bind a socket that is not connected yet. Raises StepError naming what this box does not have."""
        try:
            if self.interface is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.interface.encode() + b"\0")
            if self.source_address is not None:
                sock.bind((self.source_address, 0))
        except OSError as exc:
            words, hint = _cause(self, exc)
            raise StepError(words, hint=hint) from exc


def _cause(end: LocalEnd, exc: OSError) -> tuple[str, str]:
    match exc.errno:
        case errno.ENODEV:
            return f"this box has no network interface {end.interface}", "is the modem plugged in? See: ip link"
        case errno.EADDRNOTAVAIL:
            return (
                f"this box does not have the address {end.source_address} now",
                "addresses change; name the interface in place of the address. See: ip addr",
            )
        case errno.EPERM:
            return (
                f"this box does not let a service choose the interface {end.interface}",
                "before Linux 5.7 the service needs CAP_NET_RAW; or give source_address and a rule for it (ip rule)",
            )
        case _:
            return f"{end.interface or end.source_address}: {exc.strerror}", "see: ip addr"


def reachable_from(end: LocalEnd | None, host: str, addresses: Sequence[str]) -> list[str]:
    """Return those of a host's addresses that are tried from this end, the first few. Raises StepError without any."""
    found = [address for address in addresses if end is None or end.takes(address)]
    if found or end is None:
        return found[:MOST_ADDRESSES]
    raise StepError(
        f"{host} has no address of the kind of {end.source_address}",
        hint="one is IPv4 and the other IPv6; name the interface in place of the address",
    )
