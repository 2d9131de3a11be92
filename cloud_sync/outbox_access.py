"""An outbox file from outside: looked at read-only, and dead letters put back, also while the daemon runs.

Constraints
- Looking changes nothing and never waits for the daemon.
- Putting back is one transaction per thousand letters: a letter is in one place, always.
"""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_sync import wire
from cloud_sync.errors import OutboxUnavailableError, WireFormatError
from cloud_sync.outbox_blocks import DeadLetter, NewBlock, count, insert_block
from cloud_sync.outbox_file import connect, in_transaction
from cloud_sync.records import Batch, RecordClass
from cloud_sync.sqlite_errors import translated

_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Requeued:
    """`unreadable` letters hold bytes that are no batch; they stay where they are."""

    records: int
    unreadable: int


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Raises OutboxUnavailableError or OutboxCorruptError."""
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
        yield db


def requeue(path: Path, ids: Sequence[int] | None) -> Requeued:
    """Put these dead letters (None: all) behind what waits. Raises OutboxUnavailableError, reason `busy` among them."""
    done, unreadable, after_id = 0, 0, 0
    with contextlib.closing(connect(path)) as db, translated(path):
        while letters := _letters(db, after_id, ids):
            after_id = letters[-1].id
            found = [(letter, batch) for letter in letters if (batch := _batch(letter)) is not None]
            unreadable += len(letters) - len(found)
            in_transaction(db, lambda db, found=found: _put_back(db, found))  # type: ignore[misc]
            done += sum(len(batch) for _, batch in found)
    return Requeued(done, unreadable)


def add_blocks(path: Path, blocks: Iterator[NewBlock]) -> int:
    """Put blocks of another file behind what waits, one transaction each. Returns the records."""
    records = 0
    with contextlib.closing(connect(path)) as db, translated(path):
        for block in blocks:
            in_transaction(db, lambda db, block=block: _add(db, block))  # type: ignore[misc]
            records += block.count
    return records


def _add(db: sqlite3.Connection, block: NewBlock) -> None:
    insert_block(db, block)
    count(db, "appended", block.count)


def _letters(db: sqlite3.Connection, after_id: int, ids: Sequence[int] | None) -> list[DeadLetter]:
    columns = "id, batch_id, position, code, detail, refused_at_us, content"
    rows = db.execute(
        f"SELECT {columns} FROM dead_letter WHERE id > ? ORDER BY id LIMIT ?",  # noqa: S608 (constants)
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
                insert_block(db, _block_of(batch))
                count(db, "requeued", len(batch))
    db.executemany("DELETE FROM dead_letter WHERE id = ?", [(letter.id,) for letter, _ in found])


def _block_of(batch: Batch) -> NewBlock:
    times = [row.time_us for row in batch.rows] + [event.time_us for event in batch.events]
    record_class = RecordClass.EVENT if batch.events else RecordClass.READING
    return NewBlock(uuid.uuid4().hex, record_class, min(times), max(times), len(batch), wire.encode(batch))
