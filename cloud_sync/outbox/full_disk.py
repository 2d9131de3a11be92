"""Room kept back on the outbox's disk, so that on a full one it can still be emptied.

Constraints
- On a full disk the ballast's room pays for what removes, and for what SQLite needs to open a file.
- Nothing is appended until the ballast is back in its place.
- A disk that has no ballast for another reason stops nothing: SQLite will say what is wrong.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cloud_sync.errors import OutboxUnavailableError
from cloud_sync.outbox.disk_reserve import Ballast
from cloud_sync.outbox.sqlite_errors import result_code
from cloud_sync.outbox.sqlite_file import Work, in_transaction, shrink, shrink_on_a_full_disk
from cloud_sync.outbox.tables import count

logger = logging.getLogger(__name__)
T = TypeVar("T")


class DiskReserve:
    """Of the outbox at `path`. Constructing one touches nothing."""

    def __init__(self, path: Path, *, size_bytes: int) -> None:
        self._path = path
        self._ballast = Ballast(path.with_name(f"{path.name}.ballast"), size_bytes=size_bytes)
        self._has_room = True
        self._was_full = False

    @property
    def is_there(self) -> bool:
        """False while the ballast's room is in use or cannot be had."""
        return self._ballast.is_there

    def place(self) -> None:
        """Put the ballast in its place, when the disk has the room."""
        try:
            self._has_room = self._ballast.place()
        except OSError as exc:
            logger.warning("%s: no ballast: %s", self._path, exc)
            self._has_room = True

    def place_spares(self) -> None:
        """Hold places for the files that the next opening needs: with the log and the index theirs became free."""
        if self._has_room:
            self._ballast.place_spares()

    def check_room(self, db: sqlite3.Connection) -> None:
        """Raise OutboxUnavailableError while what is left of the disk is kept for emptying."""
        if not self._has_room:
            self._regain_room(db)
        if not self._has_room:
            raise OutboxUnavailableError(
                f"{self._path}: the disk is full, and what is left is kept for emptying the outbox",
                reason="full",
                hint="free space on the disk that holds the outbox",
            )

    def note_appended(self) -> None:
        """A disk that is full from now on is so anew."""
        self._was_full = False

    def pay_for(self, call: Callable[[], T]) -> T:
        """Make the call, and once more with the ballast's room when a full disk may be why it failed.

        A full disk has no room for SQLite's shared index either, which it calls an I/O error.
        """
        try:
            return call()
        except OutboxUnavailableError as exc:
            if exc.reason not in ("full", "io", "cannot_open") or not self._ballast.release():
                raise
            return call()

    def remove(self, db: sqlite3.Connection, work: Work) -> None:
        """Do the work, which removes, in one transaction; on a full disk the ballast pays for it."""
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
        self.place()

    def _note_full(self) -> None:
        """Said once until something was appended again: a drain comes here with every block."""
        self._has_room = False
        if not self._was_full:
            logger.warning("%s: the disk is full; the ballast's room is used for emptying", self._path)
        self._was_full = True


def _counted(db: sqlite3.Connection, work: Work) -> None:
    work(db)
    count(db, "ballast_released", 1)
