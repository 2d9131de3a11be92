"""What every transport promises.

Constraints
- `send` returns only what the central said after COMMIT; anything else raises.
- It raises TransientSyncError, CredentialsError, BatchTooLargeError, BatchRefusedError or NoPlaceError, never a
  library's own error. Cancellation passes through.
- What somebody in between says is never the central's word about a record or a key (`is_centrals`).
- `body` goes out as it is: the stored block is the request body.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from cloud_sync.records import Settlement


class Transport(Protocol):
    @property
    def name(self) -> str:
        """The route in use, in one word or two."""

    async def send(self, body: bytes, *, batch_id: str) -> Settlement: ...

    async def close(self) -> None: ...


@runtime_checkable
class Resting(Protocol):
    """One that holds a connection while it is not used, and can let it go."""

    async def rest(self) -> None:
        """Let connections go until the next `send`. What is on its way fails."""


def takes_events(transport: Transport) -> bool | None:
    """Return whether events have a place at the end of it: as a rule they have; None while that is not known."""
    return getattr(transport, "takes_events", True)
