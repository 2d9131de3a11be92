"""SQLite's result codes as our errors: the one place that knows both."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cloud_sync.errors import OutboxCorruptError, OutboxError, OutboxUnavailableError
from cloud_sync.host.inodes import hint_of_full_disk

_UNAVAILABLE: Final = {
    sqlite3.SQLITE_FULL: ("full", "free space on the disk that holds the outbox"),
    sqlite3.SQLITE_IOERR: ("io", "check the disk or flash card; look for errors in the kernel log"),
    sqlite3.SQLITE_READONLY: ("readonly", "remount the file system read-write, or check the file's owner"),
    sqlite3.SQLITE_CANTOPEN: ("cannot_open", "check that the folder exists and that the agent may write to it"),
    sqlite3.SQLITE_BUSY: ("busy", "another process holds the outbox; stop it"),
    sqlite3.SQLITE_LOCKED: ("busy", "another process holds the outbox; stop it"),
}
_NO_FILE_MADE: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
"""What SQLite calls it that its log or index could not be made."""

UNREADABLE: Final = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged file may raise; the second, because SQLite's own words then quote damaged bytes."""

_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH)
"""The last two: rows that contradict each other or their types, which only changed bytes can make of ours."""
_SCHEMA_DIFFERS: Final = ("no such ", "has no column named", "already exists")


def decode_text(stored: bytes) -> str:
    """Decode a text column, for `text_factory`: damage in it must be found by a checksum, and not end the reading."""
    return stored.decode(errors="replace")


def result_code(exc: sqlite3.Error) -> int:
    """Return the primary code; 0 when the error is the Python module's own."""
    return int(getattr(exc, "sqlite_errorcode", 0)) & 0xFF


def is_io_error(exc: sqlite3.Error) -> bool:
    """Return whether the disk refused a call, which proves nothing about what lies on it."""
    return result_code(exc) == sqlite3.SQLITE_IOERR


def is_beyond_doubt(damage: OutboxCorruptError) -> bool:
    """Return whether rows contradict what we wrote; SQLite calls a read that the disk refused damage, too."""
    cause = damage.__cause__
    maybe = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return not (isinstance(cause, sqlite3.Error) and result_code(cause) in maybe)


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Let only our errors out; SQLite's result code decides which."""
    try:
        yield
    except sqlite3.Error as exc:
        code = result_code(exc)
        if _is_damage(exc):
            raise _damaged(path, exc) from exc
        if code in _UNAVAILABLE:
            reason, hint = _UNAVAILABLE[code]
            if code in _NO_FILE_MADE:
                hint = hint_of_full_disk(path.parent, hint)
            raise OutboxUnavailableError(f"{path}: {exc}", reason=reason, hint=hint) from exc
        raise OutboxError(f"{path}: {exc}") from exc
    except UnicodeDecodeError as exc:
        raise _damaged(path, exc) from exc


def _is_damage(exc: sqlite3.Error) -> bool:
    """Our statements are fixed: a table they do not find, and a row they cannot read, are not as we wrote them."""
    if isinstance(exc, sqlite3.DataError) or result_code(exc) in _DAMAGED:
        return True
    return result_code(exc) == sqlite3.SQLITE_ERROR and any(words in str(exc) for words in _SCHEMA_DIFFERS)


def _damaged(path: Path, exc: Exception) -> OutboxCorruptError:
    hint = "stop the agent, move the file aside, start again; keep the file"
    return OutboxCorruptError(f"{path} is damaged: {exc}", hint=hint)
