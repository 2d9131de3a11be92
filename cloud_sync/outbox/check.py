"""Whether an outbox file is damaged, or a disk that fails now and then only made it look so.

SQLite calls a read that the disk refused (EIO) a malformed file. What is damaged stays so when it is read again.

Constraints
- Changes nothing in the file. Nobody else may have it open.
- One clean `integrity_check` is proof. Without one a file counts as damaged only when reading it again does not help.
- Of a file whose every piece can be read, a check that ended with an I/O error proves nothing, nor do checks that each
  find something else, on a disk that refuses calls: it is checked another time.
- Bounded: of a file beyond `MOST_CHECKED_BYTES` the totals and every header are read in place of every page.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_sync.errors import OutboxUnavailableError
from cloud_sync.outbox.sqlite_errors import UNREADABLE, decode_text, is_io_error, translated
from cloud_sync.outbox.tables import read_counters, read_depth

MOST_CHECKED_BYTES: Final = 256 << 20
"""Half a minute on a slow card; records wait in memory meanwhile."""
_CACHE_KIB: Final = 64 << 10
"""Pages that were read once are not read again, so that a check under passing errors comes to an end."""
_CHECKS: Final = 20
"""With 2 % of the calls failing a file of 1000 pages is clean at the fourth."""
_CHECKS_IN_CALM: Final = 4
_MOST_COMPLAINTS: Final = 10_000
_ALIKE: Final = 3
"""So many checks in a row find the same damage."""
_PIECE_BYTES: Final = 64 << 10
_FEWEST_READS: Final = 256
"""To tell a calm disk from one that refuses a call in a hundred, also for a file of a few pages."""
_READS: Final = 8
_PROVE_NOTHING: Final = (
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
)  # fmt: skip
_NO_SHARED_INDEX: Final = (sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP)
"""As a full disk is called that has no space for it."""


def what_is_damaged(path: Path) -> str | None:
    """Return what is wrong with the file; None when it is whole. Raises OutboxUnavailableError."""
    if _check(path, 1)[-1] is None:
        return None
    disk = read_through(path)
    if disk.is_gone:
        raise OutboxUnavailableError(
            f"{path} cannot be read: the disk gives I/O errors only",
            reason="io",
            hint="check the disk or flash card; look for errors in the kernel log",
        )
    checks = _check(path, _CHECKS_IN_CALM if disk.is_calm else _CHECKS)
    found = checks[-1]
    if found is None:
        return None
    says_nothing = found.is_io_error or checks[-_ALIKE:] != [found] * _ALIKE
    if says_nothing and disk.unreadable == 0:
        raise OutboxUnavailableError(
            f"{path} cannot be checked: {found.text}",
            reason="io",
            hint="check the disk or flash card; look for errors in the kernel log",
        )
    return found.text


@dataclass(frozen=True, slots=True)
class _Complaint:
    """What a check found, and whether only the disk kept it from an end."""

    text: str
    is_io_error: bool = False


@dataclass(frozen=True, slots=True)
class DiskReads:
    """How the plain reads of a file went, in pieces: how many, and how many of them failed at first, or each time."""

    pieces: int
    failed_once: int
    unreadable: int

    @property
    def is_calm(self) -> bool:
        return self.failed_once == 0

    @property
    def is_gone(self) -> bool:
        return self.pieces > 0 and self.unreadable == self.pieces


def read_through(path: Path) -> DiskReads:
    """Read the file and its log, each piece again when the disk refuses it; a small file some times over."""
    log = path.with_name(f"{path.name}-wal")
    sizes = {file: min(file.stat().st_size, MOST_CHECKED_BYTES) for file in (path, log) if file.exists()}
    pieces = {file: range(0, size, _PIECE_BYTES) for file, size in sizes.items()}
    read, failed_once, unreadable = 0, 0, 0
    while any(pieces.values()) and read < _FEWEST_READS:
        for file, starts in pieces.items():
            with file.open("rb", buffering=0) as opened:
                for start in starts:
                    reads = _reads_needed(opened.fileno(), start)
                    read += 1
                    failed_once += reads > 1
                    unreadable += reads > _READS
    return DiskReads(read, failed_once, unreadable)


def _reads_needed(descriptor: int, start: int) -> int:
    """More than `_READS` when none of them succeeded."""
    for number in range(1, _READS + 1):
        with contextlib.suppress(OSError):
            os.pread(descriptor, _PIECE_BYTES, start)
            return number
    return _READS + 1


def _check(path: Path, checks: int) -> list[_Complaint | None]:
    """Return what each of so many checks found, on one connection; the last is None when one found nothing."""
    found: list[_Complaint | None] = []
    db: sqlite3.Connection | None = None
    try:
        for _ in range(checks):
            try:
                db = db or _opened(path)
                found.append(_first_complaint(db))
                if found[-1] is None:
                    return found
            except UNREADABLE as exc:
                if not _may_be_damage(exc):
                    with translated(path):
                        raise
                found.append(_Complaint(str(exc), is_io_error=isinstance(exc, sqlite3.Error) and is_io_error(exc)))
    finally:
        if db is not None:
            db.close()
    return found


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    db.text_factory = decode_text
    return db


def _may_be_damage(exc: Exception) -> bool:
    """A full or read-only disk, and a file that somebody holds, prove nothing about the file."""
    if not isinstance(exc, sqlite3.Error):
        return True
    code = int(getattr(exc, "sqlite_errorcode", 0))
    return code & 0xFF not in _PROVE_NOTHING and code not in _NO_SHARED_INDEX


def _first_complaint(db: sqlite3.Connection) -> _Complaint | None:
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    size = db.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()[0]
    if size <= MOST_CHECKED_BYTES:
        found = str(db.execute(f"PRAGMA integrity_check({_MOST_COMPLAINTS})").fetchall()[0][0])
        if found != "ok":
            return _Complaint(found.replace("\n", " "))
    read_depth(db)
    read_counters(db)
    return None
