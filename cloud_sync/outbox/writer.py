"""Group commit: records are gathered for at most one flush interval, then made durable in one transaction.

Constraints
- Rows come as columns, stay columns and are encoded as columns: nothing here is done for each of them.
- `put` waits when too much is pending (back-pressure); it never drops.
- A record that cannot be encoded at all is a fault of this program: it is counted, logged, and costs no other.
- While the disk refuses, what is pending stays pending and is tried again; the refusal is logged once.
- Up to `flush_interval_s` of records is in memory; a power cut loses at most that, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from cloud_sync import wire
from cloud_sync.columns import ColumnBatch, Record, RowColumns
from cloud_sync.errors import OutboxError, WireFormatError
from cloud_sync.outbox.audit_log import AuditLog
from cloud_sync.outbox.clock_tables import Epoch
from cloud_sync.outbox.store import NewBlock
from cloud_sync.records import Event, RecordClass
from cloud_sync.timescale import Timescale, batch_in_utc

logger = logging.getLogger(__name__)

MAX_BLOCK_RECORDS: Final = 5_000
"""About 20 to 150 kB compressed: far under any sensible body limit, far over what one flush usually holds."""


class BlockStore(Protocol):
    """What the writer needs of an outbox."""

    def append(self, blocks: Sequence[NewBlock], *, epoch: Epoch | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class Stamping:
    """How the times of records become UTC. With an `epoch` nobody knows yet: they wait in the outbox for that."""

    scale: Timescale = field(default_factory=lambda: Timescale(0))
    epoch: Epoch | None = None
    quality_cap: float = 1.0
    off_cap: float = 1.0

    def stamp(self, batch: ColumnBatch) -> ColumnBatch:
        if self.epoch is not None or (self.scale.is_identity and self.quality_cap == 1.0):
            return batch
        return batch_in_utc(batch, self.scale, quality_cap=self.quality_cap, off_cap=self.off_cap)


@dataclass(frozen=True, slots=True)
class WriterState:
    """`error` is None while the disk takes what we give it."""

    pending: int
    flushed_total: int
    error: str | None
    hint: str | None
    unsendable_total: int = 0


@dataclass(slots=True)
class _Commit:
    """How far one flush came. What is durable is not offered again, whatever failed after it."""

    is_durable: bool = False
    unsendable: int = 0
    audit_log_error: OutboxError | None = None


class OutboxWriter:
    """The one who appends to the outbox. `on_flush` is called after each successful commit.

    `stamping` is asked before each, in the event loop, where the clock is looked at: records come with the times of a
    steady clock.
    """

    def __init__(
        self,
        outbox: BlockStore,
        *,
        gateway_id: str,
        flush_interval_s: float,
        max_pending: int = 50_000,
        audit_log: AuditLog | None = None,
        on_flush: Callable[[], None] = lambda: None,
        stamping: Callable[[], Stamping] = Stamping,
    ) -> None:
        self._outbox = outbox
        self._gateway_id = gateway_id
        self._interval_s = flush_interval_s
        self._max_pending = max_pending
        self._audit_log = audit_log
        self._on_flush = on_flush
        self._stamping = stamping
        self._pending: list[Record] = []
        self._pending_count = 0
        self._has_space = asyncio.Event()
        self._has_space.set()
        self._is_stopping = False
        self._flushed_total = 0
        self._unsendable_total = 0
        self._error: OutboxError | None = None
        self._flushing = asyncio.Lock()

    async def put(self, records: Sequence[Record]) -> None:
        """Hand records over. They are pending at once, also when the wait for space that follows is cancelled."""
        self._pending.extend(records)
        self._pending_count += _count(records)
        while self._pending_count >= self._max_pending and not self._is_stopping:
            self._has_space.clear()
            await self._has_space.wait()

    def stop_waiting(self) -> None:
        """Let `put` never wait again: the last records are taken in, so that a stop cannot hang on a full disk."""
        self._is_stopping = True
        self._has_space.set()

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
            done = _Commit()
            # Awaited below in every case: a commit cannot be called back.
            work = asyncio.to_thread(self._commit, records, self._stamping(), done)
            commit = asyncio.create_task(work, name="outbox append")
            try:
                await asyncio.wait([commit])
            except asyncio.CancelledError:
                await _ended(commit)
                self._note(commit.exception(), done, records)
                raise
            return self._note(commit.exception(), done, records)

    def _commit(self, records: Sequence[Record], stamping: Stamping, done: _Commit) -> None:
        batch = stamping.stamp(_batch(self._gateway_id, records))
        offered = len(batch)
        try:
            blocks = _blocks(batch)
        except WireFormatError:
            batch = _sendable(batch)
            blocks = _blocks(batch)
        self._outbox.append(blocks, epoch=stamping.epoch)
        done.is_durable, done.unsendable = True, offered - len(batch)
        try:
            if self._audit_log is not None and stamping.epoch is None:  # keys of what waits for a clock will change
                self._audit_log.record(batch.rows)
        except OutboxError as exc:
            done.audit_log_error = exc

    def _note(self, error: BaseException | None, done: _Commit, taken: Sequence[Record]) -> bool:
        """Take the end of a commit into account. Raises what is not about the outbox."""
        if done.is_durable:
            del self._pending[: len(taken)]
            self._pending_count -= _count(taken)
            self._flushed_total += _count(taken) - done.unsendable
            self._unsendable_total += done.unsendable
            self._log_change(done.audit_log_error)
            self._has_space.set()
            self._on_flush()
        elif isinstance(error, OutboxError):
            self._log_change(error)
            return False
        if error is not None:
            raise error
        return True

    def _log_change(self, error: OutboxError | None) -> None:
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
            self._pending_count,
            self._flushed_total,
            error.message if error else None,
            error.hint if error else None,
            self._unsendable_total,
        )


async def _ended(task: asyncio.Task[None]) -> None:
    """Wait for the end of the task, also when cancelled again meanwhile; the caller is cancelled already."""
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])


def _count(records: Sequence[Record]) -> int:
    return sum(1 if isinstance(record, Event) else len(record) for record in records)


def _batch(gateway_id: str, records: Sequence[Record]) -> ColumnBatch:
    rows = [record for record in records if not isinstance(record, Event)]
    events = tuple(record for record in records if isinstance(record, Event))
    return ColumnBatch(gateway_id, RowColumns.joined(rows) if rows else RowColumns.of(()), events)


def _sendable(batch: ColumnBatch) -> ColumnBatch:
    """Leave out what can never be sent, which is logged."""
    keep = np.ones(len(batch), np.bool_)
    for position, reason in _unsendable(batch, 0, len(batch)):
        logger.error("dropped, because it can never be sent: %s: %s", _named(batch, position), reason)
        keep[position] = False
    n = len(batch.rows)
    events = tuple(event for event, is_kept in zip(batch.events, keep[n:].tolist(), strict=True) if is_kept)
    return ColumnBatch(batch.gateway_id, batch.rows.at(keep[:n]), events)


def _unsendable(batch: ColumnBatch, start: int, stop: int) -> Iterator[tuple[int, str]]:
    """Find them by bisection: one such record among thousands costs a dozen encodings."""
    if start == stop:
        return
    try:
        wire.encode_columns(batch.part(start, stop))
    except WireFormatError as exc:
        if stop - start == 1:
            yield start, exc.message
            return
        middle = (start + stop) // 2
        yield from _unsendable(batch, start, middle)
        yield from _unsendable(batch, middle, stop)


def _named(batch: ColumnBatch, position: int) -> str:
    rows = batch.rows
    if position < len(rows):
        return f"{rows.series[rows.of_row[position]].sensor_id} at {rows.time_us[position]} us"
    return repr(batch.events[position - len(rows)])


def _blocks(batch: ColumnBatch) -> list[NewBlock]:
    """Events first; at most `MAX_BLOCK_RECORDS` in each."""
    n = len(batch.rows)
    parts = [(start, min(start + MAX_BLOCK_RECORDS, len(batch))) for start in range(n, len(batch), MAX_BLOCK_RECORDS)]
    parts += [(start, min(start + MAX_BLOCK_RECORDS, n)) for start in range(0, n, MAX_BLOCK_RECORDS)]
    return [_block(batch.part(start, stop)) for start, stop in parts]


def _block(batch: ColumnBatch) -> NewBlock:
    """Of rows or of events."""
    times = batch.rows.time_us if len(batch.rows) else np.array([event.time_us for event in batch.events])
    record_class = RecordClass.READING if len(batch.rows) else RecordClass.EVENT
    first_us, last_us = int(times.min()), int(times.max())
    return NewBlock(uuid.uuid4().hex, record_class, first_us, last_us, len(batch), wire.encode_columns(batch))
