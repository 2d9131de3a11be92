"""A transport that is made when it is first needed, and made again until it can be.

What delivery needs from files (a key, a password, certificates) may be missing, closed or damaged when the agent
starts. That is a failure of the link, said and tried again; it never keeps anybody from recording.
"""

from __future__ import annotations

from collections.abc import Callable

from cloud_sync.errors import TransientSyncError
from cloud_sync.records import Settlement
from cloud_sync.transports.base import Transport, takes_events


class LateTransport:
    """`make` reads the files. It raises CredentialsError as long as one of them cannot be used."""

    name = "not made yet"

    def __init__(self, make: Callable[[], Transport]) -> None:
        self._make = make
        self._is_closed = False
        self.made: Transport | None = None

    def __repr__(self) -> str:
        return f"LateTransport({self.made!r})"

    @property
    def takes_events(self) -> bool | None:
        return None if self.made is None else takes_events(self.made)

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Deliver one encoded batch. Raises as promised in `transports.base`, and what `make` raises."""
        return await self._ready().send(body, batch_id=batch_id)

    async def close(self) -> None:
        self._is_closed = True
        if self.made is not None:
            await self.made.close()

    def _ready(self) -> Transport:
        if self._is_closed:
            raise TransientSyncError("the transport was closed")
        if self.made is None:
            self.made = self._make()
        return self.made
