"""What a damaged file knew of clocks: taken over before its blocks, so that none is sent with a wrong time.

Constraints
- What cannot be read or cannot be true is left out: these tables have no checksum.
- Of what was decided in either file, the decision stays.
"""

from __future__ import annotations

import sqlite3

from cloud_sync.outbox_clock import Epoch, Span, decide, has_tables, make_tables, put_epoch, put_span
from cloud_sync.outbox_damaged import DamagedFile


def take_over_clocks(db: sqlite3.Connection, file: DamagedFile, *, highest_id: int) -> None:
    """Inside a transaction: which of the file's blocks wait for a clock, and what is known of those clocks."""
    rows = file.notes("clock_span", "first_id, last_id, epoch")
    spans = [span for row in rows if (span := _span(row, highest_id)) is not None]
    if not spans and not has_tables(db):
        return
    make_tables(db)
    columns = "id, boot_id, offset_us, began_us, not_before_us, by_us, quality_cap"
    epochs = [epoch for row in file.notes("clock_epoch", columns) if (epoch := _epoch(row)) is not None]
    for epoch in epochs:
        put_epoch(db, epoch)
    decide(db, [epoch for epoch in epochs if epoch.by_us is not None])
    for span in spans:
        if db.execute("SELECT count(*) FROM clock_span WHERE first_id = ?", (span.first_id,)).fetchone()[0] == 0:
            put_span(db, span)


def _span(row: tuple[object, ...], highest_id: int) -> Span | None:
    """Not beyond the file's own ids: what is appended from now on is not of its clocks."""
    first_id, last_id, epoch = row
    if not (isinstance(first_id, int) and isinstance(last_id, int) and isinstance(epoch, str)):
        return None
    last_id = min(last_id, highest_id)
    return Span(first_id, last_id, epoch) if 0 < first_id <= last_id else None


def _epoch(row: tuple[object, ...]) -> Epoch | None:
    epoch_id, boot_id, offset_us, began_us, not_before_us, by_us, quality_cap = row
    if not (isinstance(epoch_id, str) and isinstance(boot_id, str)):
        return None
    if not (isinstance(offset_us, int) and isinstance(began_us, int) and isinstance(not_before_us, int)):
        return None
    if not isinstance(by_us, int | None) or not isinstance(quality_cap, float | None):
        return None
    return Epoch(epoch_id, boot_id, offset_us, began_us, not_before_us, by_us, quality_cap)
