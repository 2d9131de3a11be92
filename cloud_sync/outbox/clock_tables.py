"""Blocks whose times are not UTC yet: which they are, of which run of a clock, and how far that is off once known.

A run is one start of an agent on a clock that was not known to be right (an epoch). Its blocks wait in the outbox
like others, but are not offered; when it is known how far the clock was off, each is written again with the right
times and waits no longer. Nothing of them was sent before, so nothing is doubled.

Constraints
- Which blocks wait is recorded in the transaction that appends them; a block is written again and let go in one.
- What was decided about an epoch stays: a block of it that comes later (from a salvage) is mended alike.
- A box whose clock is always right has none of these tables. An older program does not know them, and sends what
  waits as it is: as it always did.

Every function works inside its caller's transaction or read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from cloud_sync import wire
from cloud_sync.columns import RowColumns
from cloud_sync.errors import WireFormatError
from cloud_sync.outbox.tables import Depth, StoredBlock, checksum, find_block, read_depth
from cloud_sync.timescale import Timescale, batch_in_utc

# Made at first use; the file's schema number is for what every program must know.
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS clock_epoch (
    id TEXT PRIMARY KEY, boot_id TEXT NOT NULL, offset_us INTEGER NOT NULL, began_us INTEGER NOT NULL,
    not_before_us INTEGER NOT NULL, by_us INTEGER, quality_cap REAL
);
CREATE TABLE IF NOT EXISTS clock_span (first_id INTEGER PRIMARY KEY, last_id INTEGER NOT NULL, epoch TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS clock_known (one INTEGER PRIMARY KEY, boot_id TEXT NOT NULL, offset_us INTEGER NOT NULL);
"""
EPOCH_COLUMNS: Final = "id, boot_id, offset_us, began_us, not_before_us, by_us, quality_cap"
SPAN_COLUMNS: Final = "first_id, last_id, epoch"


@dataclass(frozen=True, slots=True)
class Epoch:
    """One run of an agent on a clock that was not known to be right.

    Its times are `offset_us` later than the time since the boot `boot_id`; the first possible one is `began_us`. In
    UTC it was not before `not_before_us`. UTC is `by_us` later than its times; None while nobody knows.
    """

    id: str
    boot_id: str
    offset_us: int
    began_us: int
    not_before_us: int
    by_us: int | None = None
    quality_cap: float | None = None


@dataclass(frozen=True, slots=True)
class EpochSpan:
    """Blocks with the ids `first_id` to `last_id` are of this epoch."""

    first_id: int
    last_id: int
    epoch: str


@dataclass(frozen=True, slots=True)
class ClockRecords:
    """What the file knows of clocks. `known` is the boot whose clock was right last, and UTC minus time since it."""

    epochs: tuple[Epoch, ...] = ()
    spans: tuple[EpochSpan, ...] = ()
    known: tuple[str, int] | None = None


def read_clock_records(db: sqlite3.Connection) -> ClockRecords:
    """Return all of it; also over a read-only connection."""
    if not has_tables(db):
        return ClockRecords()
    epochs = db.execute(f"SELECT {EPOCH_COLUMNS} FROM clock_epoch ORDER BY rowid")  # noqa: S608 (constants)
    known: tuple[str, int] | None = db.execute("SELECT boot_id, offset_us FROM clock_known").fetchone()
    return ClockRecords(tuple(Epoch(*row) for row in epochs), read_epoch_spans(db), known)


