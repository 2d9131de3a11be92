"""Count what travels on the connections to the central: readings and events, what carries them, TLS, and TCP/IP.

The bytes of TLS are asked of the kernel (`TCP_INFO`, Linux 4.19), which counts what each socket sent, repeats included,
and received; what is above TLS is counted where it is written and read. TCP and IP headers are the kernel's number of
segments times what a header takes. Two threads count: the loop's and that of the MQTT library.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Final

_TCP_INFO_BYTES: Final = 256
_RECEIVED_AND_SEGMENTS: Final = struct.Struct("=QII")  # tcpi_bytes_received, tcpi_segs_out, tcpi_segs_in
_RECEIVED_AT: Final = 128
_SENT: Final = struct.Struct("=Q")  # tcpi_bytes_sent
_SENT_AT: Final = 200

HEADER_BYTES: Final = {socket.AF_INET: 52, socket.AF_INET6: 72}
"""Of one segment: IPv4 20 or IPv6 40, TCP 20, its time stamps 12."""


@dataclass(frozen=True, slots=True)
class LinkBytes:
    """Totals, in bytes. `payload` are the batches themselves, `carried` everything above TLS in both directions."""

    payload: int = 0
    carried: int = 0
    sent: int = 0
    received: int = 0
    tcp_ip: int = 0
    """Headers of TCP and IP, estimated from the number of segments."""

    @property
    def wire(self) -> int:
        """Return what TCP carried in both directions."""
        return self.sent + self.received

    @property
    def charged(self) -> int:
        """Return what a data plan is charged, as far as it can be seen from here."""
        return self.wire + self.tcp_ip

    @property
    def headers(self) -> int:
        """Return what HTTP or MQTT add, answers included."""
        return max(0, self.carried - self.payload)

    @property
    def tls(self) -> int:
        """Return the bytes of handshakes and records."""
        return max(0, self.wire - self.carried)

    def since(self, before: LinkBytes) -> LinkBytes:
        """Return what came on top."""
        return LinkBytes(*(getattr(self, one.name) - getattr(before, one.name) for one in fields(self)))


class LinkMeter:
    """Totals over every connection that was ever watched. Threads may share it. What a part counts, `whole` has too."""

    def __init__(self, whole: LinkMeter | None = None) -> None:
        self._lock = threading.Lock()
        self._total = LinkBytes()
        self._whole = whole
        self._parts: dict[str, LinkMeter] = {}

    def of(self, link: str) -> LinkMeter:
        """Return the part that counts one of several links."""
        return self._parts.setdefault(link, LinkMeter(self))

    @property
    def parts(self) -> Mapping[str, LinkMeter]:
        """Return the parts by the names of their links."""
        return self._parts

    @property
    def total(self) -> LinkBytes:
        """Return what was counted so far."""
        return self._total

    def watch(self, sock: socket.socket | None) -> WatchedConnection:
        """Return the counter of one connection. Without a socket only what is above TLS is seen."""
        return WatchedConnection(self, sock)

    def add(self, more: LinkBytes) -> None:
        """Count these as well."""
        with self._lock:
            total = self._total
            self._total = LinkBytes(*(getattr(total, one.name) + getattr(more, one.name) for one in fields(total)))
        if self._whole is not None:
            self._whole.add(more)


class WatchedConnection:
    """What one connection adds to its meter.

    Without TLS everything on the wire is what was written and read, also what was sent again or never read.
    """

    def __init__(self, meter: LinkMeter, sock: socket.socket | None) -> None:
        self._meter = meter
        self._sock = sock
        self._has_tls = isinstance(sock, ssl.SSLSocket)
        self._before = LinkBytes()

    def note(self, *, sent: int = 0, received: int = 0) -> None:
        """Count bytes above TLS, and what the kernel counted meanwhile."""
        now = self._looked_at()
        if now is None:  # not Linux, or closed: what is above TLS is all that is seen
            self._meter.add(LinkBytes(carried=sent + received, sent=sent, received=received))
            return
        more, self._before = now.since(self._before), now
        carried = sent + received if self._has_tls else more.wire
        self._meter.add(LinkBytes(0, carried, more.sent, more.received, more.tcp_ip))

    def look(self) -> None:
        """Count what the kernel counted since, such as a handshake; of a closed connection nothing."""
        if self._looked_at() is not None:
            self.note()

    @contextlib.contextmanager
    def securing(self) -> Iterator[None]:
        """Look at the end of a handshake with TLS, also when the connection is closed there."""
        self._has_tls = True
        sock = self._sock
        if sock is None:
            yield
            return
        with contextlib.closing(sock.dup()) as twin:
            self._sock = twin
            try:
                yield
            finally:
                self.look()
                self._sock = sock

    def _looked_at(self) -> LinkBytes | None:
        sock = self._sock
        if sock is None or not hasattr(socket, "TCP_INFO"):
            return None
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        except OSError:
            return None
        if len(info) < _SENT_AT + _SENT.size:
            return None
        received, segments_out, segments_in = _RECEIVED_AND_SEGMENTS.unpack_from(info, _RECEIVED_AT)
        (sent,) = _SENT.unpack_from(info, _SENT_AT)
        header_bytes = HEADER_BYTES.get(sock.family, 0)
        return LinkBytes(sent=sent, received=received, tcp_ip=(segments_out + segments_in) * header_bytes)
