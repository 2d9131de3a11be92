"""Giving up readings for space, in the transaction that needs it.

Constraints
- What is given up and the gap event about it are one transaction.
- Blocks that may be in flight to the central are taken last.
- The disk floor is soft: with no reading left to give up what comes is still taken, and given up next. Otherwise a
  disk that others have filled would stop a gateway whose link is up.
- While the central stays away the gap events do not pile up: one that nobody has read yet grows instead.
- A gap of readings whose clock is not known yet has that clock's times, and is mended with the rest of them.

Knows the tables; `retention_policy` knows the policy.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cloud_sync import wire
from cloud_sync.errors import OutboxFullError, WireFormatError
from cloud_sync.outbox.clock_tables import EpochSpan, add_span, epoch_span_of, read_epoch_spans
from cloud_sync.outbox.gap_log import record_gap
from cloud_sync.outbox.retention_policy import Bounds, EvictionStep, Loss, LossCause, Thinner, loss_event, next_step
from cloud_sync.outbox.sqlite_file import pragma, used_bytes
from cloud_sync.outbox.tables import (
    NewBlock,
    StoredBlock,
    count,
    insert_block,
    next_block,
    read_counters,
    remove_block,
)
from cloud_sync.records import Batch, RecordClass

logger = logging.getLogger(__name__)

_RUN_BLOCKS: Final = 32
_RUN_RECORDS: Final = 5_000
"""Thinned together into one block: the names of the series are then stored once. As large as a block may become."""
_EXPIRED_AT_ONCE: Final = 256
"""A box that was off for weeks gives up its backlog over some flushes, not in one long transaction."""


_DETAILS: Final = {
    (LossCause.THINNED, False): "the outbox was full: every second reading was given up",
    (LossCause.EVICTED, False): "readings were given up, because the outbox was full or they had become too old",
    (LossCause.THINNED, True): (
        "the disk's free space was at its floor (outbox.min_free_bytes): every second reading was given up"
    ),
    (LossCause.EVICTED, True): (
        "readings were given up, because the disk's free space was at its floor (outbox.min_free_bytes)"
    ),
}


class _GapKey(NamedTuple):
    """Each has a gap of its own. `epoch` is whose clock the times of the readings are; None: they are UTC."""

    cause: LossCause
    at_disk_floor: bool
    epoch: str | None

    @property
    def detail(self) -> str:
        return _DETAILS[self.cause, self.at_disk_floor]


@dataclass(slots=True)
class _Losses:
    """Of one append. `at_disk_floor` while the disk asks for space; `spans` are of clocks that are not known."""

    spans: Sequence[EpochSpan]
    at_disk_floor: bool = False
    found: dict[_GapKey, Loss] = field(default_factory=dict)

    def add(self, cause: LossCause, block_id: int, loss: Loss) -> None:
        span = epoch_span_of(self.spans, block_id)
        key = _GapKey(cause, self.at_disk_floor, None if span is None else span.epoch)
        known = self.found.get(key)
        self.found[key] = loss if known is None else known.plus(loss)


@dataclass(frozen=True, slots=True)
class _PendingGap:
    """A gap event that waits, and its loss. A commit that seemed to fail may have put another in its place."""

    block_id: int
    batch_id: str
    loss: Loss


@dataclass(slots=True)
class Eviction:
    """One per outbox. What it remembers of a transaction counts from `commit` on."""

    subject: str
    now_us: Callable[[], int]
    may_expire: Callable[[], bool] = lambda: True
    _thinner: Thinner = field(default_factory=Thinner)
    _pending: dict[_GapKey, _PendingGap] = field(default_factory=dict)
    _uncommitted: dict[_GapKey, _PendingGap] = field(default_factory=dict)

    def make_space(
        self,
        db: sqlite3.Connection,
        blocks: Sequence[NewBlock],
        bounds: Bounds,
        *,
        in_flight: Sequence[int],
        epoch: str | None,
    ) -> None:
        """Give up what must be, inside a transaction, so that these blocks fit. Raises OutboxFullError.

        `epoch` is whose clock gives the present time; None: it is UTC.
        """
        self._uncommitted = {}
        losses = _Losses(read_epoch_spans(db))
        self._expire(db, bounds, losses, in_flight)
        needed = sum(stored_bytes(db, block) for block in blocks)
        has_readings = any(block.record_class is RecordClass.READING for block in blocks)
        own = bounds.own_bytes(has_readings=has_readings) - needed
        target = bounds.bytes_for(has_readings=has_readings) - needed
        if used_bytes(db) > target:
            losses.at_disk_floor = target < own
            self._give_up(db, target - bounds.slack_bytes, losses, in_flight)
        if used_bytes(db) > own:
            losses.at_disk_floor = False
            self._give_up(db, own, losses, ())  # what may be in flight too, rather than stop
            if used_bytes(db) > own:
                raise OutboxFullError(
                    f"the outbox has reached its bound of {bounds.max_bytes} bytes, and only events are in it",
                    hint="restore the link to the central, or raise outbox.max_bytes",
                )
        for key, loss in losses.found.items():
            self._emit(db, key, loss, epoch)

    def commit(self) -> None:
        """Keep what the last `make_space` emitted: its transaction is durable."""
        for key, gap in self._uncommitted.items():
            if key not in self._pending or self._pending[key].loss.start_us != gap.loss.start_us:
                logger.warning("%s; `edge-agent status` counts them", key.detail)
        self._pending |= self._uncommitted
        self._uncommitted = {}

    def mark_read(self, block_id: int) -> None:
        """Leave this block as it is: it was read and may be sent, so a gap event in it must not change any more."""
        self._pending = {key: gap for key, gap in self._pending.items() if gap.block_id != block_id}

    def _expire(self, db: sqlite3.Connection, bounds: Bounds, losses: _Losses, in_flight: Sequence[int]) -> None:
        """The oldest readings, while they are beyond the age bound; never while the clock cannot be trusted."""
        limit_us = bounds.expired_before_us(self.now_us())
        if limit_us is None or not self.may_expire():
            return
        for _ in range(_EXPIRED_AT_ONCE):
            block = _oldest(db, in_flight)
            if block is None or block.last_time_us >= limit_us:
                return
            _drop(db, block, losses)

    def _give_up(self, db: sqlite3.Connection, goal: int, losses: _Losses, in_flight: Sequence[int]) -> None:
        """Until the file's used bytes are at the goal, or there is nothing left to give up."""
        thinned_bytes, whole_bytes = _reading_bytes(db)
        while used_bytes(db) > goal:
            step = next_step(thinned_bytes=thinned_bytes, whole_bytes=whole_bytes)
            if step is EvictionStep.THIN and (run := _run_to_thin(db, in_flight, losses.spans)):
                whole, thinned = self._thin(db, run, losses)
                whole_bytes, thinned_bytes = whole_bytes - whole, thinned_bytes + thinned
            elif step is not None and (oldest := _oldest(db, in_flight)) is not None:
                if oldest.id <= _thinned_to(db):
                    thinned_bytes -= oldest.body_bytes
                else:
                    whole_bytes -= oldest.body_bytes
                _drop(db, oldest, losses)
            else:
                break

    def _thin(self, db: sqlite3.Connection, run: Sequence[StoredBlock], losses: _Losses) -> tuple[int, int]:
        """Replace the run by one block of what is kept. Returns the bytes of the bodies before and after."""
        try:
            whole = _joined([wire.decode(block.body) for block in run])
        except WireFormatError:
            if len(run) > 1:
                return self._thin(db, run[:1], losses)
            _drop(db, _header(run[0]), losses)  # cannot be thinned, and would stop everything behind it
            return len(run[0].body), 0
        kept, loss = self._thinner.thin(whole)
        for block in run:
            remove_block(db, block.id)
        new = NewBlock.of(kept) if len(kept) else None
        if new is not None:
            insert_block(db, new, at_id=run[-1].id)
        db.execute("UPDATE counter SET value = ? WHERE name = 'thinned_to'", (run[-1].id,))
        if loss is not None:
            count(db, "thinned", loss.count or 0)
            losses.add(LossCause.THINNED, run[-1].id, loss)
        return sum(len(block.body) for block in run), len(new.body) if new is not None else 0

    def _emit(self, db: sqlite3.Connection, key: _GapKey, loss: Loss, epoch: str | None) -> None:
        now_us, at_id = self.now_us(), None
        record_gap(db, key.cause, loss, now_us=now_us, detail=key.detail)
        pending = self._pending.get(key)
        if pending is not None and remove_block(db, pending.block_id, batch_id=pending.batch_id):
            loss, at_id = pending.loss.plus(loss), pending.block_id
        else:
            count(db, "appended", 1)
        time_us = now_us if key.epoch == epoch else loss.end_us  # now is not known by that clock
        event = loss_event(key.cause, loss, subject=self.subject, now_us=time_us, detail=key.detail)
        block = NewBlock.of(Batch(self.subject, events=(event,)))
        block_id = insert_block(db, block, at_id=at_id)
        if key.epoch is not None and epoch_span_of(read_epoch_spans(db), block_id) is None:
            add_span(db, EpochSpan(block_id, block_id, key.epoch))
        self._uncommitted[key] = _PendingGap(block_id, block.batch_id, loss)


