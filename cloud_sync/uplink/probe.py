"""Whether the central takes anything of a class of records: it is asked with others that wait.

Constraints
- Nothing is settled by asking: what was taken counts once when its turn comes.
- A block that is refused as a whole is asked about by single records spread over it, so that one bad record among
  many good ones does not speak for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from cloud_sync import wire
from cloud_sync.errors import BatchRefusedError, BatchTooLargeError, WireFormatError
from cloud_sync.outbox.store import Block
from cloud_sync.records import RecordClass, Settlement
from cloud_sync.uplink.circuit_breaker import CircuitBreaker
from cloud_sync.uplink.scheduler import LIVE_BLOCKS, BlockSource

SINGLES: Final = 4
"""Records of a refused block that are asked about alone: first, last, and two between."""

Send = Callable[[bytes, int, str, RecordClass], Awaitable[Settlement]]
"""Body, records in it, batch id, class. Raises like a transport."""


class Probe:
    """Goes through what waits, so that every block is asked about in the end; suspects what is refused altogether."""

    def __init__(self, outbox: BlockSource, send: Send, breaker: CircuitBreaker) -> None:
        self._outbox = outbox
        self._send = send
        self._breaker = breaker
        self._asked_to: dict[RecordClass, int] = {}

    async def takes_others(self, of: RecordClass, besides: frozenset[str] = frozenset()) -> bool:
        """Return whether it takes the newest of this class, or the next in order, `besides` these batch ids.

        False also when there is no other to ask about. Raises SyncError when it cannot be asked.
        """
        for block in await asyncio.to_thread(lambda: list(self._candidates(of, besides))):
            if await self.takes(block):
                return True
            self._breaker.suspect(of, block.batch_id)
        return False

    async def takes(self, block: Block) -> bool:
        try:
            return _took(await self._send(block.body, block.count, block.batch_id, block.record_class))
        except (BatchTooLargeError, BatchRefusedError):
            return await self.takes_some_of(block)

    async def takes_some_of(self, block: Block) -> bool:
        """Return whether it takes single records of this block. False also for a block that nobody can read.

        Raises SyncError when the central cannot be asked.
        """
        try:
            singles = await asyncio.to_thread(_singles, block)
        except WireFormatError:
            return False
        for position, body in singles:
            try:
                if _took(await self._send(body, 1, f"{block.batch_id}.{position}", block.record_class)):
                    return True
            except BatchTooLargeError as exc:
                if not exc.is_centrals:
                    raise exc.of_one_record() from exc
            except BatchRefusedError:
                continue
        return False

    def _candidates(self, of: RecordClass, besides: frozenset[str]) -> Iterator[Block]:
        newest = self._newest(of, besides)
        if newest is not None:
            yield newest
        block = self._next(of)
        if block is not None and block.batch_id not in besides and (newest is None or block.id != newest.id):
            yield block

    def _newest(self, of: RecordClass, besides: frozenset[str]) -> Block | None:
        """Among the newest, the first that was not refused before."""
        after_id = max(0, self._outbox.newest_id() - LIVE_BLOCKS)
        while (block := self._outbox.peek(after_id=after_id, record_class=of)) is not None:
            if block.batch_id not in besides and not self._breaker.is_suspect(block.batch_id):
                return block
            after_id = block.id
        return None

    def _next(self, of: RecordClass) -> Block | None:
        block = self._outbox.peek(after_id=self._asked_to.get(of, 0), record_class=of)
        if block is None:
            block = self._outbox.peek(record_class=of)
        self._asked_to[of] = 0 if block is None else block.id
        return block


def _singles(block: Block) -> list[tuple[int, bytes]]:
    batch = block.decode()
    last = len(batch) - 1
    positions = sorted({last * n // (SINGLES - 1) for n in range(SINGLES)}) if last > 0 else []
    return [(position, wire.encode(batch.only(position))) for position in positions]


def _took(answer: Settlement) -> bool:
    return answer.accepted + answer.duplicates > 0
