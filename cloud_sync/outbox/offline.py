"""An outbox file from outside: looked at read-only, and dead letters put back, also while the daemon runs.

Constraints
- Looking changes nothing and never waits for the daemon.
- Putting back is one transaction per thousand letters: a letter is in one place, always.
- Nothing is put in beyond the byte bound or the disk floor: live data would be given up for it soon after.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Protocol, TypeVar

from cloud_sync import wire
from cloud_sync.errors import OutboxError, OutboxFullError, OutboxUnavailableError, WireFormatError
from cloud_sync.outbox.disk_floor import DiskFloor
from cloud_sync.outbox.eviction import stored_bytes
from cloud_sync.outbox.retention_policy import Bounds, Limit
from cloud_sync.outbox.sqlite_errors import decode_text, result_code, translated
from cloud_sync.outbox.sqlite_file import connect, in_transaction, used_bytes
from cloud_sync.outbox.tables import LETTER_COLUMNS, DeadLetter, NewBlock, count, insert_block
from cloud_sync.records import Batch

T = TypeVar("T")

QUERY_DEADLINE_S: Final = 10.0
_STEPS_BETWEEN_LOOKS: Final = 10_000  # of SQLite's virtual machine: a millisecond or less
_CALLERS_FAULT: Final = (0, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_INTERRUPT)
_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Requeued:
    """`unreadable` letters hold bytes that are no batch; they stay where they are."""

    records: int
    unreadable: int


@contextlib.contextmanager
def open_read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file to read only. Raises OutboxUnavailableError or OutboxCorruptError."""
    try:
        is_there = path.exists()
    except OSError as exc:
        raise OutboxUnavailableError(
            f"{path} cannot be looked at: {exc.strerror}", reason="cannot_open", hint="use sudo"
        ) from exc
    if not is_there:
        raise OutboxUnavailableError(
            f"there is no outbox at {path}", reason="cannot_open", hint="the agent makes it when it first runs"
        )
    with (
        translated(path),
        contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)) as db,
    ):
        db.text_factory = decode_text
        yield db


