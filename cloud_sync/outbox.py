"""The durable queue between the gateway and the central, in SQLite.

Constraints
- A block is ours from the moment `append` returns; power loss after that does not lose it (WAL, FULL).
- Blocks leave in order of their id; a block leaves only when it is settled.
- What the central refused goes to the dead letters in the same transaction that settles its block.
- A read that fails raises; it never looks like an empty queue.
- On a full disk it can still be emptied: a ballast file beside it gives its room back for that, and nothing is
  appended until the ballast is back in its place.

Knows the tables. Does not know what a record means or where it is going. Calls block: run them in a thread.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cloud_sync import wire
from cloud_sync.ballast import BALLAST_BYTES, Ballast
from cloud_sync.errors import (
    OutboxError,
    OutboxFullError,
    OutboxUnavailableError,
    WireFormatError,
)
from cloud_sync.outbox_file import (
    PAGE_BYTES,
    Work,
    connect,
    in_transaction,
    pragma,
    shrink,
    shrink_on_a_full_disk,
    used_bytes,
)
from cloud_sync.records import Batch, RecordClass, Settlement
from cloud_sync.sqlite_errors import result_code, translated

logger = logging.getLogger(__name__)

WHOLE_BLOCK: Final = -1
"""The position of a dead letter that is a block as it was stored, because its records cannot be read."""

_INSERT_LETTER: Final = (
    "INSERT INTO dead_letter (batch_id, position, code, detail, refused_at_us, content) VALUES (?, ?, ?, ?, ?, ?)"
)


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


class Outbox:
    """One process writes. `open` acquires; the constructor does not."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        ballast_bytes: int = BALLAST_BYTES,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._ballast = Ballast(path.with_name(f"{path.name}.ballast"), size_bytes=ballast_bytes)
        self._has_room = True
        self._was_full = False
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    @property
    def has_ballast(self) -> bool:
        """False while the reserve for emptying a full disk is in use or cannot be made."""
        return self._ballast.is_there

    def open(self) -> Self:
        """Create or migrate the file. Raises OutboxUnavailableError or OutboxCorruptError."""
        try:
            connection = connect(self.path)
        except OutboxUnavailableError as exc:
            # A full disk has no room for SQLite's shared index either, which it calls an I/O error.
            if exc.reason not in ("full", "io") or not self._ballast.release():
                raise
            connection = connect(self.path)
        self._connection = connection
        self._has_room = self._place_ballast()
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
        with self._reading() as db:
            if not self._has_room:
                self._regain_room(db)
            if not self._has_room:
                raise OutboxUnavailableError(
                    f"{self.path}: the disk is full, and what is left is kept for emptying the outbox",
                    reason="full",
                    hint="free space on the disk that holds the outbox",
                )
            in_transaction(db, lambda db: self._insert(db, blocks))
            self._was_full = False

    def peek(self, *, after_id: int = 0, record_class: RecordClass | None = None) -> Block | None:
        """The oldest block behind `after_id` (of one class, if given), or None.

        A damaged block goes to the dead letters, counted.
        """
        name = None if record_class is None else record_class.value
        while True:
            with self._reading() as db:
                row = db.execute(
                    "SELECT id, batch_id, class, first_time_us, last_time_us, count, crc32, content"
                    " FROM block LEFT JOIN body ON block_id = id"
                    " WHERE id > ? AND (? IS NULL OR class = ?) ORDER BY id LIMIT 1",
                    (after_id, name, name),
                ).fetchone()
            if row is None:
                return None
            block_id, *header, crc32, body = row
            body = bytes(body or b"")
            if _checksum(header, body) == crc32:
                batch_id, record_class, _, _, count = header
                return Block(block_id, batch_id, RecordClass(record_class), count, body)
            self._bury(block_id, str(header[0]), header[4], body)

    def newest_id(self) -> int:
        """The id of the newest block that waits; 0 when none does."""
        with self._reading() as db:
            return int(db.execute("SELECT coalesce(max(id), 0) FROM block").fetchone()[0])

    def settle(self, block: Block, settlement: Settlement, *, now_us: int) -> None:
        """Remove a delivered block; refused records become dead letters with their reason."""
        self.settle_all([(block, settlement)], now_us=now_us)

    def settle_all(self, settled: Sequence[tuple[Block, Settlement]], *, now_us: int) -> None:
        """Like `settle`, for blocks that were delivered together: all or none, in one transaction."""
        letters = {
            block.id: [(block.batch_id, *letter, now_us, content) for *letter, content in _letters(block, settlement)]
            for block, settlement in settled
        }

        def work(db: sqlite3.Connection) -> None:
            for block, settlement in settled:
                if not _remove(db, block.id):
                    continue
                db.executemany(_INSERT_LETTER, letters[block.id])
                _count(db, "accepted", settlement.accepted)
                _count(db, "duplicates", settlement.duplicates)
                _count(db, "refused", len(settlement.refused))

        self._empty(work)

    def depth(self) -> Depth:
        with self._reading() as db:
            return read_depth(db)

    def counters(self) -> dict[str, int]:
        """Totals since the file was made: appended, accepted, duplicates, refused, damaged, ballast_released; and
        last_append_us."""
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

    def _insert(self, db: sqlite3.Connection, blocks: Sequence[NewBlock]) -> None:
        needed = sum(len(block.body) + PAGE_BYTES for block in blocks)
        if used_bytes(db) + needed > self.max_bytes:
            raise OutboxFullError(
                f"{self.path} has reached its bound of {self.max_bytes} bytes",
                hint="restore the link to the central, or raise outbox.max_bytes",
            )
        for block in blocks:
            header = (
                block.batch_id, block.record_class.value, block.first_time_us, block.last_time_us, block.count,
            )  # fmt: skip
            cursor = db.execute(
                "INSERT INTO block (batch_id, class, first_time_us, last_time_us, count, bytes, crc32)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*header, len(block.body), _checksum(header, block.body)),
            )
            db.execute("INSERT INTO body (block_id, content) VALUES (?, ?)", (cursor.lastrowid, block.body))
        _count(db, "appended", sum(block.count for block in blocks))
        newest = max((block.last_time_us for block in blocks), default=0)
        db.execute("UPDATE counter SET value = max(value, ?) WHERE name = 'last_append_us'", (newest,))

    def _bury(self, block_id: int, batch_id: str, count: int, body: bytes) -> None:
        logger.error("%s: block %d (%s records) is damaged; it goes to the dead letters", self.path, block_id, count)
        detail = "the stored bytes no longer match their checksum"
        letter = (batch_id, WHOLE_BLOCK, "damaged_block", detail, self._now_ns() // 1000, body)

        def work(db: sqlite3.Connection) -> None:
            if _remove(db, block_id):
                db.execute(_INSERT_LETTER, letter)
                _count(db, "damaged", count)

        self._empty(work)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, translated(self.path):
            if self._connection is None:
                raise OutboxError(f"{self.path} is not open")
            yield self._connection

    def _empty(self, work: Work) -> None:
        """A transaction that removes. On a full disk the ballast pays for it."""
        with self._reading() as db:
            try:
                in_transaction(db, work)
            except sqlite3.Error as exc:
                if result_code(exc) != sqlite3.SQLITE_FULL or not self._ballast.release():
                    raise
                self._note_full()
                in_transaction(db, lambda db: _counted(db, work))
            if self._has_room:
                shrink(db)
            else:
                self._regain_room(db)

    def _regain_room(self, db: sqlite3.Connection) -> None:
        """Give back what is free inside the file and its log, then put the ballast back."""
        shrink_on_a_full_disk(db)
        self._has_room = self._place_ballast()

    def _note_full(self) -> None:
        """Said once until something was appended again: a drain comes here with every block."""
        self._has_room = False
        if not self._was_full:
            logger.warning("%s: the disk is full; the ballast's room is used for emptying", self.path)
        self._was_full = True

    def _place_ballast(self) -> bool:
        """False when the disk has no room for it. Without one for another reason, SQLite will say what is wrong."""
        try:
            return self._ballast.place()
        except OSError as exc:
            logger.warning("%s: no ballast: %s", self.path, exc)
            return True


def read_depth(db: sqlite3.Connection) -> Depth:
    """What waits, from any connection to an outbox file, also a read-only one."""
    blocks, records, body_bytes, oldest, newest = db.execute(
        "SELECT count(*), coalesce(sum(count), 0), coalesce(sum(bytes), 0), min(first_time_us), max(last_time_us)"
        " FROM block"
    ).fetchone()
    letters = int(db.execute("SELECT count(*) FROM dead_letter").fetchone()[0])
    file_bytes = pragma(db, "page_count") * PAGE_BYTES
    return Depth(blocks, records, body_bytes, file_bytes, oldest, newest, letters)


def _letters(block: Block, settlement: Settlement) -> list[tuple[int, str, str, bytes]]:
    """Each refused record as a batch of one, so that it can be looked at and sent again."""
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


def _remove(db: sqlite3.Connection, block_id: int) -> bool:
    db.execute("DELETE FROM body WHERE block_id = ?", (block_id,))
    return db.execute("DELETE FROM block WHERE id = ?", (block_id,)).rowcount == 1


def _count(db: sqlite3.Connection, name: str, by: int) -> None:
    if by:
        db.execute(
            "INSERT INTO counter (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + ?",
            (name, by, by),
        )


def _counted(db: sqlite3.Connection, work: Work) -> None:
    work(db)
    _count(db, "ballast_released", 1)


def _checksum(header: Sequence[object], body: bytes) -> int:
    """Over the header too: a wrong count would make every answer look wrong and hold up the queue."""
    return zlib.crc32(body, zlib.crc32("|".join(map(str, header)).encode()))
