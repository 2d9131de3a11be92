"""Disk space kept back beside the outbox, so that on a full disk it can still be emptied.

SQLite needs space to delete. On a full disk an outbox could neither take in nor be emptied; given the space of the
reserve file, it can be emptied, and what that frees pays for a new reserve.

A file system also runs out of files (inodes), and SQLite needs two more files to open an outbox: its log and its index.
Empty files beside the reserve hold a place for them. They gate nothing: an open outbox needs no further file.

Constraints
- On a full disk the reserve pays for what removes, and for what SQLite needs to open a file.
- Nothing is appended until the reserve is back in its place.
- A disk that has no reserve for another reason stops nothing: SQLite's own error will name what is wrong.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from cloud_sync.errors import OutboxUnavailableError
from cloud_sync.host.private_files import make_private_file, open_private
from cloud_sync.outbox.sqlite_errors import result_code
from cloud_sync.outbox.sqlite_file import Work, in_transaction, shrink, shrink_on_a_full_disk
from cloud_sync.outbox.tables import count

logger = logging.getLogger(__name__)
T = TypeVar("T")

RESERVE_BYTES: Final = 1 << 20
"""Twice what the write-ahead log usually holds."""

SPARE_FILES: Final = 2
"""SQLite's log and index; the reserve's own inode pays for the reserve that is put back."""

_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class DiskReserve:
    """Of the outbox at `path`. Constructing one touches nothing."""

    def __init__(self, path: Path, *, size_bytes: int) -> None:
        self._path = path
        self._file = ReserveFile(path.with_name(f"{path.name}.ballast"), size_bytes=size_bytes)
        self._has_space = True
        self._was_full = False

    @property
    def is_there(self) -> bool:
        """Return False while the reserve is in use or cannot be had."""
        return self._file.is_there

    def place(self) -> None:
        """Put the reserve in its place, when the disk has the space."""
        try:
            self._has_space = self._file.place()
        except OSError as exc:
            logger.warning("%s: no disk reserve: %s", self._path, exc)
            self._has_space = True

    def place_spares(self) -> None:
        """Hold places for the files that the next opening needs: with the log and the index theirs became free."""
        if self._has_space:
            self._file.place_spares()

    def check_space(self, db: sqlite3.Connection) -> None:
        """Raise OutboxUnavailableError while what is left of the disk is kept for emptying."""
        if not self._has_space:
            self._regain_space(db)
        if not self._has_space:
            raise OutboxUnavailableError(
                f"{self._path}: the disk is full, and what is left is kept for emptying the outbox",
                reason="full",
                hint="free space on the disk that holds the outbox",
            )

    def forget_full_disk(self) -> None:
        """Log a disk that is full from now on once more: something was appended."""
        self._was_full = False

    def pay_for(self, call: Callable[[], T]) -> T:
        """Make the call, and once more with the space of the reserve when a full disk may be why it failed.

        A full disk has no space for SQLite's shared index either, which it calls an I/O error.
        """
        try:
            return call()
        except OutboxUnavailableError as exc:
            if exc.reason not in ("full", "io", "cannot_open") or not self._file.release():
                raise
            return call()

    def remove(self, db: sqlite3.Connection, work: Work) -> None:
        """Do the work, which removes, in one transaction; on a full disk the reserve pays for it."""
        try:
            in_transaction(db, work)
        except sqlite3.Error as exc:
            if result_code(exc) != sqlite3.SQLITE_FULL or not self._file.release():
                raise
            self._log_full_disk()
            in_transaction(db, lambda db: _counted(db, work))
        if self._has_space:
            shrink(db)
        else:
            self._regain_space(db)

    def _regain_space(self, db: sqlite3.Connection) -> None:
        """Give back what is free inside the file and its log, then put the reserve back."""
        shrink_on_a_full_disk(db)
        self.place()

    def _log_full_disk(self) -> None:
        """Log it once until something was appended again: a drain comes here with every block."""
        self._has_space = False
        if not self._was_full:
            logger.warning("%s: the disk is full; the disk reserve is used for emptying", self._path)
        self._was_full = True


class ReserveFile:
    """A file that only takes up space, and the empty ones beside it. Constructing one touches nothing."""

    def __init__(self, path: Path, *, size_bytes: int = RESERVE_BYTES) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self._spares = [path.with_name(f"{path.name}-inode{number}") for number in range(1, SPARE_FILES + 1)]

    @property
    def is_there(self) -> bool:
        """Return whether it is whole: one that was cut off while it was made is none."""
        try:
            return self.path.stat().st_size >= self.size_bytes
        except OSError:
            return False

    def place(self) -> bool:
        """Take the space up, real blocks and not a hole. False when the disk has none; OSError for other reasons."""
        if not self.is_there:
            try:
                with open_private(self.path, "wb") as file:
                    os.posix_fallocate(file.fileno(), 0, self.size_bytes)
            except OSError as exc:
                _removed(self.path)
                if exc.errno in _DISK_FULL:
                    return False
                raise
        self.place_spares()
        return True

    def place_spares(self) -> None:
        """Hold places for SQLite's files, as far as the file system has any."""
        with contextlib.suppress(OSError):
            for spare in self._spares:
                make_private_file(spare)

    def release(self) -> bool:
        """Give space and places back. False when there was nothing to give."""
        removed = [_removed(path) for path in (self.path, *self._spares)]
        return any(removed)


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


def _counted(db: sqlite3.Connection, work: Work) -> None:
    work(db)
    count(db, "ballast_released", 1)
