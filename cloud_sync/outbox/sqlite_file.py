"""The outbox's file: SQLite's settings and their reasons, numbered migrations, and giving space back to the disk.

Constraints
- Every commit is synced (WAL, FULL): what was committed survives a power cut.
- A file of a newer program is refused and left as it is.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Final

from cloud_sync.errors import OutboxTooNewError
from cloud_sync.host.private_files import make_private_file
from cloud_sync.outbox.sqlite_errors import decode_text, translated

SCHEMA_VERSION: Final = 2
PAGE_BYTES: Final = 1024
"""Of a new file. A settled block touches a handful of pages; with 4096 nearly twice the bytes reach the flash."""
_BUSY_TIMEOUT_S: Final = 5.0
_CHECKPOINT_BYTES: Final = 512 << 10
"""Half the disk reserve: what the log holds must fit into the main file once the space of the reserve is given back."""
_LOG_BYTES_KEPT: Final = 4 << 20
_FREE_BYTES_KEPT: Final = 4 << 20  # for the next flushes; what an outage needed beyond that goes back to the disk
_VACUUM_BYTES: Final = 1 << 20  # 20 ms on a slow card, and more than one settled block frees
_VACUUM_BYTES_WHEN_FULL: Final = 128 << 10  # moving a page needs space in the log

Work = Callable[[sqlite3.Connection], None]


def connect(path: Path) -> sqlite3.Connection:
    """Create or migrate the file. Raises OutboxUnavailableError, OutboxCorruptError or OutboxTooNewError."""
    with translated(path):
        if not path.exists():
            with contextlib.suppress(OSError):  # SQLite has the better words
                make_private_file(path)  # its log and index take this file's mode
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        connection.text_factory = decode_text
        try:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            pages = _CHECKPOINT_BYTES // pragma(connection, "page_size")
            connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
            connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES_KEPT}")
            _migrate(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def in_transaction(db: sqlite3.Connection, work: Work) -> None:
    """Do all of the work or none of it, durable on return."""
    db.execute("BEGIN IMMEDIATE")
    try:
        work(db)
        db.execute("COMMIT")
    except BaseException:
        # After SQLITE_FULL or IOERR SQLite may have rolled back by itself.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def used_bytes(db: sqlite3.Connection) -> int:
    """Return the bytes of the main file, without its free pages."""
    return (pragma(db, "page_count") - pragma(db, "freelist_count")) * pragma(db, "page_size")


def free_page_bytes(db: sqlite3.Connection) -> int:
    return pragma(db, "freelist_count") * pragma(db, "page_size")


def shrink(db: sqlite3.Connection) -> None:
    """Give back a part of what is free beyond a reserve; call it after a removal."""
    if free_page_bytes(db) > _FREE_BYTES_KEPT:
        _vacuum(db, _VACUUM_BYTES)


def shrink_on_a_full_disk(db: sqlite3.Connection) -> None:
    """Give back what is free inside the file and its log, in steps that need little space themselves."""
    _truncate_log(db)
    _vacuum(db, _VACUUM_BYTES_WHEN_FULL)
    _truncate_log(db)


def _truncate_log(db: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):  # what cannot be moved now stays in the log, durable
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _vacuum(db: sqlite3.Connection, most_bytes: int) -> None:
    pages = most_bytes // pragma(db, "page_size")
    with contextlib.suppress(sqlite3.Error):  # when it fails the free pages stay in the file, for the next blocks
        db.executescript(f"PRAGMA incremental_vacuum({pages})")  # `execute` would do one page


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    version = pragma(db, "user_version")
    if version > SCHEMA_VERSION:
        raise OutboxTooNewError(
            f"{path} has schema {version}, made by a newer program (this one knows {SCHEMA_VERSION})",
            hint="install the newer agent again, or move the file aside",
        )
    folder = resources.files("cloud_sync.outbox") / "migrations"
    for number in range(version + 1, SCHEMA_VERSION + 1):
        script = next(item for item in folder.iterdir() if item.name.startswith(f"{number:03d}_"))
        statements = script.read_text(encoding="utf-8")
        # One transaction: a migration that is killed in the middle leaves the old version.
        db.executescript(f"BEGIN IMMEDIATE;\n{statements}\nPRAGMA user_version = {number};\nCOMMIT;")
