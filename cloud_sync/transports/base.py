"""What every transport promises.

Constraints
- `send` returns only what the receiver answered about this very batch; anything else raises. What such an answer
  guarantees is `guarantee`: a transport that does not know it says UNKNOWN, and nobody assumes more.
- It raises TransientSyncError, CredentialsError, BatchTooLargeError, BatchRefusedError or NoPlaceError, never a
  library's own error. Cancellation passes through.
- What somebody in between says is never the central's word about a record or a key (`is_centrals`).
- `body` goes out as it is: the stored block is the request body.
- The four properties are read at any time, also before the first `send` and by `status`; they do no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from cloud_sync.records import Settlement


class Guarantee(StrEnum):
    """What is certain about records once the answer to their batch is here, as a sentence for people."""

    COMMITTED = "an answer means committed to the central's database"
    ACCEPTED = "an answer means accepted by the other end, not that it is stored there"
    UNKNOWN = "not known yet: nothing was delivered so far, or the transport does not tell"


@dataclass(frozen=True, slots=True)
class Route:
    """How batches reach the central now."""

    name: str
    """In one word or two, for logs and `status`."""
    is_known: bool = True
    """False while the first delivery has still to show which route it is."""
    since_ns: int | None = None
    """When it was taken; None: from the start."""
    instead_of: str | None = None
    """The preferred route, while this one is its fallback."""
    link: str | None = None
    """The one of several links that it goes over."""
    unexpected_answers: int = 0
    """What settled nothing: late, repeated, or somebody else's."""


class Transport(Protocol):
    @property
    def route(self) -> Route:
        """Return the route in use."""

    @property
    def guarantee(self) -> Guarantee:
        """Return what an answer over the route in use is good for."""

    @property
    def takes_events(self) -> bool | None:
        """Return whether events have a place at the other end; None while that is not known."""

    @property
    def takes_digests(self) -> bool:
        """Return whether the other end is a central that can be asked for digests of what it holds."""

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Deliver one encoded batch and return what became of each record in it."""

    async def close(self) -> None:
        """Release everything. A `send` in progress fails."""


@runtime_checkable
class Resting(Protocol):
    """A transport that holds a connection while it is not used, and can let it go."""

    async def rest(self) -> None:
        """Release connections until the next `send`. What is in flight fails."""
