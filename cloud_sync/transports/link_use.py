"""How sparingly a link is used: who counts its bytes, how long a connection is kept, what is said around the data.

Constraints
- Sparing headers change nothing of what is delivered: the central knows a batch by its first bytes and its
  Idempotency-Key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloud_sync.transports.link_meter import LinkMeter


@dataclass(frozen=True, slots=True)
class LinkUse:
    """`idle_s` is how long this side keeps a connection that carries nothing; a server or a router may keep it less."""

    meter: LinkMeter | None = None
    idle_s: float | None = None
    """None: the transport's own."""
    mqtt_keepalive_s: int | None = None
    """A ping and its answer take 48 bytes with TLS. None: the transport's own."""
    is_sparing: bool = False
    """Leave out what only helps to read logs: X-Request-ID, User-Agent, Accept, Content-Type."""


ORDINARY: Final = LinkUse()
