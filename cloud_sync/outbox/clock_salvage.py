"""What a damaged file knew of clocks: taken over before its blocks, so that none is sent with a wrong time.

Constraints
- What cannot be read or cannot be true is left out: these tables have no checksum.
- Of what was decided in either file, the decision stays.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from cloud_sync.outbox.clock_tables import (
    EPOCH_COLUMNS,
    SPAN_COLUMNS,
    ClockRecords,
    Epoch,
    EpochSpan,
    decide,
    epoch_span_of,
    has_tables,
    make_tables,
    put_epoch,
    put_span,
)
from cloud_sync.outbox.damaged_file import DamagedFile


def take_over_clocks(db: sqlite3.Connection, file: DamagedFile, *, highest_id: int) -> None:
    """Take over which of the file's blocks wait for a clock, and what is known of it, inside a transaction."""
    records = readable_clock_records(file, highest_id=highest_id)
    if not records.spans and not has_tables(db):
        return
    _put_epochs(db, records)
    for span in records.spans:
        if db.execute("SELECT count(*) FROM clock_span WHERE first_id = ?", (span.first_id,)).fetchone()[0] == 0:
            put_span(db, span)


def put_held(db: sqlite3.Connection, records: ClockRecords, new_ids: Mapping[int, int]) -> None:
    """Let blocks of the file that were put in under new ids wait there for the same clocks, inside a transaction."""
    held = {
        new_id: span for old_id, new_id in new_ids.items() if (span := epoch_span_of(records.spans, old_id)) is not None
    }
    if held:
        _put_epochs(db, records)
    for new_id, span in held.items():
        put_span(db, EpochSpan(new_id, new_id, span.epoch))


def readable_clock_records(file: DamagedFile, *, highest_id: int) -> ClockRecords:
    """Return what can be read of what the file knew."""
    rows = file.rows_of("clock_span", SPAN_COLUMNS)
    spans = [span for row in rows if (span := _span(row, highest_id)) is not None]
    epochs = [epoch for row in file.rows_of("clock_epoch", EPOCH_COLUMNS) if (epoch := _epoch(row)) is not None]
    return ClockRecords(tuple(epochs), tuple(spans))


def _put_epochs(db: sqlite3.Connection, records: ClockRecords) -> None:
    make_tables(db)
    for epoch in records.epochs:
        put_epoch(db, epoch)
    decide(db, [epoch for epoch in records.epochs if epoch.by_us is not None])


def _span(row: tuple[object, ...], highest_id: int) -> EpochSpan | None:
    """Not beyond the file's own ids: what is appended from now on is not of its clocks."""
    first_id, last_id, epoch = row
    if not (isinstance(first_id, int) and isinstance(last_id, int) and isinstance(epoch, str)):
        return None
    last_id = min(last_id, highest_id)
    return EpochSpan(first_id, last_id, epoch) if 0 < first_id <= last_id else None


def _epoch(row: tuple[object, ...]) -> Epoch | None:
    epoch_id, boot_id, offset_us, began_us, not_before_us, by_us, quality_cap = row
    if not (isinstance(epoch_id, str) and isinstance(boot_id, str)):
        return None
    if not (isinstance(offset_us, int) and isinstance(began_us, int) and isinstance(not_before_us, int)):
        return None
    if not isinstance(by_us, int | None) or not isinstance(quality_cap, float | None):
        return None
    return Epoch(epoch_id, boot_id, offset_us, began_us, not_before_us, by_us, quality_cap)
