"""The durable queue between the gateway and the central, in SQLite.

Constraints
- A block is ours from the moment `append` returns; power loss after that does not lose it (WAL, FULL).
- Blocks leave in order of their id; a block leaves only when it is settled.
- What the central refused goes to the dead letters in the same transaction that settles its block.
- A read that fails raises; it never looks like an empty queue.

Knows SQLite. Does not know what a record means or where it is going. Calls block: run them in a thread.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final, Self

from cloud_sync import wire
from cloud_sync.errors import (
    OutboxCorruptError,
    OutboxError,
    OutboxFullError,
    OutboxUnavailableError,
    WireFormatError,
)
from cloud_sync.records import Batch, RecordClass, Settlement

SCHEMA_VERSION: Final = 1
_BUSY_TIMEOUT_S: Final = 5.0
_PAGE_BYTES: Final = 4096

_UNAVAILABLE: Final = {
    sqlite3.SQLITE_FULL: ("full", "free space on the disk that holds the outbox"),
    sqlite3.SQLITE_IOERR: ("io", "check the disk or flash card; look for errors in the kernel log"),
    sqlite3.SQLITE_READONLY: ("readonly", "remount the file system read-write, or check the file's owner"),
    sqlite3.SQLITE_CANTOPEN: ("cannot_open", "check that the folder exists and that the agent may write to it"),
    sqlite3.SQLITE_BUSY: ("busy", "another process holds the outbox; stop it"),
    sqlite3.SQLITE_LOCKED: ("busy", "another process holds the outbox; stop it"),
}


@dataclass(frozen=True, slots=True)
class NewBlock:
    """Records that were encoded together. `body` is what goes on the wire, as it is."""

    batch_id: str
    record_class: RecordClass
    first_time_us: int
    last_time_us: int
    count: int
    body: bytes


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
class Depth:
    """What waits. Times are UTC in microseconds, None when nothing waits."""

    blocks: int
    records: int
    body_bytes: int
    file_bytes: int
    oldest_time_us: int | None
    newest_time_us: int | None
    dead_letters: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    id: int
    batch_id: str
    position: int
    code: str
    detail: str
    refused_at_us: int
    content: bytes


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Let only our errors out; SQLite's result code decides which."""
    try:
        yield
    except sqlite3.Error as exc:
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise OutboxCorruptError(
                f"{path} is damaged: {exc}", hint="stop the agent, move the file aside, start again; keep the file"
            ) from exc
        if code in _UNAVAILABLE:
            reason, hint = _UNAVAILABLE[code]
            raise OutboxUnavailableError(f"{path}: {exc}", reason=reason, hint=hint) from exc
        raise OutboxError(f"{path}: {exc}") from exc


