"""Group commit: records are gathered for at most one flush interval, then made durable in one transaction.

Constraints
- `put` waits when too much is pending (back-pressure); it never drops.
- While the disk refuses, what is pending stays pending and is tried again; the refusal is said once.
- Up to `flush_interval_s` of records is in memory; a power cut loses at most that, and nothing else.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from cloud_sync import wire
from cloud_sync.errors import OutboxError
from cloud_sync.journal import KeyJournal
from cloud_sync.outbox import NewBlock, Outbox
from cloud_sync.records import Batch, Event, RecordClass, Row

Record = Row | Event
T = TypeVar("T")

MAX_BLOCK_RECORDS: Final = 5_000
"""About 20 to 150 kB compressed: far under any sensible body limit, far over what one flush usually holds."""


@dataclass(frozen=True, slots=True)
class WriterState:
    """`error` is None while the disk takes what we give it."""

    pending: int
    flushed_total: int
    error: str | None
    hint: str | None


class OutboxWriter:
    """Owns the way into the outbox. `on_flush` is called after each successful commit."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        gateway_id: str,
        flush_interval_s: float,
        max_pending: int = 50_000,
        journal: KeyJournal | None = None,
        on_flush: Callable[[], None] = lambda: None,
    ) -> None:
        self._outbox = outbox
        self._gateway_id = gateway_id
        self._interval_s = flush_interval_s
        self._max_pending = max_pending
        self._journal = journal
        self._on_flush = on_flush
        self._pending: list[Record] = []
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._flushed_total = 0
        self._error: OutboxError | None = None
        self._flushing = asyncio.Lock()

    async def put(self, records: Sequence[Record]) -> None:
        """Hand records over. They are pending at once; the caller then waits while too much is pending."""
        self._pending.extend(records)
        while len(self._pending) >= self._max_pending:
            self._has_room.clear()
            await self._has_room.wait()

    async def run(self) -> None:
        """Flush on every interval until cancelled. Call `flush` once more after the last `put`."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.flush()

    async def flush(self) -> bool:
        """Commit what is pending. False when the disk refused: it is all still pending."""
        async with self._flushing:
            taken = len(self._pending)
            if taken == 0:
                return True
            blocks = _blocks(self._gateway_id, self._pending[:taken])
            commit = asyncio.create_task(asyncio.to_thread(self._outbox.append, blocks), name="outbox append")
            try:
                await asyncio.shield(commit)
            except asyncio.CancelledError:
                # A commit cannot be called back: wait for it, else its records would be durable and pending.
                await asyncio.wait([commit])
                if commit.exception() is None:
                    self._settle_flush(taken)
                raise
            except OutboxError as exc:
                self._error = exc
                return False
            self._settle_flush(taken)
            return True

    def _settle_flush(self, taken: int) -> None:
        if self._journal is not None:
            self._journal.note(record for record in self._pending[:taken] if isinstance(record, Row))
        del self._pending[:taken]
        self._flushed_total += taken
        self._error = None
        self._has_room.set()
        self._on_flush()

    @property
    def state(self) -> WriterState:
        error = self._error
        return WriterState(
            len(self._pending),
            self._flushed_total,
            error.message if error else None,
            error.hint if error else None,
        )


def _blocks(gateway_id: str, records: Sequence[Record]) -> list[NewBlock]:
    rows = [record for record in records if isinstance(record, Row)]
    events = [record for record in records if isinstance(record, Event)]
    blocks = [_block(Batch(gateway_id, events=tuple(part)), RecordClass.EVENT) for part in _parts(events)]
    return blocks + [_block(Batch(gateway_id, rows=tuple(part)), RecordClass.READING) for part in _parts(rows)]


def _parts(records: Sequence[T]) -> list[Sequence[T]]:
    return [records[i : i + MAX_BLOCK_RECORDS] for i in range(0, len(records), MAX_BLOCK_RECORDS)]


def _block(batch: Batch, record_class: RecordClass) -> NewBlock:
    times = [row.time_us for row in batch.rows] + [event.time_us for event in batch.events]
    return NewBlock(uuid.uuid4().hex, record_class, min(times), max(times), len(batch), wire.encode(batch))
