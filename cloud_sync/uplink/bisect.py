"""A batch that is refused as a whole, halved until each poison record stands alone; one too large is cut the same way.

Knows no outbox; `send` is the uplink's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from cloud_sync import wire
from cloud_sync.errors import BatchRefusedError, BatchTooLargeError, SyncError
from cloud_sync.records import Batch, Refusal, Settlement


@dataclass(frozen=True, slots=True)
class Bisection:
    """`send` takes body, records in it and batch id; `count_refused` hears of each record that was refused alone."""

    send: Callable[[bytes, int, str], Awaitable[Settlement]]
    count_refused: Callable[[SyncError], None] = lambda _: None

    async def settle(self, batch: Batch, batch_id: str, reason: SyncError, *, offset: int = 0) -> Settlement:
        """Return what becomes of the records of a batch that was refused for this reason.

        Raises TransientSyncError when somebody before the central does not even let a single record through.
        """
        if len(batch) == 0:
            return Settlement(0, 0)
        if len(batch) == 1:
            if isinstance(reason, BatchTooLargeError) and not reason.is_centrals:
                raise reason.of_one_record()
            self.count_refused(reason)
            code = "too_large" if isinstance(reason, BatchTooLargeError) else "refused"
            return Settlement(0, 0, (Refusal(offset, code, reason.message),))
        middle = len(batch) // 2
        first = await self._part(batch.part(0, middle), f"{batch_id}.0", offset)
        second = await self._part(batch.part(middle, len(batch)), f"{batch_id}.1", offset + middle)
        return Settlement(
            first.accepted + second.accepted, first.duplicates + second.duplicates, first.refused + second.refused
        )

    async def _part(self, part: Batch, batch_id: str, offset: int) -> Settlement:
        try:
            answer = await self.send(await asyncio.to_thread(wire.encode, part), len(part), batch_id)
        except (BatchTooLargeError, BatchRefusedError) as exc:
            return await self.settle(part, batch_id, exc, offset=offset)
        return replace(answer, refused=tuple(replace(r, index=r.index + offset) for r in answer.refused))
