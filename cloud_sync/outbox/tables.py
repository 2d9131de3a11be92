"""What lies in the outbox's tables, and the statements that put it there, find it and take it away.

Knows the tables and the checksum. Does not know when to do what, nor transactions: every function works inside its
caller's.
"""

from __future__ import annotations

import sqlite3
import uuid
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from cloud_sync import wire
from cloud_sync.errors import WireFormatError
from cloud_sync.outbox.sqlite_errors import translated
from cloud_sync.outbox.sqlite_file import pragma
from cloud_sync.records import NO_EVENTS, Batch, RecordClass, Settlement

WHOLE_BLOCK: Final = -1
"""The position of a dead letter that is a block as it was stored, because its records cannot be read."""

INSERT_LETTER: Final = (
    "INSERT INTO dead_letter (batch_id, position, code, detail, refused_at_us, content) VALUES (?, ?, ?, ?, ?, ?)"
)
_CLASSES: Final = frozenset(c.value for c in RecordClass)
LETTER_COLUMNS: Final = "id, batch_id, position, code, detail, refused_at_us, content"
_COLUMNS: Final = "id, batch_id, class, first_time_us, last_time_us, count, crc32, content"
_WITH_BODY: Final = f"SELECT {_COLUMNS} FROM block LEFT JOIN body ON block_id = id"  # noqa: S608 (constants)


@dataclass(frozen=True, slots=True)
class NewBlock:
    """Records that were encoded together. `body` is what goes on the wire, as it is."""

    batch_id: str
    record_class: RecordClass
    first_time_us: int
    last_time_us: int
    count: int
    body: bytes

    @classmethod
    def of(cls, batch: Batch) -> Self:
        """Encode readings, or events; there must be one of them."""
        times = [row.time_us for row in batch.rows] + [event.time_us for event in batch.events]
        record_class = RecordClass.EVENT if batch.events else RecordClass.READING
        return cls(uuid.uuid4().hex, record_class, min(times), max(times), len(batch), wire.encode(batch))


