"""A transport that is made when it is first needed, and made again until it can be.

What delivery needs from files (a key, a password, certificates) may be missing, closed or damaged when the agent
starts. That is a failure of the link, said and tried again; it never keeps anybody from recording.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cloud_sync.errors import TransientSyncError
from cloud_sync.records import Settlement
from cloud_sync.transports.base import Guarantee, Resting, Route, Transport


class LazyTransport:
    """`make` reads the files. It raises a SyncError as long as one of them cannot be used."""

    def __init__(self, make: Callable[[], Awaitable[Transport]], *, name: str = "not made yet") -> None:
        self._name = name
        self._make = make
        self._is_closed = False
        self._making = asyncio.Lock()
        self.made: Transport | None = None

    def __repr__(self) -> str:
        return f"LazyTransport({self.made!r})"

    @property
    def route(self) -> Route:
        """Return the route of what was made; not known before."""
        return Route(self._name, is_known=False) if self.made is None else self.made.route

    @property
    def guarantee(self) -> Guarantee:
        """Return the guarantee of what was made; UNKNOWN before."""
        return Guarantee.UNKNOWN if self.made is None else self.made.guarantee

    @property
    def takes_events(self) -> bool | None:
        """Return whether events have a place at the other end; None before anything was made."""
        return None if self.made is None else self.made.takes_events

    @property
    def takes_digests(self) -> bool:
        """Return whether the other end can be asked for digests; False before anything was made."""
        return self.made is not None and self.made.takes_digests

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Deliver one encoded batch. Raises as promised in `transports.base`, and what `make` raises."""
        return await (await self._ready()).send(body, batch_id=batch_id)

    async def rest(self) -> None:
        """Release the connections of what was made."""
        if self.made is not None and isinstance(self.made, Resting):
            await self.made.rest()

    async def close(self) -> None:
        """Close what was made, and make nothing any more."""
        self._is_closed = True
        async with self._making:
            if self.made is not None:
                await self.made.close()

    async def _ready(self) -> Transport:
        async with self._making:  # of several sends at a time one makes it
            self._check_open()
            if self.made is None:
                self.made = await self._make()
        self._check_open()
        return self.made

    def _check_open(self) -> None:
        if self._is_closed:
            raise TransientSyncError("the transport was closed")
