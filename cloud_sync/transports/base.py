"""What every transport promises.

Constraints
- `send` returns only what the central said after COMMIT; anything else raises.
- It raises TransientSyncError, CredentialsError, BatchTooLargeError or BatchRefusedError, never a library's
  own error. Cancellation passes through.
- `body` goes out as it is: the stored block is the request body.
"""

from __future__ import annotations

from typing import Protocol

from cloud_sync.records import Settlement


class Transport(Protocol):
    @property
    def name(self) -> str:
        """The route in use, in one word or two."""

    async def send(self, body: bytes, *, batch_id: str) -> Settlement: ...

    async def close(self) -> None: ...
