"""Group commit: records are gathered for at most one flush interval, then made durable in one transaction.

Constraints
- `put` waits when too much is pending (back-pressure); it never drops.
- A record that cannot be encoded at all is a fault of this program: it is counted, said, and costs no other.
- While the disk refuses, what is pending stays pending and is tried again; the refusal is said once.
- Up to `flush_interval_s` of records is in memory; a power cut loses at most that, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from cloud_sync import wire
from cloud_sync.errors import OutboxError, WireFormatError
from cloud_sync.journal import KeyJournal
from cloud_sync.outbox import NewBlock
from cloud_sync.records import Batch, Event, RecordClass, Row

logger = logging.getLogger(__name__)

Record = Row | Event
T = TypeVar("T")

MAX_BLOCK_RECORDS: Final = 5_000
"""About 20 to 150 kB compressed: far under any sensible body limit, far over what one flush usually holds."""


class BlockStore(Protocol):
    """What the writer needs of an outbox."""

    def append(self, blocks: Sequence[NewBlock]) -> None: ...


@dataclass(frozen=True, slots=True)
class WriterState:
    """`error` is None while the disk takes what we give it."""

    pending: int
    flushed_total: int
    error: str | None
    hint: str | None
    unsendable_total: int = 0


@dataclass(frozen=True, slots=True)
class _Commit:
    """What an append that has returned left to say."""

    unsendable: int
    journal_error: OutboxError | None


class OutboxWriter:
    """Owns the way into the outbox. `on_flush` is called after each successful commit."""

    def __init__(
        self,
        outbox: BlockStore,
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
        self._is_stopping = False
        self._flushed_total = 0
        self._unsendable_total = 0
        self._error: OutboxError | None = None
        self._flushing = asyncio.Lock()

    async def put(self, records: Sequence[Record]) -> None:
        """Hand records over. They are pending at once, also when the wait for room that follows is cancelled."""
        self._pending.extend(records)
        while len(self._pending) >= self._max_pending and not self._is_stopping:
            self._has_room.clear()
            await self._has_room.wait()

    def stop_waiting(self) -> None:
        """From now on `put` never waits: the last records are taken in, so that a stop cannot hang on a full disk."""
        self._is_stopping = True
        self._has_room.set()

    async def run(self) -> None:
        """Flush on every interval until cancelled. Call `flush` once more after the last `put`."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.flush()

    async def flush(self) -> bool:
        """Commit what is pending. False when the disk refused: it is all still pending."""
        async with self._flushing:
            records = self._pending[:]
            if not records:
                return True
            # Awaited below in every case: a commit cannot be called back.
            commit = asyncio.create_task(asyncio.to_thread(self._commit, records), name="outbox append")
            try:
                await asyncio.shield(commit)
            except asyncio.CancelledError:
                await _ended(commit)
                self._note(commit, len(records))
                raise
            except OutboxError:
                pass  # noted below, like every other end
            return self._note(commit, len(records))

    def _commit(self, records: Sequence[Record]) -> _Commit:
        try:
            blocks, unsendable = _blocks(self._gateway_id, records), 0
        except WireFormatError:
            sendable = [record for record in records if _is_sendable(self._gateway_id, record)]
            blocks, unsendable = _blocks(self._gateway_id, sendable), len(records) - len(sendable)
            records = sendable
        self._outbox.append(blocks)
        try:
            if self._journal is not None:
                self._journal.note(record for record in records if isinstance(record, Row))
        except OutboxError as exc:
            return _Commit(unsendable, exc)
        return _Commit(unsendable, None)

    def _note(self, commit: asyncio.Task[_Commit], taken: int) -> bool:
        """Take the end of a commit into account. Raises what is not about the outbox."""
        error = commit.exception()
        if error is None:
            done = commit.result()
            del self._pending[:taken]
            self._flushed_total += taken - done.unsendable
            self._unsendable_total += done.unsendable
            self._say(done.journal_error)
            self._has_room.set()
            self._on_flush()
            return True
        if not isinstance(error, OutboxError):
            raise error
        self._say(error)
        return False

    def _say(self, error: OutboxError | None) -> None:
        """Keep the state; log only where it changes."""
        if error is not None and self._error is None:
            logger.error("%s; up to %d records wait in memory", error.message, self._max_pending)
        if error is None and self._error is not None:
            logger.info("the outbox takes records again")
        self._error = error

    @property
    def state(self) -> WriterState:
        error = self._error
        return WriterState(
            len(self._pending),
            self._flushed_total,
            error.message if error else None,
            error.hint if error else None,
            self._unsendable_total,
        )


async def _ended(task: asyncio.Task[_Commit]) -> None:
    """Wait for the end of the task, also when cancelled again meanwhile; the caller is cancelled already."""
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])


def _is_sendable(gateway_id: str, record: Record) -> bool:
    batch = Batch(gateway_id, rows=(record,)) if isinstance(record, Row) else Batch(gateway_id, events=(record,))
    try:
        wire.encode(batch)
    except WireFormatError as exc:
        logger.error("dropped, because it can never be sent: %r: %s", record, exc.message)
        return False
    return True


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