def query(path: Path, sql: str | None, *, limit: int, deadline_s: float = QUERY_DEADLINE_S) -> list[dict[str, object]]:
    """Return the first rows that a statement finds; without one, a row for each table: its name, rows and columns.

    Nothing can be changed. Raises OutboxError for what is no query or takes longer than `deadline_s`: while it reads,
    the agent's log cannot be emptied.
    """
    from sqlite_utils import Database  # 0.4 s of processor time, that nobody else has to pay

    with open_read_only(path) as connection:
        ends_s = time.monotonic() + deadline_s
        connection.set_progress_handler(lambda: time.monotonic() > ends_s, _STEPS_BETWEEN_LOOKS)
        db = Database(connection, execute_plugins=False)
        try:
            if sql is None:
                tables = [db.table(name) for name in db.table_names()]
                return [
                    {"table": one.name, "rows": one.count, "columns": ", ".join(one.columns_dict)} for one in tables
                ]
            return list(islice(db.query(sql), limit))
        except (sqlite3.Error, sqlite3.Warning, ValueError) as exc:
            if isinstance(exc, sqlite3.Error) and result_code(exc) not in _CALLERS_FAULT:
                raise
            if getattr(exc, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
                raise OutboxError(f"the query took longer than {deadline_s:g} s", hint="ask for less") from exc
            raise OutboxError(
                f"this is no query of the outbox: {exc}", hint="without a statement its tables and columns are listed"
            ) from exc


def requeue(path: Path, ids: Sequence[int] | None, *, max_bytes: int, min_free_bytes: int = 0) -> Requeued:
    """Put these dead letters (None: all) behind what waits.

    Raises OutboxUnavailableError, reason `busy` among them, and OutboxFullError when there is no space for more: those
    that were not put back stay dead letters.
    """
    done, unreadable, after_id = 0, 0, 0
    limits = FileLimits(path, max_bytes, min_free_bytes)
    with contextlib.closing(connect(path)) as db, translated(path):
        while letters := _letters(db, after_id, ids):
            after_id = letters[-1].id
            found = [(letter, batch) for letter in letters if (batch := _batch(letter)) is not None]
            unreadable += len(letters) - len(found)
            try:
                in_transaction(db, lambda db, found=found: run_within_bounds(db, limits, _put_back, found))  # type: ignore[misc]
            except OutboxFullError as exc:
                raise OutboxFullError(f"{exc.message}; {done} records were put back before", hint=exc.hint) from exc
            done += sum(len(batch) for _, batch in found)
    return Requeued(done, unreadable)


def add_blocks(path: Path, blocks: Iterable[NewBlock], *, max_bytes: int, min_free_bytes: int = 0) -> int:
    """Put blocks of another file behind what waits, one transaction each. Returns the records.

    Raises OutboxFullError like `requeue`; what was added before stays.
    """
    records = 0
    limits = FileLimits(path, max_bytes, min_free_bytes)
    with contextlib.closing(connect(path)) as db, translated(path):
        for block in blocks:
            in_transaction(db, lambda db, block=block: run_within_bounds(db, limits, _add, block))  # type: ignore[misc]
            records += block.count
    return records


def check_space(path: Path, blocks: Iterable[NewBlock], *, max_bytes: int, min_free_bytes: int = 0) -> None:
    """Raise OutboxFullError when there is no space for all of these blocks; before anything is added."""
    with contextlib.closing(connect(path)) as db, translated(path):
        needed = sum(stored_bytes(db, block) for block in blocks)
        used = used_bytes(db)
        bounds = FileLimits(path, max_bytes, min_free_bytes).bounds(used)
    if used + needed > bounds.reading_bytes:
        raise _outbox_full(bounds, used, needed)


@dataclass(frozen=True, slots=True)
class FileLimits:
    """What bounds a file, from outside of its agent."""

    path: Path
    max_bytes: int
    min_free_bytes: int

    def bounds(self, used: int) -> Bounds:
        return DiskFloor(self.path, self.min_free_bytes).within(Bounds(self.max_bytes), used_bytes=used)


class HasBounds(Protocol):
    """Whoever knows what bounds a file."""

    def bounds(self, used: int) -> Bounds: ...


def run_within_bounds(
    db: sqlite3.Connection, limits: HasBounds, work: Callable[[sqlite3.Connection, T], None], what: T
) -> None:
    """Do the work inside a transaction, if it fits; what takes no more space than it frees always does."""
    before = used_bytes(db)
    bounds = limits.bounds(before)
    work(db, what)
    after = used_bytes(db)
    if after > max(bounds.reading_bytes, before):
        raise _outbox_full(bounds, before, after - before)


def requeue_some(db: sqlite3.Connection, code: str, limits: HasBounds) -> int:
    """Put up to a thousand dead letters of this code behind what waits, inside a transaction of the caller's.

    Returns the records; 0 when there is none left that can be read. Raises OutboxFullError.
    """
    rows = db.execute(
        f"SELECT {LETTER_COLUMNS} FROM dead_letter WHERE code = ? ORDER BY id LIMIT ?",  # noqa: S608 (constants)
        (code, _AT_ONCE),
    )
    letters = [DeadLetter(*row) for row in rows]
    found = [(letter, batch) for letter in letters if (batch := _batch(letter)) is not None]
    run_within_bounds(db, limits, _put_back, found)
    return sum(len(batch) for _, batch in found)


def _outbox_full(bounds: Bounds, used: int, needed: int) -> OutboxFullError:
    free = max(0, bounds.reading_bytes - used)
    if bounds.limit is Limit.DISK_FLOOR:
        return OutboxFullError(
            f"there is no space on the disk: {needed} bytes are needed, {free} are free above outbox.min_free_bytes",
            hint="free space on the disk that holds the outbox; nothing newer is given up for it",
        )
    return OutboxFullError(
        f"there is no space in the outbox: {needed} bytes are needed, {free} are free below outbox.max_bytes",
        hint="let it empty over the link first, or raise outbox.max_bytes; nothing newer is given up for it",
    )


def _add(db: sqlite3.Connection, block: NewBlock) -> None:
    insert_block(db, block)
    count(db, "appended", block.count)


def _letters(db: sqlite3.Connection, after_id: int, ids: Sequence[int] | None) -> list[DeadLetter]:
    rows = db.execute(
        f"SELECT {LETTER_COLUMNS} FROM dead_letter WHERE id > ? ORDER BY id LIMIT ?",  # noqa: S608 (constants)
        (after_id, _AT_ONCE if ids is None else -1),
    )
    return [DeadLetter(*row) for row in rows if ids is None or row[0] in ids]


def _batch(letter: DeadLetter) -> Batch | None:
    try:
        return wire.decode(letter.content)
    except WireFormatError:
        return None


def _put_back(db: sqlite3.Connection, found: Sequence[tuple[DeadLetter, Batch]]) -> None:
    for gateway_id in {batch.gateway_id for _, batch in found}:
        batches = [batch for _, batch in found if batch.gateway_id == gateway_id]
        rows = tuple(row for batch in batches for row in batch.rows)
        events = tuple(event for batch in batches for event in batch.events)
        for batch in (Batch(gateway_id, rows), Batch(gateway_id, events=events)):
            if len(batch):
                insert_block(db, NewBlock.of(batch))
                count(db, "requeued", len(batch))
    db.executemany("DELETE FROM dead_letter WHERE id = ?", [(letter.id,) for letter, _ in found])
