"""Damaged outbox files that were put aside: everything in them that is provably whole taken over, step by step.

Constraints
- A step is one transaction of the new file, and notes in it how far it came: cut short anywhere, the salvage goes on
  there, and nothing comes over twice.
- Until it is done the new file takes records and is emptied as ever; its ids lie behind those of the damaged file.
- A block is taken over only when its checksum holds. It keeps its id, so that the order stays.
- The ledger of what was acknowledged is taken over from its newest hour back to the first that cannot be read; before
  that it begins later, and says so.
- What is lost becomes one gap event in the new file, when everything was looked at. Nothing here is silent.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from cloud_sync.digest_ledger import take_over
from cloud_sync.gap_ledger import merge_gaps, note_gap
from cloud_sync.outbox_blocks import (
    DeadLetter,
    NewBlock,
    StoredBlock,
    count,
    insert_block,
    read_counters,
)
from cloud_sync.outbox_damaged import BlockWindow, DamagedFile, LetterWindow
from cloud_sync.outbox_file import in_transaction
from cloud_sync.records import Batch, RecordClass
from cloud_sync.retention import Loss, LossCause, gap_event

logger = logging.getLogger(__name__)

_MOST_PROBED: Final = 1_000_000
_MOST_RANGES: Final = 1_000
_HIGHEST_TOTAL: Final = 2**53
"""Beyond it a total or an id was damaged, and would stop whoever counts on."""
_CLASSES: Final = frozenset(c.value for c in RecordClass)

# Made at first use; an older program leaves the file put aside alone, and `outbox recover` reads it in.
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS salvage (name TEXT PRIMARY KEY, progress TEXT NOT NULL, crc32 INTEGER NOT NULL) WITHOUT ROWID
"""


@dataclass(slots=True)
class Salvage:
    """How far a file is read in. `lost_records` are those whose header could be read; `has_hole`: there may be more."""

    highest_id: int = 0
    highest_letter_id: int = 0
    blocks_to: int = 0
    letters_to: int = 0
    probed: int = 0
    """Ids in a row at which nothing was found."""
    has_blocks: bool = False
    """All of them were looked at; so for the letters."""
    has_letters: bool = False
    is_told: bool = False
    blocks: int = 0
    records: int = 0
    there: int = 0
    letters: int = 0
    lost_letters: int = 0
    lost_blocks: int = 0
    lost_records: int = 0
    has_hole: bool = False
    start_us: int | None = None
    end_us: int | None = None
    ledger_hours: int = 0
    lost_ledger_hours: int = 0
    """Of single sensors, as far as they can be counted."""
    has_ledger_hole: bool = False
    lost_ids: list[list[int]] = field(default_factory=list)
    """First and last of each run of ids that may be readable another day."""

    @property
    def is_copied(self) -> bool:
        return self.has_blocks and self.has_letters

    def note_lost(self, block: StoredBlock) -> None:
        self.lost_blocks += 1
        self.lost_records += max(0, block.count)
        self.start_us = block.first_time_us if self.start_us is None else min(self.start_us, block.first_time_us)
        self.end_us = block.last_time_us if self.end_us is None else max(self.end_us, block.last_time_us)
        self.note_unread(block.id)

    def note_window(self, window: BlockWindow) -> None:
        """It was looked at; what it holds is counted elsewhere."""
        self.blocks_to = window.last_id
        self.probed = 0 if window.found or window.headers else self.probed + len(window.unreadable)
        gives_up = self.probed >= _MOST_PROBED
        self.has_hole |= bool(window.unreadable) or window.has_hole or gives_up
        self.has_blocks = window.is_last or window.has_hole or gives_up

    def note_unread(self, block_id: int) -> None:
        if self.lost_ids and self.lost_ids[-1][1] >= block_id - 1:
            self.lost_ids[-1][1] = max(block_id, self.lost_ids[-1][1])
        elif len(self.lost_ids) < _MOST_RANGES:
            self.lost_ids.append([block_id, block_id])
        else:
            self.lost_ids[-1][1] = block_id


