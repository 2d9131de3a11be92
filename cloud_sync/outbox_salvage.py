"""A damaged outbox file that was put aside: everything in it that is provably whole taken over.

Constraints
- The damaged file is never written to.
- A block is taken over only when its checksum holds. It keeps its id, so that the order stays.
- The ledger of what was acknowledged is taken over from its newest hour back to the first that cannot be read; before
  that it begins later, and says so.
- What is lost becomes a gap event in the new file. Nothing here is silent.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_sync import wire
from cloud_sync.digest_ledger import readable_ledger, take_over
from cloud_sync.gap_ledger import OwnGap, insert_gaps, note_gap, own_gaps
from cloud_sync.outbox_blocks import (
    INSERT_LETTER,
    NewBlock,
    StoredBlock,
    count,
    find_block,
    find_header,
    insert_block,
    next_block,
    read_counters,
)
from cloud_sync.outbox_file import in_transaction
from cloud_sync.records import Batch, RecordClass
from cloud_sync.retention import Loss, LossCause, gap_event
from cloud_sync.sqlite_errors import UNREADABLE, read_text

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 64  # blocks in a transaction: a megabyte or so
_MOST_PROBED: Final = 1_000_000
_LETTER_TYPES: Final = [str, int, str, str, int, bytes]


@dataclass(slots=True)
class Salvage:
    """What came over. `lost_records` are those whose header could be read; `has_hole` says that there may be more."""

    blocks: int = 0
    records: int = 0
    letters: int = 0
    lost_blocks: int = 0
    lost_records: int = 0
    has_hole: bool = False
    start_us: int | None = None
    end_us: int | None = None
    ledger_hours: int = 0
    lost_ledger_hours: int = 0
    """Of single sensors, as far as they can be counted."""
    has_ledger_hole: bool = False

    def note_lost(self, block: StoredBlock) -> None:
        self.lost_blocks += 1
        self.lost_records += max(0, block.count)
        self.start_us = block.first_time_us if self.start_us is None else min(self.start_us, block.first_time_us)
        self.end_us = block.last_time_us if self.end_us is None else max(self.end_us, block.last_time_us)


def salvage(damaged: Path, db: sqlite3.Connection, *, subject: str, now_us: int) -> Salvage:
    """Copy every whole block, the dead letters and the counters into the new file, and say there what is missing."""
    done = Salvage()
    with contextlib.closing(_read_only(damaged)) as old:
        _copy_counters(old, db)
        _copy_blocks(old, db, done)
        _copy_letters(old, db, done)
        _copy_gaps(old, db)
        _copy_ledger(old, db, done)
    in_transaction(db, lambda db: _say(db, done, subject=subject, now_us=now_us, name=damaged.name))
    logger.error(
        "the outbox was damaged and is kept as %s; %d blocks (%d records) and %d dead letters were saved; lost: %s",
        damaged.name, done.blocks, done.records, done.letters, _lost_in_words(done),
    )  # fmt: skip
    if done.has_ledger_hole:
        logger.error(
            "of the ledger of acknowledged rows %d sensor hours were saved, at least %d are lost; it begins later now",
            done.ledger_hours, done.lost_ledger_hours,
        )  # fmt: skip
    return done


def _read_only(damaged: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{damaged.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    connection.text_factory = read_text
    return connection


def _copy_counters(old: sqlite3.Connection, db: sqlite3.Connection) -> None:
    counters: dict[str, int] = {}
    with contextlib.suppress(*UNREADABLE):
        for name, value in old.execute("SELECT name, value FROM counter WHERE typeof(value) = 'integer'"):
            counters[str(name)] = value

    def work(db: sqlite3.Connection) -> None:
        for pair in counters.items():
            db.execute("INSERT OR REPLACE INTO counter (name, value) VALUES (?, ?)", pair)

    in_transaction(db, work)


def _copy_blocks(old: sqlite3.Connection, db: sqlite3.Connection, done: Salvage) -> None:
    waiting: list[StoredBlock] = []
    for block in _readable_blocks(old, done):
        if not block.is_whole or block.record_class not in {c.value for c in RecordClass}:
            done.note_lost(block)
            continue
        waiting.append(block)
        if len(waiting) >= _AT_ONCE:
            _store(db, waiting, done)
    _store(db, waiting, done)


def _store(db: sqlite3.Connection, blocks: list[StoredBlock], done: Salvage) -> None:
    def work(db: sqlite3.Connection) -> None:
        for b in blocks:
            record_class = RecordClass(b.record_class)
            new = NewBlock(b.batch_id, record_class, b.first_time_us, b.last_time_us, b.count, b.body)
            insert_block(db, new, at_id=b.id)
        if blocks:
            highest = max(block.id for block in blocks)
            db.execute("UPDATE counter SET value = max(value, ?) WHERE name = 'last_id'", (highest,))

    in_transaction(db, work)
    done.blocks += len(blocks)
    done.records += sum(block.count for block in blocks)
    blocks.clear()


def _readable_blocks(old: sqlite3.Connection, done: Salvage) -> Iterator[StoredBlock]:
    """Forward to the first page that cannot be read; then id by id, because each may lie on another page."""
    last = 0
    try:
        while (block := next_block(old, after_id=last)) is not None:
            yield block
            last = block.id
    except UNREADABLE:
        highest = _highest_id(old)
        done.has_hole = highest == 0
    else:
        return
    for block_id in range(last + 1, min(highest, last + _MOST_PROBED) + 1):
        found = _probed(old, block_id, done)
        if found is not None:
            yield found


def _probed(old: sqlite3.Connection, block_id: int, done: Salvage) -> StoredBlock | None:
    """The block; without its body, when only its header can be read."""
    with contextlib.suppress(*UNREADABLE):
        return find_block(old, block_id)
    try:
        return find_header(old, block_id)
    except UNREADABLE:
        done.has_hole = True
        return None


def _highest_id(old: sqlite3.Connection) -> int:
    """From the newest block, or from what was noted; 0 when neither can be read."""
    highest = 0
    for statement in (
        "SELECT value FROM counter WHERE name = 'last_id'",
        "SELECT seq FROM sqlite_sequence WHERE name = 'block'",
        "SELECT max(id) FROM block",
    ):
        with contextlib.suppress(*UNREADABLE):
            row = old.execute(statement).fetchone()
            highest = max(highest, int(row[0])) if row and isinstance(row[0], int) else highest
    return highest


def _copy_letters(old: sqlite3.Connection, db: sqlite3.Connection, done: Salvage) -> None:
    letters = []
    with contextlib.suppress(*UNREADABLE):
        columns = "batch_id, position, code, detail, refused_at_us, content"
        for row in old.execute(f"SELECT {columns} FROM dead_letter ORDER BY id"):  # noqa: S608 (constants)
            if list(map(type, row)) == _LETTER_TYPES:
                letters.append(row)
            if len(letters) >= _AT_ONCE:
                _store_letters(db, letters, done)
    _store_letters(db, letters, done)


def _store_letters(db: sqlite3.Connection, letters: list[tuple[object, ...]], done: Salvage) -> None:
    def work(db: sqlite3.Connection) -> None:
        db.executemany(INSERT_LETTER, letters)

    in_transaction(db, work)
    done.letters += len(letters)
    letters.clear()


def _say(db: sqlite3.Connection, done: Salvage, *, subject: str, now_us: int, name: str) -> None:
    count(db, "ledger_lost", done.lost_ledger_hours)
    if not done.lost_blocks and not done.has_hole:
        return
    _count_the_hole(db, done)
    known = None if done.has_hole else done.lost_records
    loss = Loss(
        now_us if done.start_us is None else done.start_us, now_us if done.end_us is None else done.end_us, known
    )
    detail = f"the outbox file was damaged ({name}); saved {done.records} records, lost {_lost_in_words(done)}"
    tell_damage(db, loss, subject=subject, now_us=now_us, detail=detail)
    count(db, "damaged", done.lost_records)


def tell_damage(
    db: sqlite3.Connection,
    loss: Loss,
    *,
    subject: str,
    now_us: int,
    detail: str = "stored bytes no longer matched their checksum; they are kept as a dead letter",
) -> None:
    """Inside a transaction: the gap for the central, and for our own ledger of gaps."""
    event = gap_event(LossCause.DAMAGED, loss, subject=subject, now_us=now_us, detail=detail)
    body = wire.encode(Batch(subject, events=(event,)))
    insert_block(db, NewBlock(uuid.uuid4().hex, RecordClass.EVENT, now_us, now_us, 1, body))
    count(db, "appended", 1)
    note_gap(db, LossCause.DAMAGED, loss, now_us=now_us, detail=detail)


def loss_of_block(block: StoredBlock, *, now_us: int) -> Loss:
    """What a damaged block held; its header may be what is damaged."""
    if 0 < block.first_time_us <= block.last_time_us <= now_us:
        return Loss(block.first_time_us, block.last_time_us, max(0, block.count))
    return Loss(now_us, now_us, None)


def _copy_gaps(old: sqlite3.Connection, db: sqlite3.Connection) -> None:
    gaps: list[OwnGap] = []
    with contextlib.suppress(*UNREADABLE, TypeError):
        gaps = own_gaps(old)
    in_transaction(db, lambda db: insert_gaps(db, gaps))


def _copy_ledger(old: sqlite3.Connection, db: sqlite3.Connection, done: Salvage) -> None:
    found = readable_ledger(old)
    in_transaction(db, lambda db: take_over(db, found))
    done.ledger_hours, done.lost_ledger_hours = len(found.hours), found.lost_hours
    done.has_ledger_hole = not found.is_whole


def _count_the_hole(db: sqlite3.Connection, done: Salvage) -> None:
    """What must have waited, by the totals that came over, and is not here."""
    totals = read_counters(db)
    gone = ("accepted", "duplicates", "refused", "thinned", "evicted", "damaged")
    missing = totals["appended"] + totals["requeued"] - sum(totals[name] for name in gone) - done.records
    if totals["appended"] and missing >= done.lost_records:
        done.lost_records, done.has_hole = missing, False


def _lost_in_words(done: Salvage) -> str:
    if done.has_hole:
        return f"{done.lost_records} records for certain and an unknown number besides"
    return f"{done.lost_records} records"
