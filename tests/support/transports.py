"""What the hand-written transports of the tests have in common."""

from __future__ import annotations

from cloud_sync.transports.base import Guarantee, Route


class FakeTransport:
    """A central that is reached, takes everything there is, and has nothing to close."""

    route = Route("fake")
    guarantee = Guarantee.COMMITTED
    takes_events = True
    takes_digests = False

    async def close(self) -> None: ...