def begin(db: sqlite3.Connection, files: Sequence[DamagedFile]) -> None:
    """Take over the books of files put aside that are not begun yet: totals, gaps, ledger, and how far each came.

    `files` are the newest first: each was the outbox after the next one was put aside. Before anything is appended:
    the ids of what comes then lie behind theirs. One transaction.
    """
    todo = [file for file in files if _row(db, file.path.name) is None]
    if todo:
        in_transaction(db, lambda db: _begin(db, todo))


def _begin(db: sqlite3.Connection, files: Sequence[DamagedFile]) -> None:
    db.execute(_TABLE)
    has_ledger = False
    for file in files:
        _keep_notes(db, file)
        if _row(db, file.path.name) is not None:
            continue  # its books came with those of the file that replaced it
        state = Salvage(file.highest_id(), file.highest_letter_id())
        _merge_counters(db, file.counters(), state.highest_id)
        _reserve_letters(db, state.highest_letter_id)
        merge_gaps(db, file.gaps())
        if not has_ledger:
            has_ledger = _take_ledger(db, file, state)
        keep_progress(db, file.path.name, state)


def _keep_notes(db: sqlite3.Connection, file: DamagedFile) -> None:
    """What this file, while it was the outbox, had noted of those before it."""
    for name, progress, crc32 in file.notes("salvage", "name, progress, crc32"):
        if name == file.path.name:
            continue  # of one that had this name before, and was removed
        if isinstance(progress, str) and zlib.crc32(progress.encode()) == crc32:
            db.execute("INSERT OR IGNORE INTO salvage VALUES (?, ?, ?)", (name, progress, crc32))


def _merge_counters(db: sqlite3.Connection, counters: dict[str, int], highest_id: int) -> None:
    """The larger counts: the totals of a file that was put aside earlier are in those of the one after it."""
    for pair in [*counters.items(), ("last_id", highest_id)]:
        if 0 <= pair[1] < _HIGHEST_TOTAL:
            db.execute(
                "INSERT INTO counter (name, value) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
                pair,
            )


def _reserve_letters(db: sqlite3.Connection, highest_id: int) -> None:
    """So that letters written meanwhile take none of the ids that are still to come over."""
    if not 0 < highest_id < _HIGHEST_TOTAL:
        return
    db.execute("DELETE FROM sqlite_sequence WHERE name = 'dead_letter' AND seq < ?", (highest_id,))
    db.execute(
        "INSERT INTO sqlite_sequence (name, seq) SELECT 'dead_letter', ?"
        " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'dead_letter')",
        (highest_id,),
    )


def _take_ledger(db: sqlite3.Connection, file: DamagedFile, state: Salvage) -> bool:
    """False when it surely had none."""
    found = file.ledger()
    take_over(db, found)
    count(db, "ledger_lost", found.lost_hours)
    state.ledger_hours, state.lost_ledger_hours = len(found.hours), found.lost_hours
    state.has_ledger_hole = not found.is_whole
    return found.since_us is not None or not found.is_whole


def advance(db: sqlite3.Connection, file: DamagedFile, *, most_bytes: int) -> bool:
    """Take over the next blocks (at least one, of `most_bytes` about) or letters, in one transaction.

    False when all of the file was looked at.
    """
    state = progress_of(db, file.path.name)
    if state is None or state.is_copied:
        return False
    if not state.has_blocks:
        window = file.blocks_after(state.blocks_to, highest_id=state.highest_id, most_bytes=most_bytes)
        in_transaction(db, lambda db: _store_blocks(db, window, state, file.path.name))
    else:
        letters = file.letters_after(state.letters_to, highest_id=state.highest_letter_id)
        in_transaction(db, lambda db: _store_letters(db, letters, state, file.path.name))
    return True


def abandon(db: sqlite3.Connection, kept: Sequence[str]) -> bool:
    """Files that somebody removed before they were wholly read in: the rest of them is lost, which `tell` counts."""
    gone = {name: state for name, state in _untold(db).items() if name not in kept and not state.is_copied}

    def work(db: sqlite3.Connection) -> None:
        for name, state in gone.items():
            logger.error("%s was removed before it was wholly read in", name)
            state.has_hole = state.has_blocks = state.has_letters = True
            keep_progress(db, name, state)

    if gone:
        in_transaction(db, work)
    return bool(gone)


