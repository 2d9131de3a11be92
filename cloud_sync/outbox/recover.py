"""A file that was put aside, read back into the outbox by hand; the agent may be stopped or at work.

Constraints
- Only what is provably whole goes in, behind what waits, with the batch ids it had: what the central has settles as
  duplicates.
- What waits for a clock in it goes on waiting for that.
- Nothing goes in twice: not what waits, not what the agent took over from this file, nor an earlier call of this.
- Nothing is put in beyond the byte bound or the disk floor. Cut short it goes on where it was, when called again.
- The file is not changed, and its log is read with it; in a folder that cannot be written to a copy is read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cloud_sync import wire
from cloud_sync.errors import OutboxCorruptError, OutboxError, OutboxFullError, OutboxUnavailableError, WireFormatError
from cloud_sync.outbox.clock_salvage import put_held, readable_clock_records
from cloud_sync.outbox.clock_tables import ClockRecords
from cloud_sync.outbox.damaged_file import WINDOW, BlockWindow, DamagedFile
from cloud_sync.outbox.gap_log import insert_gaps, own_gaps
from cloud_sync.outbox.offline import FileLimits, run_within_bounds
from cloud_sync.outbox.quarantine import is_part, is_unsalvaged
from cloud_sync.outbox.salvage_progress import Salvage, keep_progress, progress_of
from cloud_sync.outbox.sqlite_errors import translated
from cloud_sync.outbox.sqlite_file import connect, in_transaction
from cloud_sync.outbox.tables import INSERT_LETTER, StoredBlock, count, insert_block

_WINDOW_BYTES: Final = 256 << 10


@dataclass(slots=True)
class Recovered:
    """`already_there`: whole blocks that wait or were taken over before; `unreadable`: blocks that are not whole."""

    blocks: int = 0
    records: int = 0
    dead_letters: int = 0
    gaps: int = 0
    already_there: int = 0
    unreadable: int = 0


def recover(file: Path, outbox: Path, *, gateway_id: str, max_bytes: int, min_free_bytes: int = 0) -> Recovered:
    """Put what is whole in `file` behind what waits.

    Raises OutboxError for a file that is none of this gateway's, OutboxFullError when there is no space for more (what
    went in before stays), OutboxUnavailableError.
    """
    _check_file(file, outbox)
    done = Recovered()
    limits = FileLimits(outbox, max_bytes, min_free_bytes)
    with (
        _readable(file, outbox.parent) as source,
        DamagedFile(source) as old,
        contextlib.closing(connect(outbox)) as db,
        translated(outbox),
    ):
        state = progress_of(db, file.name)
        if state is None:
            state = Salvage(old.highest_id(), old.highest_letter_id(), is_told=True)
            _check_content(old, state, file, gateway_id)
        try:
            waiting = {row[0] for row in db.execute("SELECT batch_id FROM block")}
            clocks = readable_clock_records(old, highest_id=state.highest_id)
            _recover(_Target(db, limits, file.name, state, done, waiting, clocks), old)
        except OutboxFullError as exc:
            message = f"{exc.message}; {done.records} records were read in before, the rest comes when called again"
            raise OutboxFullError(message, hint=exc.hint) from exc
    return done


@dataclass(slots=True)
class _Target:
    """Where it goes, and how far it came."""

    db: sqlite3.Connection
    limits: FileLimits
    name: str
    state: Salvage
    done: Recovered
    waiting: set[str]
    clocks: ClockRecords


def _recover(target: _Target, old: DamagedFile) -> None:
    state, done = target.state, target.done
    done.already_there = state.blocks + state.there
    still_lost = Salvage()
    for ids, rest in _in_windows(state.lost_ids):
        window = old.blocks_at(ids)
        for block_id in _not_whole(window):
            still_lost.record_unread(block_id)
        state.lost_ids = [*still_lost.lost_ids, *rest]
        _take(target, window)
    while not state.has_blocks:
        window = old.blocks_after(state.blocks_to, highest_id=state.highest_id, most_bytes=_WINDOW_BYTES)
        for block_id in _not_whole(window):
            state.record_unread(block_id)
        state.record_window(window)
        _take(target, window)
    done.unreadable = sum(last - first + 1 for first, last in state.lost_ids)
    if not state.has_letters:
        in_transaction(target.db, lambda db: run_within_bounds(db, target.limits, _take_the_rest, (target, old)))


def _in_windows(lost: list[list[int]]) -> Iterator[tuple[range, list[list[int]]]]:
    """Some ids at a time, and what is left behind them."""
    for number, (first, last) in enumerate(lost):
        for start in range(first, last + 1, WINDOW):
            end = min(start + WINDOW - 1, last)
            rest = [[end + 1, last]] if end < last else []
            yield range(start, end + 1), rest + lost[number + 1 :]


def _not_whole(window: BlockWindow) -> list[int]:
    seen = [block.id for block in [*window.found, *window.headers] if not block.is_usable]
    return sorted([*seen, *window.unreadable])


def _take(target: _Target, window: BlockWindow) -> None:
    """In one transaction, with how far that is."""
    state, done = target.state, target.done
    whole = [block for block in sorted(window.found, key=lambda block: block.id) if block.is_usable]
    new = [block for block in whole if block.batch_id not in target.waiting]
    state.blocks, state.there = state.blocks + len(new), state.there + len(whole) - len(new)
    state.records += sum(block.count for block in new)
    in_transaction(target.db, lambda db: run_within_bounds(db, target.limits, _put, (target, new)))
    done.blocks, done.already_there = done.blocks + len(new), done.already_there + len(whole) - len(new)
    done.records += sum(block.count for block in new)


def _put(db: sqlite3.Connection, what: tuple[_Target, list[StoredBlock]]) -> None:
    target, blocks = what
    put_held(db, target.clocks, {block.id: insert_block(db, block.as_new()) for block in blocks})
    count(db, "appended", sum(block.count for block in blocks))
    count(db, "recovered", sum(block.count for block in blocks))
    keep_progress(db, target.name, target.state)


def _take_the_rest(db: sqlite3.Connection, what: tuple[_Target, DamagedFile]) -> None:
    """Dead letters and gaps that are not here."""
    target, old = what
    letters = {(row[0], row[1]) for row in db.execute("SELECT batch_id, position FROM dead_letter")}
    while not target.state.has_letters:
        window = old.letters_after(target.state.letters_to, highest_id=target.state.highest_letter_id)
        new = [one for one in window.found if (one.batch_id, one.position) not in letters]
        db.executemany(
            INSERT_LETTER, [(n.batch_id, n.position, n.code, n.detail, n.refused_at_us, n.content) for n in new]
        )
        target.done.dead_letters += len(new)
        target.state.letters_to, target.state.has_letters = window.last_id, window.is_last
    known = {(gap.cause, gap.start_us, gap.end_us, gap.detail) for gap in own_gaps(db)}
    gaps = [gap for gap in old.gaps() if (gap.cause, gap.start_us, gap.end_us, gap.detail) not in known]
    insert_gaps(db, [replace(gap, id=0) for gap in gaps])
    target.done.gaps = len(gaps)
    keep_progress(db, target.name, target.state)


def _check_file(file: Path, outbox: Path) -> None:
    if not file.is_file():
        raise OutboxError(f"there is no file {file}", hint="`edge-agent outbox stats` names the files put aside")
    if is_part(file):
        raise OutboxError(f"{file} is a part of another file", hint=f"give the file without {file.name[-4:]}")
    if outbox.exists() and file.samefile(outbox):
        raise OutboxError(f"{file} is the outbox itself", hint="give a file that was put aside")
    if is_unsalvaged(file):
        raise OutboxError(
            f"{file} is not wholly read in yet, and the agent goes on with it by itself",
            hint="start the agent; `edge-agent status` says what it waits for",
        )


def _check_content(old: DamagedFile, state: Salvage, file: Path, gateway_id: str) -> None:
    """A file of another gateway would be refused by the central, all of it."""
    if state.highest_id == 0 and not old.counters():
        raise OutboxCorruptError(f"{file} holds nothing that can be read as an outbox")
    for block in old.blocks_after(0, highest_id=state.highest_id).found:
        if not block.is_usable:
            continue
        with contextlib.suppress(WireFormatError):
            found = wire.decode(block.body).gateway_id
            if found != gateway_id:
                raise OutboxError(
                    f"{file} is from gateway {found!r}, this is {gateway_id!r}", hint="read it in on that gateway"
                )
            return


@contextlib.contextmanager
def _readable(file: Path, scratch: Path) -> Iterator[Path]:
    """The file, or a copy with its log: SQLite needs a shared index beside it to read a log."""
    if os.access(file.parent, os.W_OK):
        yield file
        return
    with tempfile.TemporaryDirectory(dir=scratch, prefix="recover-") as folder:
        try:
            for end in ("", "-wal"):
                part = file.with_name(file.name + end)
                if part.exists():
                    shutil.copyfile(part, Path(folder) / part.name)
        except OSError as exc:
            raise OutboxUnavailableError(
                f"{file} lies in a folder that cannot be written to, and cannot be copied: {exc}",
                reason="cannot_open",
                hint=f"copy it, with its -wal, to a folder of your own, and give that; it needs space in {scratch}",
            ) from exc
        yield Path(folder) / file.name