def stored_bytes(db: sqlite3.Connection, block: NewBlock) -> int:
    """Return what a block takes in the file, on the safe side: its body in whole pages, and a page for the header."""
    page = pragma(db, "page_size")
    return -(-len(block.body) // (page - 16)) * page + page


@dataclass(frozen=True, slots=True)
class _Header:
    id: int
    first_time_us: int
    last_time_us: int
    count: int
    body_bytes: int


def _header(block: StoredBlock) -> _Header:
    return _Header(block.id, block.first_time_us, block.last_time_us, block.count, len(block.body))


def _oldest(db: sqlite3.Connection, in_flight: Sequence[int]) -> _Header | None:
    besides = ", ".join("?" * len(in_flight))
    row = db.execute(
        "SELECT id, first_time_us, last_time_us, count, bytes FROM block"  # noqa: S608 (question marks)
        f" WHERE +class != 'event' AND id NOT IN ({besides}) ORDER BY id LIMIT 1",
        tuple(in_flight),
    ).fetchone()
    return None if row is None else _Header(*row)


def _thinned_to(db: sqlite3.Connection) -> int:
    return read_counters(db)["thinned_to"]


def _run_to_thin(db: sqlite3.Connection, in_flight: Sequence[int], spans: Sequence[EpochSpan]) -> list[StoredBlock]:
    """The oldest whole readings that make one block together: at least one, unless there are none."""
    run: list[StoredBlock] = []
    after_id, records = _thinned_to(db), 0
    while len(run) < _RUN_BLOCKS:
        block = next_block(db, after_id=after_id, record_class=RecordClass.READING, skip=in_flight)
        if block is None or (run and records + block.count > _RUN_RECORDS):
            break
        if run and epoch_span_of(spans, block.id) != epoch_span_of(spans, run[0].id):
            break  # of another clock
        run.append(block)
        after_id, records = block.id, records + block.count
    return run


def _joined(batches: Sequence[Batch]) -> Batch:
    rows = tuple(row for batch in batches for row in batch.rows)
    events = tuple(event for batch in batches for event in batch.events)
    return Batch(batches[0].gateway_id, rows, events)


def _drop(db: sqlite3.Connection, block: _Header, losses: _Losses) -> None:
    remove_block(db, block.id)
    count(db, "evicted", block.count)
    losses.add(LossCause.EVICTED, block.id, Loss(block.first_time_us, block.last_time_us, block.count))


def _reading_bytes(db: sqlite3.Connection) -> tuple[int, int]:
    """Bytes of bodies of readings: thinned, and whole."""
    row = db.execute(
        "SELECT coalesce(sum(bytes) FILTER (WHERE id <= :to), 0), coalesce(sum(bytes) FILTER (WHERE id > :to), 0)"
        " FROM block WHERE class = 'reading'",
        {"to": _thinned_to(db)},
    ).fetchone()
    return int(row[0]), int(row[1])
