"""The blocks of an open outbox whose times are not UTC yet, passed over until they are mended (`clock_tables`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from cloud_sync.columns import RowColumns
from cloud_sync.outbox.clock_tables import (
    ClockRecords,
    Epoch,
    EpochSpan,
    cap_newest_time,
    decide,
    epoch_span_of,
    held_records,
    is_to_mend,
    last_times,
    mend_some,
    read_clock_records,
    read_epoch_spans,
    record_known_clock,
)
from cloud_sync.outbox.sqlite_file import Work
from cloud_sync.outbox.tables import NewBlock, StoredBlock, count, insert_block, next_block
from cloud_sync.records import RecordClass

T = TypeVar("T")


class FileAccess(Protocol):
    """What is needed of an outbox: to read its file, and a transaction that a full disk does not stop."""

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T: ...

    def change(self, work: Work) -> None: ...


class HeldBlocks:
    """Of one outbox. Everything raises OutboxError when the file cannot be used."""

    def __init__(self, file: FileAccess) -> None:
        self._file = file
        self._spans: tuple[EpochSpan, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Return whether there are none, as of the last `refresh`."""
        return not self._spans

    def refresh(self, db: sqlite3.Connection) -> None:
        """Read which blocks they are."""
        self._spans = read_epoch_spans(db)

    def next(self, db: sqlite3.Connection, after_id: int, record_class: RecordClass | None) -> StoredBlock | None:
        """Return the oldest block behind `after_id` whose times are UTC."""
        self.refresh(db)  # again: others may put blocks in
        while (found := next_block(db, after_id=after_id, record_class=record_class)) is not None:
            span = epoch_span_of(self._spans, found.id)
            if span is None:
                return found
            after_id = span.last_id
        return None

    def clock_records(self) -> ClockRecords:
        """Return what is known of the clocks by which waiting blocks were stamped."""
        return self._file.read(read_clock_records)

    def records(self) -> int:
        """Return how many records wait for a right clock."""
        return self._file.read(held_records)

    def last_times(self) -> dict[str, int]:
        """Return the last time that waits of each epoch, on its own clock, UTC unknown."""
        return self._file.read(last_times)

    def decide(
        self,
        epochs: Sequence[Epoch],
        *,
        known: tuple[str, int] | None = None,
        events: Sequence[NewBlock] = (),
        not_after_us: int | None = None,
    ) -> None:
        """Decide how far these epochs were off, record the boot whose clock is right, and emit `events` about it.

        No record was made after `not_after_us`, whatever a clock gave that was ahead.
        """

        def work(db: sqlite3.Connection) -> None:
            decide(db, epochs)
            if known is not None:
                record_known_clock(db, *known)
            if not_after_us is not None:
                cap_newest_time(db, not_after_us)
            for block in events:
                insert_block(db, block)
            count(db, "appended", len(events))

        self._file.change(work)

    def mend(self, most_blocks: int, *, record_rows: Callable[[RowColumns], None] | None = None) -> bool:
        """Give the next blocks of decided epochs their right times, in one transaction. False when none is left."""
        mended: list[RowColumns] = []

        def work(db: sqlite3.Connection) -> None:
            mended.clear()
            mend_some(db, most_blocks, None if record_rows is None else mended.append)

        if not self._file.read(is_to_mend):
            return False
        self._file.change(work)
        if record_rows is not None:  # they are durable now
            for rows in mended:
                record_rows(rows)
        return True