class Outbox:
    """One process writes. `open` acquires; the constructor does not."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def open(self) -> Self:
        """Create or migrate the file. Raises OutboxUnavailableError or OutboxCorruptError."""
        with translated(self.path):
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                self._migrate(connection)
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        return self

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def __enter__(self) -> Self:
        return self if self._connection is not None else self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, blocks: Sequence[NewBlock]) -> None:
        """Make these blocks durable, all or none, in one transaction.

        Raises OutboxFullError at the byte bound and OutboxUnavailableError when the disk refuses; nothing
        is appended then, and the same call may be repeated.
        """
        with self._atomic() as db:
            needed = sum(len(block.body) for block in blocks)
            if self._used_bytes(db) + needed > self.max_bytes:
                raise OutboxFullError(
                    f"{self.path} has reached its bound of {self.max_bytes} bytes",
                    hint="restore the link to the central, or raise outbox.max_bytes",
                )
            for block in blocks:
                cursor = db.execute(
                    "INSERT INTO block (batch_id, class, first_time_us, last_time_us, count, bytes, crc32)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        block.batch_id, block.record_class.value, block.first_time_us, block.last_time_us,
                        block.count, len(block.body), zlib.crc32(block.body),
                    ),
                )  # fmt: skip
                db.execute("INSERT INTO body (block_id, content) VALUES (?, ?)", (cursor.lastrowid, block.body))
            _count(db, "appended", sum(block.count for block in blocks))
            newest = max((block.last_time_us for block in blocks), default=0)
            db.execute("UPDATE counter SET value = max(value, ?) WHERE name = 'last_append_us'", (newest,))

    def peek(self, *, after_id: int = 0) -> Block | None:
        """The oldest block behind `after_id`, or None. A damaged block goes to the dead letters, counted."""
        while True:
            with self._reading() as db:
                row = db.execute(
                    "SELECT id, batch_id, class, count, crc32, content FROM block JOIN body ON block_id = id"
                    " WHERE id > ? ORDER BY id LIMIT 1",
                    (after_id,),
                ).fetchone()
            if row is None:
                return None
            block = Block(row[0], row[1], RecordClass(row[2]), row[3], row[5])
            if zlib.crc32(block.body) == row[4]:
                return block
            self._bury(block, "damaged_block", "the stored bytes no longer match their checksum")

    def settle(self, block: Block, settlement: Settlement, *, now_us: int) -> None:
        """Remove a delivered block; refused records become dead letters with their reason."""
        letters = _letters(block, settlement)
        with self._atomic() as db:
            if not _remove(db, block.id):
                return
            db.executemany(
                "INSERT INTO dead_letter (batch_id, position, code, detail, refused_at_us, content)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [(block.batch_id, *letter, now_us, content) for *letter, content in letters],
            )
            _count(db, "accepted", settlement.accepted)
            _count(db, "duplicates", settlement.duplicates)
            _count(db, "refused", len(settlement.refused))

    def depth(self) -> Depth:
        with self._reading() as db:
            return read_depth(db)

    def counters(self) -> dict[str, int]:
        """Totals since the file was made: appended, accepted, duplicates, refused, damaged, last_append_us."""
        with self._reading() as db:
            return dict(db.execute("SELECT name, value FROM counter"))

    def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        with self._reading() as db:
            rows = db.execute(
                "SELECT id, batch_id, position, code, detail, refused_at_us, content FROM dead_letter"
                " ORDER BY id LIMIT ?",
                (limit,),
            ).fetchall()
        return [DeadLetter(*row) for row in rows]

    def _bury(self, block: Block, code: str, detail: str) -> None:
        with self._atomic() as db:
            if _remove(db, block.id):
                db.execute(
                    "INSERT INTO dead_letter (batch_id, position, code, detail, refused_at_us, content)"
                    " VALUES (?, -1, ?, ?, 0, ?)",
                    (block.batch_id, code, detail, block.body),
                )
                _count(db, "damaged", block.count)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, translated(self.path):
            if self._connection is None:
                raise OutboxError(f"{self.path} is not open")
            yield self._connection

    @contextlib.contextmanager
    def _atomic(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                # After SQLITE_FULL or IOERR SQLite may have rolled back by itself.
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _used_bytes(self, db: sqlite3.Connection) -> int:
        pages = int(db.execute("PRAGMA page_count").fetchone()[0])
        free = int(db.execute("PRAGMA freelist_count").fetchone()[0])
        return (pages - free) * _PAGE_BYTES

    def _migrate(self, db: sqlite3.Connection) -> None:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise OutboxCorruptError(
                f"{self.path} has schema {version}, made by a newer program (this one knows {SCHEMA_VERSION})",
                hint="install the newer agent again, or move the file aside",
            )
        folder = resources.files("cloud_sync") / "outbox_schema"
        for number in range(version + 1, SCHEMA_VERSION + 1):
            script = next(item for item in folder.iterdir() if item.name.startswith(f"{number:03d}_"))
            statements = script.read_text(encoding="utf-8")
            # One transaction: a migration that is killed half-way leaves the old version.
            db.executescript(f"BEGIN IMMEDIATE;\n{statements}\nPRAGMA user_version = {number};\nCOMMIT;")


def read_depth(db: sqlite3.Connection) -> Depth:
    """What waits, from any connection to an outbox file, also a read-only one."""
    blocks, records, body_bytes, oldest, newest = db.execute(
        "SELECT count(*), coalesce(sum(count), 0), coalesce(sum(bytes), 0), min(first_time_us), max(last_time_us)"
        " FROM block"
    ).fetchone()
    letters = int(db.execute("SELECT count(*) FROM dead_letter").fetchone()[0])
    pages = int(db.execute("PRAGMA page_count").fetchone()[0])
    return Depth(blocks, records, body_bytes, pages * _PAGE_BYTES, oldest, newest, letters)


def _letters(block: Block, settlement: Settlement) -> list[tuple[int, str, str, bytes]]:
    """Each refused record as a batch of one, so that it can be looked at and sent again."""
    if not settlement.refused:
        return []
    try:
        batch = block.decode()
    except WireFormatError as exc:
        return [(-1, "unreadable_block", str(exc), block.body)]
    return [(r.index, r.code, r.detail, wire.encode(batch.only(r.index))) for r in settlement.refused]


def _remove(db: sqlite3.Connection, block_id: int) -> bool:
    db.execute("DELETE FROM body WHERE block_id = ?", (block_id,))
    return db.execute("DELETE FROM block WHERE id = ?", (block_id,)).rowcount == 1


def _count(db: sqlite3.Connection, name: str, by: int) -> None:
    if by:
        db.execute("UPDATE counter SET value = value + ? WHERE name = ?", (by, name))
