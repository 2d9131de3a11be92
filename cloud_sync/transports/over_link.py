"""A transport that goes over one of this box's links, and is called by it."""

from __future__ import annotations

from dataclasses import replace

from cloud_sync.errors import TransientSyncError
from cloud_sync.records import Settlement
from cloud_sync.transports.base import Guarantee, Resting, Route, Transport


class OverLink:
    """`link` is the link's name in the settings; `inner` was made with that link's end (`ConnectionOptions.end`)."""

    def __init__(self, link: str, inner: Transport) -> None:
        self.link = link
        self.inner = inner

    def __repr__(self) -> str:
        return f"OverLink({self.link!r}, {self.inner!r})"

    @property
    def route(self) -> Route:
        """Return the inner route, called by the link."""
        route = self.inner.route
        return replace(route, name=f"{self.link} ({route.name})", link=self.link)

    @property
    def guarantee(self) -> Guarantee:
        """Return what an answer to the inner transport guarantees."""
        return self.inner.guarantee

    @property
    def takes_events(self) -> bool | None:
        """Return whether events have a place at the other end; None while that is not known."""
        return self.inner.takes_events

    @property
    def takes_digests(self) -> bool:
        """Return whether the other end can be asked for digests."""
        return self.inner.takes_digests

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Deliver one encoded batch. Raises as promised in `transports.base`."""
        try:
            return await self.inner.send(body, batch_id=batch_id)
        except TransientSyncError as exc:
            exc.link = self.link
            raise

    async def rest(self) -> None:
        """Let connections go: on a link that is not in use they cost."""
        if isinstance(self.inner, Resting):
            await self.inner.rest()

    async def close(self) -> None:
        await self.inner.close()
