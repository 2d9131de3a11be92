"""A transport that goes over one of this box's links, and is called by it."""

from __future__ import annotations

from cloud_sync.errors import TransientSyncError
from cloud_sync.records import Settlement
from cloud_sync.transports.base import Resting, Transport, takes_events
from cloud_sync.transports.failover import FailoverTransport
from cloud_sync.transports.late import LateTransport


class OverLink:
    """`link` is the link's name in the settings; `inner` was made with that link's end (`ConnectionOptions.end`)."""

    def __init__(self, link: str, inner: Transport) -> None:
        self.link = link
        self.inner = inner

    def __repr__(self) -> str:
        return f"OverLink({self.link!r}, {self.inner!r})"

    @property
    def name(self) -> str:
        return f"{self.link} ({self.inner.name})"

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Deliver one encoded batch. Raises as promised in `transports.base`."""
        try:
            return await self.inner.send(body, batch_id=batch_id)
        except TransientSyncError as exc:
            exc.link = self.link
            raise

    @property
    def takes_events(self) -> bool | None:
        return takes_events(self.inner)

    async def rest(self) -> None:
        """Let connections go: on a link that is not in use they cost."""
        if isinstance(self.inner, Resting):
            await self.inner.rest()

    async def close(self) -> None:
        await self.inner.close()


def link_in_use(transport: Transport) -> str | None:
    """Return the name of the link over which batches go now; None where there is only one, or nothing went yet."""
    match transport:
        case LateTransport(made=made):
            return None if made is None else link_in_use(made)
        case FailoverTransport(route=route):
            return link_in_use(route)
        case OverLink(link=link):
            return link
        case _:
            return None
