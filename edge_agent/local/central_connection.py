"""How this gateway connects to its central, as the settings say."""

from __future__ import annotations

from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.known_central import FILE_NAME, KnownCentral
from cloud_sync.transports.link_meter import LinkMeter
from cloud_sync.transports.link_use import LinkUse
from edge_agent.local.client_certificate import client_certificate
from edge_agent.settings import CentralSettings, Settings


def connection_of(central: CentralSettings, meter: LinkMeter | None = None) -> ConnectionOptions:
    """Return what every connection to the central is made with, counted by `meter`. Reads no file."""
    return ConnectionOptions(
        ca_file=central.ca_file,
        client_certificate=client_certificate(central),
        connect_timeout_s=central.connect_timeout_s,
        answer_timeout_s=central.answer_timeout_s,
        use=LinkUse(meter),
    )


def known_central(settings: Settings) -> KnownCentral:
    """Return what counts as this gateway's central, with what the state folder remembers of it."""
    central = settings.central
    return KnownCentral(central.url or "", demand=central.proof, file=settings.gateway.state_dir / FILE_NAME)
