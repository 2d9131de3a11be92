"""This installation as the central knows it: who sends, and the lease that says how long it counts as present."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cloud_sync.presence import Presence
from cloud_sync.transports.base import Transport
from cloud_sync.twins import MAX_LEASE_S, Sender
from cloud_sync.uplink.heartbeat import Heartbeat
from cloud_sync.uplink.sender import Uplink
from edge_agent.core.clock import Clock
from edge_agent.health.machine import this_machine
from edge_agent.installation.identity import InstallationIdentity, next_start
from edge_agent.settings import Settings

LEAST_LEASE_S: Final = 60
_HEARTBEATS: Final = 3
"""Two may be lost before the central takes silence for the end of this box."""


@dataclass(slots=True)
class Installation:
    """This box under its gateway id; `identity` is None until the state folder is open."""

    settings: Settings
    presence: Presence = field(default_factory=Presence)
    identity: InstallationIdentity | None = None

    def begin(self, *, now_ns: int, log: Callable[[str, str], None]) -> None:
        """Note this start, and say from now on who sends. The caller holds the state folder's lock."""
        gateway = self.settings.gateway
        self.identity = next_start(gateway.state_dir, gateway.id, this_machine(), now_ns=now_ns, log=log)
        self.presence.begin(sender_of(self.identity, self.settings))

    def heartbeat(self, transport: Transport, uplink: Uplink, clock: Clock) -> Heartbeat:
        """Return what keeps the lease while there is nothing to send."""
        return Heartbeat(
            transport,
            self.presence,
            gateway_id=self.settings.gateway.id,
            every_s=heartbeat_every_s(self.settings),
            link=lambda: uplink.state.link,
            sleep=clock.sleep,
        )


def heartbeat_every_s(settings: Settings) -> float:
    """Return how often an idle box is heard of at the central, in seconds; 0: it is not.

    Over a metered link it is heard of when it has something to send, which is more often than a lease lasts.
    """
    return 0.0 if settings.central.sparing is not None else settings.central.heartbeat_s


def sender_of(identity: InstallationIdentity, settings: Settings) -> Sender:
    """Return what goes with every batch of this start."""
    every_s = heartbeat_every_s(settings)
    lease_s = MAX_LEASE_S if every_s == 0 else max(LEAST_LEASE_S, round(_HEARTBEATS * every_s))
    return Sender(
        identity.instance,
        identity.incarnation,
        identity.run,
        machine=identity.machine.name,
        lease_s=lease_s,
        site=settings.gateway.site,
    )