def tell(db: sqlite3.Connection, *, subject: str, now_us: int) -> bool:
    """Close the salvage, once all of the files were looked at: what is lost becomes one gap. False while one is not."""
    untold = _untold(db)
    if not all(state.is_copied for state in untold.values()):
        return False
    if not untold:
        return True
    done = _together(list(untold.values()))

    def work(db: sqlite3.Connection) -> None:
        _tell_loss(db, done, ", ".join(sorted(untold)), subject=subject, now_us=now_us)
        for name, state in untold.items():
            state.is_told = True
            keep_progress(db, name, state)

    in_transaction(db, work)
    _log(done, sorted(untold))
    return True


def forget(db: sqlite3.Connection, kept: Sequence[str]) -> None:
    """Inside a transaction: files that are no longer kept need no notes."""
    db.execute(_TABLE)
    marks = ", ".join("?" * len(kept))
    db.execute(f"DELETE FROM salvage WHERE name NOT IN ({marks})", tuple(kept))  # noqa: S608 (question marks)


def progress_of(db: sqlite3.Connection, name: str) -> Salvage | None:
    """None when it was never begun, or nothing certain is noted of it."""
    row = _row(db, name)
    if row is None or zlib.crc32(row[0].encode()) != row[1]:
        return None
    return Salvage(**json.loads(row[0]))


def keep_progress(db: sqlite3.Connection, name: str, state: Salvage) -> None:
    """Inside the transaction that made it."""
    db.execute(_TABLE)
    progress = json.dumps(asdict(state), separators=(",", ":"))
    db.execute("INSERT OR REPLACE INTO salvage VALUES (?, ?, ?)", (name, progress, zlib.crc32(progress.encode())))


def _untold(db: sqlite3.Connection) -> dict[str, Salvage]:
    if not _is_begun(db):
        return {}
    names = [row[0] for row in db.execute("SELECT name FROM salvage ORDER BY name")]
    states = {name: progress_of(db, name) for name in names}
    return {name: state for name, state in states.items() if state is not None and not state.is_told}


def _is_begun(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'salvage'").fetchone()[0])


def is_usable(block: StoredBlock) -> bool:
    return block.is_whole and block.record_class in _CLASSES


def new_block(block: StoredBlock) -> NewBlock:
    return NewBlock(
        block.batch_id,
        RecordClass(block.record_class),
        block.first_time_us,
        block.last_time_us,
        block.count,
        block.body,
    )


def _row(db: sqlite3.Connection, name: str) -> tuple[str, int] | None:
    if not _is_begun(db):
        return None
    found: tuple[str, int] | None = db.execute("SELECT progress, crc32 FROM salvage WHERE name = ?", (name,)).fetchone()
    return found


def _store_blocks(db: sqlite3.Connection, window: BlockWindow, state: Salvage, name: str) -> None:
    seen = sorted([*window.found, *window.headers], key=lambda block: block.id)
    for block in seen:
        if is_usable(block):
            _put_block(db, block, state)
        else:
            state.note_lost(block)
    for block_id in window.unreadable:
        state.note_unread(block_id)
    state.note_window(window)
    keep_progress(db, name, state)


def _put_block(db: sqlite3.Connection, block: StoredBlock, state: Salvage) -> None:
    """At its own id; behind what waits, when damage elsewhere gave that to another. What is there already stays."""
    there = db.execute("SELECT batch_id FROM block WHERE id = ?", (block.id,)).fetchone()
    if there is not None and there[0] == block.batch_id:
        state.there += 1
        return
    at_id = insert_block(db, new_block(block), at_id=block.id if there is None else None)
    db.execute("UPDATE counter SET value = max(value, ?) WHERE name = 'last_id'", (at_id,))
    state.blocks += 1
    state.records += block.count


def _store_letters(db: sqlite3.Connection, window: LetterWindow, state: Salvage, name: str) -> None:
    for letter in window.found:
        state.letters += _put_letter(db, letter)
    state.lost_letters += window.unreadable
    state.letters_to = window.last_id
    state.has_letters = window.is_last
    keep_progress(db, name, state)


def _put_letter(db: sqlite3.Connection, letter: DeadLetter) -> bool:
    """At its own id when that is free. False when it is there already."""
    there = db.execute("SELECT batch_id, position FROM dead_letter WHERE id = ?", (letter.id,)).fetchone()
    if there == (letter.batch_id, letter.position):
        return False
    db.execute(
        "INSERT INTO dead_letter (id, batch_id, position, code, detail, refused_at_us, content)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (letter.id if there is None else None, letter.batch_id, letter.position, letter.code, letter.detail,
         letter.refused_at_us, letter.content),
    )  # fmt: skip
    return True


