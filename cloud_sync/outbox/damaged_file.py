"""A damaged outbox file that was put aside, read as far as it can be.

Constraints
- It is never written to, and its log is read with it: the newest commits may be in there only.
- What cannot be read is tried again on a fresh connection: a disk that fails now and then is not damage.
- Blocks come in windows, in order of their id, with what could not be read: a salvage can go on behind any of them.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, TypeVar

from cloud_sync.outbox.ack_ledger import ReadableLedger, readable_ledger
from cloud_sync.outbox.gap_log import OwnGap, own_gaps
from cloud_sync.outbox.sqlite_errors import UNREADABLE, decode_text
from cloud_sync.outbox.tables import LETTER_COLUMNS, DeadLetter, StoredBlock, find_block, find_header, next_block

T = TypeVar("T")

TRIES: Final = 12
"""A fresh connection makes some ten calls: with 2 % of them failing, one in five billion reads fails each time."""
WINDOW: Final = 64
WINDOW_BYTES: Final = 1 << 20
_PATIENT_FOR: Final = 4_096
"""After so many that stayed unreadable it is damage: a million of them must not take an hour."""
_LETTER_TYPES: Final = [int, str, int, str, str, int, bytes]


@dataclass(slots=True)
class BlockWindow:
    """The blocks behind an id, up to `last_id`; what lies there and cannot be read; `is_last` when nothing follows."""

    last_id: int
    found: list[StoredBlock] = field(default_factory=list)
    headers: list[StoredBlock] = field(default_factory=list)
    """Of blocks whose bodies cannot be read."""
    unreadable: list[int] = field(default_factory=list)
    """Ids of which not even that is known."""
    is_last: bool = False
    has_hole: bool = False
    """Something follows, and nobody knows what."""


@dataclass(slots=True)
class LetterWindow:
    last_id: int
    found: list[DeadLetter] = field(default_factory=list)
    unreadable: int = 0
    is_last: bool = False


class DamagedFile:
    """Opened when it is first read. Raises nothing of SQLite's: what cannot be read is left out, and counted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._failed = 0

    @property
    def _tries(self) -> int:
        return TRIES if self._failed < _PATIENT_FOR else 2

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it. It may be read on."""
        self._forget()

    def counters(self) -> dict[str, int]:
        """Return as many totals as can be read."""
        found: dict[str, int] = {}

        def read(db: sqlite3.Connection) -> None:
            for name, value in db.execute("SELECT name, value FROM counter WHERE typeof(value) = 'integer'"):
                found[str(name)] = value

        with contextlib.suppress(*UNREADABLE):
            self._tried(read)
        return found

    def gaps(self) -> list[OwnGap]:
        with contextlib.suppress(*UNREADABLE, TypeError):
            return self._tried(own_gaps)
        return []

    def ledger(self) -> ReadableLedger:
        """Return the best of some tries, when none was whole."""
        best: list[ReadableLedger] = []

        def read(db: sqlite3.Connection) -> ReadableLedger:
            found = readable_ledger(db)
            best.append(found)
            if not found.is_whole:
                raise sqlite3.DatabaseError("the ledger has a hole")
            return found

        with contextlib.suppress(*UNREADABLE):
            return self._tried(read)
        return max(best, key=lambda found: len(found.hours), default=ReadableLedger(None, is_whole=False))

    def rows_of(self, table: str, columns: str) -> list[tuple[object, ...]]:
        """Return the rows of a small table that may not be there."""
        with contextlib.suppress(*UNREADABLE):
            return self._tried(lambda db: db.execute(f"SELECT {columns} FROM {table}").fetchall())  # noqa: S608
        return []

    def highest_id(self) -> int:
        """Return it from the newest block, or from the counter; 0 when neither can be read."""
        return self._highest(
            "SELECT value FROM counter WHERE name = 'last_id'",
            "SELECT seq FROM sqlite_sequence WHERE name = 'block'",
            "SELECT max(id) FROM block",
        )

    def highest_letter_id(self) -> int:
        return self._highest(
            "SELECT seq FROM sqlite_sequence WHERE name = 'dead_letter'", "SELECT max(id) FROM dead_letter"
        )

    def blocks_after(self, after_id: int, *, highest_id: int, most_bytes: int = WINDOW_BYTES) -> BlockWindow:
        """Return the next window: read forward, and id by id where that does not go on."""
        window = BlockWindow(after_id)
        try:
            self._tried(lambda db: _read_forward(db, window, most_bytes))
        except UNREADABLE:
            if not window.found:  # otherwise the next window begins here
                self._probe(window, range(after_id + 1, min(highest_id, after_id + WINDOW) + 1))
                window.is_last = window.last_id >= highest_id
                window.has_hole = highest_id == 0
        return window

    def blocks_at(self, ids: Sequence[int]) -> BlockWindow:
        """Return what lies at these ids."""
        window = BlockWindow(0)
        self._probe(window, ids)
        return window

    def letters_after(self, after_id: int, *, highest_id: int) -> LetterWindow:
        window = LetterWindow(after_id)
        rows: list[tuple[object, ...]] = []
        try:
            rows = self._tried(lambda db: _letters(db, "id > ? ORDER BY id LIMIT ?", after_id, WINDOW))
        except UNREADABLE:
            return self._probe_letters(window, highest_id)
        window.is_last = len(rows) < WINDOW
        window.last_id = max((row[0] for row in rows if isinstance(row[0], int)), default=after_id)
        _take_letters(window, rows)
        return window

    def _probe(self, window: BlockWindow, ids: Sequence[int]) -> None:
        """Each may lie on another page."""
        window.last_id = ids[-1] if ids else window.last_id
        bodiless = self._rounds(ids, find_block, window.found)
        window.unreadable += self._rounds(bodiless, find_header, window.headers)
        self._failed += len(window.unreadable)

    def _rounds(
        self,
        ids: Sequence[int],
        find: Callable[[sqlite3.Connection, int], StoredBlock | None],
        found: list[StoredBlock],
    ) -> list[int]:
        """Look for all of these, and again for what is left, on one fresh connection a round. Returns what is left."""
        left = list(ids)
        for _ in range(self._tries):
            failed = []
            for block_id in left:
                try:
                    block = find(self._db(), block_id)
                except UNREADABLE:
                    failed.append(block_id)
                    continue
                found += [block] if block is not None else []
            left = failed
            if not left:
                break
            self._forget()
        return left

    def _probe_letters(self, window: LetterWindow, highest_id: int) -> LetterWindow:
        for letter_id in range(window.last_id + 1, min(highest_id, window.last_id + WINDOW) + 1):
            window.last_id = letter_id
            try:
                _take_letters(window, self._tried(lambda db, at=letter_id: _letters(db, "id = ? LIMIT ?", at, 1)))  # type: ignore[misc]
            except UNREADABLE:
                window.unreadable += 1
                self._failed += 1
        window.is_last = window.last_id >= highest_id
        return window

    def _highest(self, *statements: str) -> int:
        highest = 0
        for statement in statements:
            with contextlib.suppress(*UNREADABLE):
                row = self._tried(lambda db, ask=statement: db.execute(ask).fetchone())  # type: ignore[misc]
                highest = max(highest, int(row[0])) if row and isinstance(row[0], int) else highest
        return highest

    def _tried(self, read: Callable[[sqlite3.Connection], T]) -> T:
        for _ in range(self._tries - 1):
            with contextlib.suppress(*UNREADABLE):
                return read(self._db())
            self._forget()
        return read(self._db())

    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            uri = f"{self.path.absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            self._connection.text_factory = decode_text
        return self._connection

    def _forget(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None


def _read_forward(db: sqlite3.Connection, window: BlockWindow, most_bytes: int) -> None:
    """Until the window is full; called again it goes on behind what it found."""
    size = sum(len(block.body) for block in window.found)
    while not window.found or (len(window.found) < WINDOW and size < most_bytes):
        block = next_block(db, after_id=window.last_id)
        if block is None:
            window.is_last = True
            return
        window.found.append(block)
        window.last_id = block.id
        size += len(block.body)


def _letters(db: sqlite3.Connection, which: str, *values: int) -> list[tuple[object, ...]]:
    return db.execute(f"SELECT {LETTER_COLUMNS} FROM dead_letter WHERE {which}", values).fetchall()  # noqa: S608


def _take_letters(window: LetterWindow, rows: Iterable[tuple[object, ...]]) -> None:
    for row in rows:
        if list(map(type, row)) == _LETTER_TYPES:
            window.found.append(DeadLetter(*row))  # type: ignore[arg-type]
        else:
            window.unreadable += 1
