"""How a connection to the other side is made: whom it trusts, what it shows, and how long each step may take.

One frozen value, made in one place from the settings, and taken by whatever connects: batches, single readings, the
question of reconciliation, the broker.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_sync.transports.link_use import ORDINARY, LinkUse
from cloud_sync.transports.tls import ClientCertificate


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Without `ca_file` the system's and the well-known public CAs are trusted.

    A broker's files are its own (`mqtt.broker.Tls`).
    """

    ca_file: Path | None = None
    client_certificate: ClientCertificate | None = None
    connect_timeout_s: float = 5.0
    answer_timeout_s: float = 30.0
    use: LinkUse = ORDINARY


DEFAULTS: Final = ConnectionOptions()
