"""The one connection to the outbox's file, kept on a file that is sound and in its place.

Constraints
- What SQLite calls damaged is looked into: a damaged file is put aside and its salvage begun before anything is
  appended, and one that only looked so is opened again. An I/O error that passes is no damage.
- A file that was removed or replaced under us is written again from the open connection, which is never closed before.

Whoever calls holds the outbox's lock.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cloud_sync.errors import OutboxCorruptError, OutboxError, OutboxTooNewError, OutboxUnavailableError
from cloud_sync.outbox.check import what_is_damaged
from cloud_sync.outbox.disk_reserve import DiskReserve
from cloud_sync.outbox.pending_salvage import PendingSalvage
from cloud_sync.outbox.quarantine import finish_putting_aside, mark_salvaged, put_aside, quarantined, remove_old
from cloud_sync.outbox.rewrite import OpenFile, emit_rescue, put_in_place, write_again
from cloud_sync.outbox.sqlite_errors import is_beyond_doubt, translated
from cloud_sync.outbox.sqlite_file import connect, in_transaction
from cloud_sync.outbox.tables import checked_headers

logger = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 4
"""At a file that looks damaged and is not. Then the disk is too bad, and the caller comes again."""


class OutboxConnection:
    """`open` acquires; the constructor does not.

    `max_bytes` bounds what was put aside as it bounds the outbox; `salvage_bytes` is how many bytes of a damaged
    file may come over now.
    """

    def __init__(
        self,
        path: Path,
        gateway_id: str,
        *,
        reserve: DiskReserve,
        max_bytes: int,
        now_ns: Callable[[], int],
        salvage_bytes: Callable[[sqlite3.Connection], int],
    ) -> None:
        self.removed = 0
        """Files put aside that were removed and are not counted in the outbox yet."""
        self.salvage = PendingSalvage(
            path, gateway_id, now_us=lambda: now_ns() // 1000, free_bytes=salvage_bytes, on_done=self._salvage_done
        )
        self._path = path
        self._gateway_id = gateway_id
        self._reserve = reserve
        self._max_bytes = max_bytes
        self._now_ns = now_ns
        self._db: sqlite3.Connection | None = None
        self._file: OpenFile | None = None
        self._rescue_is_due = False
        self._unexpected_file: Path | None = None

    @property
    def is_open(self) -> bool:
        return self._file is not None

    def open(self) -> None:
        """Create, migrate or salvage the file. Raises OutboxUnavailableError or OutboxTooNewError."""
        put_in_place(self._path, now_ns=self._now_ns())  # a kill may have come before the end of a rescue
        finish_putting_aside(self._path)
        try:
            self._acquire()
        except OutboxError:
            self._file = None  # it is not open
            raise
        self._remove_old(newest=None)

    def close(self) -> None:
        """Close it. What was committed stays, also when the file was removed under us since the last append."""
        if self._db is not None:
            try:
                self.ensure_in_place()
            except OutboxError as exc:
                logger.critical("%s; what waited in it is lost with this stop", exc.message)
        self._disconnect()
        if self._file is not None:
            self._reserve.place_spares()
        self._file = None
        self.salvage.stop()

    def opened(self) -> sqlite3.Connection:
        """Return the connection, made again when it was closed after an I/O error or for damage. Raises OutboxError."""
        if self._db is None and self._file is not None:
            self._acquire()
        if self._db is None:
            raise OutboxError(f"{self._path} is not open")
        return self._db

    def ensure_in_place(self) -> None:
        """Check that what is open is still what a start would find; if not, make it so, and log it."""
        if self._rescue_is_due and self._db is not None:
            self._emit_rescue()
        if self._file is None or self._file.is_in_place:
            return
        if self._db is not None:
            self._unexpected_file = write_again(self._db, self._file, now_ns=self._now_ns())
            self._rescue_is_due = True
            self._db.close()
            self._db = None
        self._acquire()
        if self._rescue_is_due:
            self._emit_rescue()

    def examine(self, damage: OutboxCorruptError, *, is_certain: bool) -> None:
        """Close the file; put it aside when it is damaged. What only looked so is opened again by whoever is next."""
        if self._file is not None and not self._file.is_in_place:
            raise damage  # the open connection is all there is of it: `ensure_in_place` writes it again
        self._disconnect()
        found = damage.message if is_certain else self._reserve.pay_for(lambda: what_is_damaged(self._path))
        if found is None:
            logger.warning("%s; a check found it whole, it is used on: an I/O error that passed", damage.message)
            return
        logger.error("%s is damaged, and is put aside: %s", self._path, found)
        aside = self._reserve.pay_for(lambda: put_aside(self._path, now_ns=self._now_ns()))
        self._remove_old(newest=aside)  # before the salvage, which needs space

    def reconnect_after(self, error: OutboxError) -> None:
        """Close a connection after an I/O error, so that a fresh one is made; not when it is all there is."""
        if self._db is None or self._file is None or not self._file.is_in_place:
            return
        is_io = isinstance(error, OutboxUnavailableError) and error.reason == "io"
        if is_io or self._db.in_transaction:
            self._disconnect()

    def _acquire(self) -> None:
        """Connect, put a damaged file aside, and begin or go on with what salvage there is to do."""
        for _ in range(MAX_ATTEMPTS):
            try:
                self._db = checked_headers(self._reserve.pay_for(lambda: connect(self._path)), self._path)
                break
            except OutboxTooNewError:
                raise
            except OutboxCorruptError as exc:
                damage = exc
                self.examine(exc, is_certain=is_beyond_doubt(exc))
        else:
            raise transient_error(damage)
        self._file = OpenFile.at(self._path)
        try:
            self.salvage.begin(self._db, self._reserve.pay_for)
        except BaseException:
            self._disconnect()  # nothing may be appended before
            raise
        self._reserve.place()
        self.salvage.advance(self._db, None)

    def _disconnect(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
        self._db = None

    def _emit_rescue(self) -> None:
        now_us = self._now_ns() // 1000
        with translated(self._path):
            db, aside = self.opened(), self._unexpected_file
            in_transaction(db, lambda db: emit_rescue(db, aside, subject=self._gateway_id, now_us=now_us))
        self._rescue_is_due = False
        logger.error("%s was removed or replaced while it was open; it was written again, nothing is lost", self._path)
        self._remove_old(newest=self._unexpected_file)

    def _salvage_done(self, files: Sequence[Path]) -> list[Path]:
        """Mark every file as read in: from now on they are old ones like the others. Returns what is kept."""
        for file in files:
            mark_salvaged(file)
        self._remove_old(newest=None)
        return quarantined(self._path)

    def _remove_old(self, *, newest: Path | None) -> None:
        """Files put aside are bounded like the outbox itself. Counted with the next append: now it may not take it."""
        self.removed += remove_old(self._path, most_bytes=self._max_bytes, newest=newest)


def transient_error(damage: OutboxCorruptError) -> OutboxUnavailableError:
    """Return the error of a disk that made a whole file look damaged each time."""
    return OutboxUnavailableError(
        f"{damage.message}; a check finds it whole each time",
        reason="io",
        hint="check the disk or flash card; look for errors in the kernel log",
    )