def has_tables(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'clock_span'").fetchone()[0])


def read_epoch_spans(db: sqlite3.Connection) -> tuple[EpochSpan, ...]:
    """Return the spans in order of their ids."""
    if not has_tables(db):
        return ()
    return tuple(EpochSpan(*row) for row in db.execute(f"SELECT {SPAN_COLUMNS} FROM clock_span ORDER BY first_id"))  # noqa: S608


def epoch_span_of(spans: Sequence[EpochSpan], block_id: int) -> EpochSpan | None:
    """Return the span this block is in, if its times are not UTC yet."""
    return next((span for span in spans if span.first_id <= block_id <= span.last_id), None)


def hold(db: sqlite3.Connection, epoch: Epoch, first_id: int, last_id: int) -> None:
    """Record that these blocks, just inserted, are of the epoch."""
    make_tables(db)
    put_epoch(db, epoch)
    add_span(db, EpochSpan(first_id, last_id, epoch.id))


def add_span(db: sqlite3.Connection, span: EpochSpan) -> None:
    """Record blocks of an epoch that is known; what follows others of it becomes one span with them."""
    grown = db.execute(
        "UPDATE clock_span SET last_id = ? WHERE last_id = ? AND epoch = ?",
        (span.last_id, span.first_id - 1, span.epoch),
    )
    if grown.rowcount == 0:
        put_span(db, span)


def make_tables(db: sqlite3.Connection) -> None:
    for statement in filter(str.strip, _TABLES.split(";")):
        db.execute(statement)


def put_epoch(db: sqlite3.Connection, epoch: Epoch) -> None:
    """Put an epoch in as it is; one that is known stays, with what was decided about it."""
    values = (epoch.id, epoch.boot_id, epoch.offset_us, epoch.began_us, epoch.not_before_us, epoch.by_us)
    db.execute("INSERT OR IGNORE INTO clock_epoch VALUES (?, ?, ?, ?, ?, ?, ?)", (*values, epoch.quality_cap))


def put_span(db: sqlite3.Connection, span: EpochSpan) -> None:
    db.execute("INSERT OR REPLACE INTO clock_span VALUES (?, ?, ?)", (span.first_id, span.last_id, span.epoch))


def record_known_clock(db: sqlite3.Connection, boot_id: str, offset_us: int) -> None:
    """Record that the clock of this boot is right: UTC is `offset_us` later than the time since it."""
    make_tables(db)
    db.execute("INSERT OR REPLACE INTO clock_known VALUES (1, ?, ?)", (boot_id, offset_us))


def cap_newest_time(db: sqlite3.Connection, not_after_us: int) -> None:
    """Record that no record is newer than this: a clock that was ahead must not make a right one impossible."""
    db.execute("UPDATE counter SET value = min(value, ?) WHERE name = 'last_append_us'", (not_after_us,))


def decide(db: sqlite3.Connection, epochs: Iterable[Epoch]) -> None:
    """Record how far these epochs were off, once and for all."""
    make_tables(db)
    for epoch in epochs:
        put_epoch(db, epoch)
        db.execute(
            "UPDATE clock_epoch SET by_us = ?, quality_cap = ? WHERE id = ? AND by_us IS NULL",
            (epoch.by_us, epoch.quality_cap, epoch.id),
        )


def last_times(db: sqlite3.Connection) -> dict[str, int]:
    """Return the last time in any block of each epoch that waits, on its own clock."""
    if not has_tables(db):
        return {}
    found = db.execute(
        "SELECT epoch, max(last_time_us) FROM clock_span JOIN block ON id BETWEEN first_id AND last_id GROUP BY epoch"
    )
    return dict(found.fetchall())


def depth_in_utc(db: sqlite3.Connection) -> Depth:
    """Return what waits, from any connection; without its oldest and newest time while records wait for a clock."""
    depth = read_depth(db)
    return replace(depth, oldest_time_us=None, newest_time_us=None) if held_records(db) else depth


def held_records(db: sqlite3.Connection) -> int:
    """Return how many records wait for a right clock; also over a read-only connection."""
    if not has_tables(db):
        return 0
    found = db.execute(
        "SELECT coalesce(sum(count), 0) FROM clock_span JOIN block ON id BETWEEN first_id AND last_id"
    ).fetchone()
    return int(found[0])


def is_to_mend(db: sqlite3.Connection) -> bool:
    """Return whether blocks wait that are of a decided epoch."""
    found = "SELECT EXISTS (SELECT 1 FROM clock_span JOIN clock_epoch ON id = epoch WHERE by_us IS NOT NULL)"
    return has_tables(db) and bool(db.execute(found).fetchone()[0])


def mend_some(db: sqlite3.Connection, most_blocks: int, record_rows: Callable[[RowColumns], None] | None) -> None:
    """Give the next blocks of decided epochs their right times and let them go.

    `record_rows` takes their rows, if anybody asks.
    """
    records = read_clock_records(db)
    decided = {epoch.id: epoch for epoch in records.epochs if epoch.by_us is not None}
    left = most_blocks
    for span in records.spans:
        epoch = decided.get(span.epoch)
        if epoch is None or left <= 0:
            continue
        last_id = min(span.last_id, span.first_id + left - 1)
        for block_id in _blocks_in(db, span.first_id, last_id):
            _mend(db, block_id, epoch, record_rows)
        db.execute("DELETE FROM clock_span WHERE first_id = ?", (span.first_id,))
        if last_id < span.last_id:
            put_span(db, EpochSpan(last_id + 1, span.last_id, span.epoch))
        left -= last_id - span.first_id + 1


def _blocks_in(db: sqlite3.Connection, first_id: int, last_id: int) -> list[int]:
    return [row[0] for row in db.execute("SELECT id FROM block WHERE id BETWEEN ? AND ?", (first_id, last_id))]


def _mend(
    db: sqlite3.Connection, block_id: int, epoch: Epoch, record_rows: Callable[[RowColumns], None] | None
) -> None:
    """What cannot be read is left as it is: whoever offers it finds it damaged."""
    block = find_block(db, block_id)
    if block is None or not block.is_whole:
        return
    if epoch.by_us == 0 and epoch.quality_cap is None and record_rows is None:
        _count_as_newest(db, block.last_time_us)
        return
    try:
        batch = wire.decode_columns(block.body)
        scale = Timescale(epoch.began_us).known(epoch.by_us or 0)
        cap = 1.0 if epoch.quality_cap is None else epoch.quality_cap
        right = batch_in_utc(batch, scale, quality_cap=cap)
        body = wire.encode_columns(right)
    except WireFormatError:
        return
    times = right.rows.time_us.tolist() + [event.time_us for event in right.events]
    _write(db, block, min(times), max(times), body)
    _count_as_newest(db, max(times))
    if record_rows is not None:
        record_rows(right.rows)


def _write(db: sqlite3.Connection, block: StoredBlock, first_us: int, last_us: int, body: bytes) -> None:
    header: tuple[Any, ...] = (block.batch_id, block.record_class, first_us, last_us, block.count)
    db.execute(
        "UPDATE block SET first_time_us = ?, last_time_us = ?, bytes = ?, crc32 = ? WHERE id = ?",
        (first_us, last_us, len(body), checksum(header, body), block.id),
    )
    db.execute("UPDATE body SET content = ? WHERE block_id = ?", (body, block.id))


def _count_as_newest(db: sqlite3.Connection, time_us: int) -> None:
    db.execute("UPDATE counter SET value = max(value, ?) WHERE name = 'last_append_us'", (time_us,))