def _together(states: Sequence[Salvage]) -> Salvage:
    starts = [state.start_us for state in states if state.start_us is not None]
    ends = [state.end_us for state in states if state.end_us is not None]
    return Salvage(
        blocks=sum(state.blocks for state in states),
        records=sum(state.records for state in states),
        letters=sum(state.letters for state in states),
        lost_letters=sum(state.lost_letters for state in states),
        lost_blocks=sum(state.lost_blocks for state in states),
        lost_records=sum(state.lost_records for state in states),
        has_hole=any(state.has_hole for state in states),
        start_us=min(starts, default=None),
        end_us=max(ends, default=None),
        ledger_hours=sum(state.ledger_hours for state in states),
        lost_ledger_hours=sum(state.lost_ledger_hours for state in states),
        has_ledger_hole=any(state.has_ledger_hole for state in states),
    )


def _tell_loss(db: sqlite3.Connection, done: Salvage, names: str, *, subject: str, now_us: int) -> None:
    if not done.lost_blocks and not done.has_hole:
        return
    _count_the_hole(db, done)
    if not done.lost_blocks and not done.lost_records and not done.has_hole:
        return  # what could not be looked at held nothing
    known = None if done.has_hole else done.lost_records
    loss = Loss(
        now_us if done.start_us is None else done.start_us, now_us if done.end_us is None else done.end_us, known
    )
    detail = f"the outbox file was damaged ({names}); saved {done.records} records, lost {_lost_in_words(done)}"
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
    insert_block(db, NewBlock.of(Batch(subject, events=(event,))))
    count(db, "appended", 1)
    note_gap(db, LossCause.DAMAGED, loss, now_us=now_us, detail=detail)


def loss_of_block(block: StoredBlock, *, now_us: int) -> Loss:
    """What a damaged block held; its header may be what is damaged."""
    if 0 < block.first_time_us <= block.last_time_us <= now_us:
        return Loss(block.first_time_us, block.last_time_us, max(0, block.count))
    return Loss(now_us, now_us, None)


def _count_the_hole(db: sqlite3.Connection, done: Salvage) -> None:
    """What must have waited, by the totals, and is not here."""
    totals = read_counters(db)
    gone = ("accepted", "duplicates", "refused", "thinned", "evicted", "damaged")
    waiting = int(db.execute("SELECT coalesce(sum(count), 0) FROM block").fetchone()[0])
    missing = totals["appended"] + totals["requeued"] - sum(totals[name] for name in gone) - waiting
    if totals["appended"] and missing >= done.lost_records:
        done.lost_records, done.has_hole = missing, False


def _log(done: Salvage, names: Sequence[str]) -> None:
    logger.error(
        "the outbox was damaged and is kept as %s; %d blocks (%d records) and %d dead letters were saved; lost: %s",
        ", ".join(names), done.blocks, done.records, done.letters, _lost_in_words(done),
    )  # fmt: skip
    if done.has_ledger_hole:
        logger.error(
            "of the ledger of acknowledged rows %d sensor hours were saved, at least %d are lost; it begins later now",
            done.ledger_hours, done.lost_ledger_hours,
        )  # fmt: skip


def _lost_in_words(done: Salvage) -> str:
    letters = f"; {done.lost_letters} dead letters cannot be read" if done.lost_letters else ""
    if done.has_hole:
        return f"{done.lost_records} records for certain and an unknown number besides{letters}"
    return f"{done.lost_records} records{letters}"
