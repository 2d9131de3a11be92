"""Damaged outbox files that were put aside: everything in them that is provably whole taken over, step by step.

Constraints
- A step is one transaction of the new file, and records in it how far it came: cut short anywhere, the salvage goes on
  there, and nothing comes over twice.
- Until it is done the new file takes records and is emptied as ever; its ids lie behind those of the damaged file.
- A block is taken over only when its checksum holds. It keeps its id, so that the order stays.
- The ledger of what was acknowledged is taken over from its newest hour back to the first that cannot be read; before
  that it begins later, which is logged.
- What is lost becomes one gap event in the new file, when everything was looked at. Nothing here is silent.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from typing import Final

from cloud_sync.outbox.ack_ledger import take_over
from cloud_sync.outbox.clock_salvage import take_over_clocks
from cloud_sync.outbox.clock_tables import EpochSpan, epoch_span_of, put_span, read_epoch_spans
from cloud_sync.outbox.damaged_file import BlockWindow, DamagedFile, LetterWindow
from cloud_sync.outbox.gap_log import merge_gaps, record_gap
from cloud_sync.outbox.retention_policy import Loss, LossCause, loss_event
from cloud_sync.outbox.salvage_progress import (
    Salvage,
    adopt_progress,
    is_recorded,
    keep_progress,
    progress_of,
    together,
    unreported,
)
from cloud_sync.outbox.sqlite_file import in_transaction
from cloud_sync.outbox.tables import (
    DeadLetter,
    NewBlock,
    StoredBlock,
    count,
    insert_block,
    read_counters,
)
from cloud_sync.records import Batch

logger = logging.getLogger(__name__)

_HIGHEST_TOTAL: Final = 2**53
"""Beyond it a total or an id was damaged, and would stop whoever counts on."""


def begin(db: sqlite3.Connection, files: Sequence[DamagedFile]) -> None:
    """Take over the books of files put aside that are not begun yet: totals, gaps, ledger, and how far each came.

    `files` are the newest first: each was the outbox after the next one was put aside. Before anything is appended:
    the ids of what comes then lie behind theirs. One transaction.
    """
    todo = [file for file in files if not is_recorded(db, file.path.name)]
    if todo:
        in_transaction(db, lambda db: _begin(db, todo))


def _begin(db: sqlite3.Connection, files: Sequence[DamagedFile]) -> None:
    has_ledger = False
    for file in files:
        adopt_progress(db, file)
        if is_recorded(db, file.path.name):
            continue  # its books came with those of the file that replaced it
        state = Salvage(file.highest_id(), file.highest_letter_id())
        _merge_counters(db, file.counters(), state.highest_id)
        _reserve_letters(db, state.highest_letter_id)
        merge_gaps(db, file.gaps())
        take_over_clocks(db, file, highest_id=state.highest_id)
        if not has_ledger:
            has_ledger = _take_ledger(db, file, state)
        keep_progress(db, file.path.name, state)


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
    """Give up files that somebody removed before they were wholly read in: `report` counts the rest of them as lost."""
    gone = {name: state for name, state in unreported(db).items() if name not in kept and not state.is_copied}

    def work(db: sqlite3.Connection) -> None:
        for name, state in gone.items():
            logger.error("%s was removed before it was wholly read in", name)
            state.has_hole = state.has_blocks = state.has_letters = True
            keep_progress(db, name, state)

    if gone:
        in_transaction(db, work)
    return bool(gone)


def report(db: sqlite3.Connection, *, subject: str, now_us: int) -> bool:
    """Close the salvage, once all of the files were looked at: what is lost becomes one gap. False while one is not."""
    waiting = unreported(db)
    if not all(state.is_copied for state in waiting.values()):
        return False
    if not waiting:
        return True
    done = together(list(waiting.values()))

    def work(db: sqlite3.Connection) -> None:
        _emit_loss(db, done, ", ".join(sorted(waiting)), subject=subject, now_us=now_us)
        for name, state in waiting.items():
            state.is_told = True
            keep_progress(db, name, state)

    in_transaction(db, work)
    _log(done, sorted(waiting))
    return True


def _store_blocks(db: sqlite3.Connection, window: BlockWindow, state: Salvage, name: str) -> None:
    seen = sorted([*window.found, *window.headers], key=lambda block: block.id)
    for block in seen:
        if block.is_usable:
            _put_block(db, block, state)
        else:
            state.count_lost(block)
    for block_id in window.unreadable:
        state.record_unread(block_id)
    state.record_window(window)
    keep_progress(db, name, state)


def _put_block(db: sqlite3.Connection, block: StoredBlock, state: Salvage) -> None:
    """At its own id; behind what waits, when damage elsewhere gave that to another. What is there already stays."""
    there = db.execute("SELECT batch_id FROM block WHERE id = ?", (block.id,)).fetchone()
    if there is not None and there[0] == block.batch_id:
        state.there += 1
        return
    at_id = insert_block(db, block.as_new(), at_id=block.id if there is None else None)
    if at_id != block.id and (span := epoch_span_of(read_epoch_spans(db), block.id)) is not None:
        put_span(db, EpochSpan(at_id, at_id, span.epoch))  # it waits for the same clock there
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


def _emit_loss(db: sqlite3.Connection, done: Salvage, names: str, *, subject: str, now_us: int) -> None:
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
    emit_damage(db, loss, subject=subject, now_us=now_us, detail=detail)
    count(db, "damaged", done.lost_records)


def emit_damage(
    db: sqlite3.Connection,
    loss: Loss,
    *,
    subject: str,
    now_us: int,
    detail: str = "stored bytes no longer matched their checksum; they are kept as a dead letter",
) -> None:
    """Emit the gap for the central and record it in our own gap log, inside a transaction."""
    event = loss_event(LossCause.DAMAGED, loss, subject=subject, now_us=now_us, detail=detail)
    insert_block(db, NewBlock.of(Batch(subject, events=(event,))))
    count(db, "appended", 1)
    record_gap(db, LossCause.DAMAGED, loss, now_us=now_us, detail=detail)


def loss_of_block(block: StoredBlock, *, now_us: int) -> Loss:
    """Return what a damaged block held; its header may be what is damaged."""
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
