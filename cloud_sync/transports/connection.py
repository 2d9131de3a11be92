"""How a connection to the other side is made: whom it trusts, what it shows, and how long each step may take.

One frozen value, made in one place from the settings, and taken by whatever connects: batches, single readings, the
question of reconciliation, the broker.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cloud_sync.transports.central_time import CentralTime
from cloud_sync.transports.link_meter import LinkMeter
from cloud_sync.transports.local_end import LocalEnd
from cloud_sync.transports.proxies.choice import ProxyChoice
from cloud_sync.transports.tls import ClientCertificate


@dataclass(frozen=True, slots=True)
class LinkUse:
    """How sparingly a link is used: who counts its bytes, how long a connection is kept, what is said around the data.

    `idle_s` is how long this side keeps a connection that carries nothing; a server or a router may keep it less.
    Sparing headers change nothing of what is delivered: the central knows a batch by its first bytes and its key.
    """

    meter: LinkMeter | None = None
    idle_s: float | None = None
    """None: the transport's own."""
    mqtt_keepalive_s: int | None = None
    """A ping and its answer take 48 bytes with TLS. None: the transport's own."""
    is_sparing: bool = False
    """Leave out what only helps to read logs: X-Request-ID, User-Agent, Accept, Content-Type."""


ORDINARY: Final = LinkUse()


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Without `ca_file` the system's and the well-known public CAs are trusted.

    A broker's files are its own (`mqtt.broker.Tls`).
    """

    ca_file: Path | None = None
    client_certificate: ClientCertificate | None = None
    connect_timeout_s: float = 30.0
    """For the look-up of the name, for TCP, and for the proxy's answer: each has as long."""
    tls_timeout_s: float = 90.0
    """A full handshake is 2 to 5 kB: 20 s at 2 kbit/s, 40 s when something else is in flight as well."""
    answer_timeout_s: float = 30.0
    use: LinkUse = ORDINARY
    proxy: ProxyChoice = field(default_factory=ProxyChoice)
    end: LocalEnd | None = None
    """Which of this box's links is used; None leaves it to the routing table."""
    central_time: CentralTime | None = None
    """Is told what time the central has, if anybody wants to know."""

    @property
    def open_within_s(self) -> float:
        """Return how long all steps together may take before the first byte of a request goes out."""
        return 4 * self.connect_timeout_s + 2 * self.tls_timeout_s


DEFAULTS: Final = ConnectionOptions()