@dataclass(frozen=True, slots=True)
class Block:
    """A block that waits."""

    id: int
    batch_id: str
    record_class: RecordClass
    count: int
    body: bytes

    def decode(self) -> Batch:
        return wire.decode(self.body)


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A block as it was found; its `record_class` may be anything when it is damaged."""

    id: int
    batch_id: str
    record_class: str
    first_time_us: int
    last_time_us: int
    count: int
    crc32: int
    body: bytes

    @property
    def is_whole(self) -> bool:
        header = (self.batch_id, self.record_class, self.first_time_us, self.last_time_us, self.count)
        return checksum(header, self.body) == self.crc32

    @property
    def is_usable(self) -> bool:
        """Return whether it is whole, and of a class that this program knows."""
        return self.is_whole and self.record_class in _CLASSES

    def as_new(self) -> NewBlock:
        """Return the same block for another file; it must be usable."""
        times = (self.first_time_us, self.last_time_us)
        return NewBlock(self.batch_id, RecordClass(self.record_class), *times, self.count, self.body)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits of one class."""

    blocks: int = 0
    records: int = 0
    body_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Depth:
    """What waits. Times are UTC in microseconds, None when nothing waits."""

    blocks: int
    records: int
    body_bytes: int
    file_bytes: int
    oldest_time_us: int | None
    newest_time_us: int | None
    dead_letters: int
    by_class: tuple[tuple[str, Waiting], ...] = ()
    used_bytes: int = 0
    no_place: int = 0
    """Of the dead letters: events that were offered to a central that takes readings only."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    id: int
    batch_id: str
    position: int
    code: str
    detail: str
    refused_at_us: int
    content: bytes


def checksum(header: Sequence[object], body: bytes) -> int:
    """Compute it over the header too: a wrong count would make every answer look wrong and hold up the queue."""
    return zlib.crc32(body, zlib.crc32("|".join(map(str, header)).encode()))


def insert_block(db: sqlite3.Connection, block: NewBlock, *, at_id: int | None = None) -> int:
    """Put a block at the end, or where a removed one was. Returns its id."""
    block_id = at_id if at_id is not None else _next_id(db)
    header = (block.batch_id, block.record_class.value, block.first_time_us, block.last_time_us, block.count)
    db.execute(
        "INSERT INTO block (id, batch_id, class, first_time_us, last_time_us, count, bytes, crc32)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (block_id, *header, len(block.body), checksum(header, block.body)),
    )
    db.execute("INSERT INTO body (block_id, content) VALUES (?, ?)", (block_id, block.body))
    return block_id


def remove_block(db: sqlite3.Connection, block_id: int, *, batch_id: str | None = None) -> bool:
    """Remove a block. False when there is no such block, or another one in its place."""
    removed = db.execute("DELETE FROM block WHERE id = ? AND batch_id = coalesce(?, batch_id)", (block_id, batch_id))
    if removed.rowcount == 1:
        db.execute("DELETE FROM body WHERE block_id = ?", (block_id,))
    return removed.rowcount == 1


def remove_doubtful(db: sqlite3.Connection, batch_ids: Collection[str]) -> None:
    """Remove what appends left whose commit failed: the log may hold it all the same, and a new connection finds it."""
    newest = db.execute("SELECT id, batch_id, count FROM block ORDER BY id DESC LIMIT ?", (2 * len(batch_ids),))
    for block_id, batch_id, records in newest.fetchall():
        if batch_id in batch_ids and remove_block(db, block_id):
            count(db, "appended", -records)


def find_block(db: sqlite3.Connection, block_id: int) -> StoredBlock | None:
    return _stored(db.execute(f"{_WITH_BODY} WHERE id = ?", (block_id,)).fetchone())


def find_header(db: sqlite3.Connection, block_id: int) -> StoredBlock | None:
    """Return a block without its body, which may lie on a page that cannot be read; so it is never whole."""
    columns = _COLUMNS.replace("content", "NULL")
    return _stored(db.execute(f"SELECT {columns} FROM block WHERE id = ?", (block_id,)).fetchone())  # noqa: S608


def next_block(
    db: sqlite3.Connection, *, after_id: int, record_class: RecordClass | None = None, skip: Sequence[int] = ()
) -> StoredBlock | None:
    """Return the oldest block behind `after_id`: one seek, however many wait, also for an event."""
    of_class = ""
    if record_class is RecordClass.EVENT:
        of_class = "AND class = 'event'"
    elif record_class is RecordClass.READING:
        of_class = "AND +class != 'event'"
    besides = f"AND id NOT IN ({', '.join('?' * len(skip))})" if skip else ""
    row = db.execute(f"{_WITH_BODY} WHERE id > ? {of_class} {besides} ORDER BY id LIMIT 1", (after_id, *skip))
    found = _stored(row.fetchone())
    if found is not None and (found.id <= after_id or not _is_found_by_id(db, found.id)):
        # A reader would go in circles, and a settled block could not be removed: it would be sent for ever.
        raise sqlite3.DataError(f"block {found.id} is not in its place")
    return found


def _is_found_by_id(db: sqlite3.Connection, block_id: int) -> bool:
    return db.execute("SELECT 1 FROM block WHERE id = ?", (block_id,)).fetchone() is not None


def iterate_blocks(db: sqlite3.Connection, *, up_to_id: int | None = None) -> Iterator[StoredBlock]:
    """Yield every block in order, one body in memory at a time; no statement stays open between two of them."""
    last = 0
    while (block := next_block(db, after_id=last)) is not None and (up_to_id is None or block.id <= up_to_id):
        yield block
        last = block.id


def newest_id(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(id), 0) FROM block").fetchone()[0])


def checked_headers(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """Read every header once: damage there is found now, not in a month. Closes it and raises OutboxCorruptError."""
    try:
        with translated(path):
            read_depth(connection)
            read_counters(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def read_depth(db: sqlite3.Connection) -> Depth:
    """Return what waits, from any connection to an outbox file, also a read-only one. Reads the headers only."""
    found = db.execute(
        "SELECT class, count(*), sum(count), sum(bytes), min(first_time_us), max(last_time_us)"
        " FROM block GROUP BY class ORDER BY class"
    ).fetchall()
    if not all(isinstance(number, int) for _, *numbers in found for number in numbers):
        raise sqlite3.DataError("the header of a block holds no numbers")
    by_class = tuple((name, Waiting(blocks, records, size)) for name, blocks, records, size, _, _ in found)
    letters, no_place = db.execute(
        "SELECT count(*), count(*) FILTER (WHERE code = ?) FROM dead_letter", (NO_EVENTS,)
    ).fetchone()
    page_bytes, pages, free = pragma(db, "page_size"), pragma(db, "page_count"), pragma(db, "freelist_count")
    return Depth(
        blocks=sum(waiting.blocks for _, waiting in by_class),
        records=sum(waiting.records for _, waiting in by_class),
        body_bytes=sum(waiting.body_bytes for _, waiting in by_class),
        file_bytes=pages * page_bytes,
        oldest_time_us=min((oldest for *_, oldest, _ in found), default=None),
        newest_time_us=max((newest for *_, newest in found), default=None),
        dead_letters=int(letters),
        by_class=by_class,
        used_bytes=(pages - free) * page_bytes,
        no_place=int(no_place),
    )


def read_counters(db: sqlite3.Connection) -> dict[str, int]:
    counters = dict(db.execute("SELECT name, value FROM counter"))
    if not all(isinstance(value, int) for value in counters.values()):
        raise sqlite3.DataError("a total is no number")
    return counters


def iterate_letters(db: sqlite3.Connection, *, limit: int) -> Iterator[DeadLetter]:
    """Yield the oldest dead letters, one in memory at a time."""
    for row in db.execute(f"SELECT {LETTER_COLUMNS} FROM dead_letter ORDER BY id LIMIT ?", (limit,)):  # noqa: S608
        letter = DeadLetter(*row)
        yield letter if isinstance(letter.content, bytes) else replace(letter, content=b"")


def letters_of(block: Block, settlement: Settlement) -> list[tuple[int, str, str, bytes]]:
    """Return each refused record as a batch of one, so that it can be looked at and sent again."""
    if not settlement.refused:
        return []
    try:
        batch = block.decode()
    except WireFormatError as exc:
        return [(WHOLE_BLOCK, "unreadable_block", str(exc), block.body)]
    return [
        (r.index, r.code, r.detail, block.body if r.index == WHOLE_BLOCK else wire.encode(batch.only(r.index)))
        for r in settlement.refused
    ]


def count(db: sqlite3.Connection, name: str, by: int) -> None:
    if by:
        db.execute(
            "INSERT INTO counter (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + ?",
            (name, by, by),
        )


def last_id(db: sqlite3.Connection) -> int:
    """Return the id that was given last."""
    return _known_id(db.execute("SELECT value FROM counter WHERE name = 'last_id'").fetchone())


def _next_id(db: sqlite3.Connection) -> int:
    row = db.execute("UPDATE counter SET value = value + 1 WHERE name = 'last_id' RETURNING value").fetchone()
    return _known_id(row)


def _known_id(row: Sequence[object] | None) -> int:
    if row is None or not isinstance(row[0], int):
        raise sqlite3.DataError("the newest block's id is not known")
    return row[0]


def _stored(row: Sequence[Any] | None) -> StoredBlock | None:
    if row is None:
        return None
    block_id, batch_id, record_class, *numbers, body = row
    # What is not of its type was damaged; its checksum no longer holds, whatever stands here instead.
    first_time_us, last_time_us, records, crc32 = (n if isinstance(n, int) else 0 for n in numbers)
    content = body if isinstance(body, bytes) else b""
    return StoredBlock(
        block_id, str(batch_id), str(record_class), first_time_us, last_time_us, records, crc32, content
    )  # fmt: skip
