"""What was put aside beside an open outbox and is not all in it yet, read in a few steps at a time.

Constraints
- It never stands in the way: what cannot go on now is logged once, and tried again with the next append or delivery.
- A file counts as read in only when its one gap, if any, is durable.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from cloud_sync.errors import OutboxError
from cloud_sync.outbox.damaged_file import WINDOW_BYTES, DamagedFile
from cloud_sync.outbox.quarantine import unsalvaged
from cloud_sync.outbox.salvage import abandon, advance, begin, report
from cloud_sync.outbox.salvage_progress import forget
from cloud_sync.outbox.sqlite_errors import translated
from cloud_sync.outbox.sqlite_file import in_transaction

logger = logging.getLogger(__name__)


class PendingSalvage:
    """Of the outbox at `path`.

    `free_bytes` is how many bytes may come over now; `on_done` takes the files that are read in, and returns those
    that are still beside the outbox.
    """

    def __init__(
        self,
        path: Path,
        gateway_id: str,
        *,
        now_us: Callable[[], int],
        free_bytes: Callable[[sqlite3.Connection], int],
        on_done: Callable[[Sequence[Path]], list[Path]],
    ) -> None:
        self._path = path
        self._gateway_id = gateway_id
        self._now_us = now_us
        self._free_bytes = free_bytes
        self._on_done = on_done
        self._files: list[DamagedFile] = []
        self._error: str | None = None

    @property
    def waits_for(self) -> str | None:
        """Return why what was saved of a damaged file is not all here yet; None when nothing is left to do."""
        if not self._files:
            return None
        return self._error or "some of it comes over with every append and delivery"

    def begin(self, db: sqlite3.Connection, pay_for: Callable[[Callable[[], bool]], bool]) -> None:
        """Take up what a start finds; `pay_for` makes a call, again with the reserve on a full disk."""
        self.stop()
        self._files = [DamagedFile(file) for file in unsalvaged(self._path)]

        def begun() -> bool:
            with translated(self._path):
                begin(db, self._files)
                return abandon(db, [file.path.name for file in self._files])

        if self._files:
            logger.warning("%s: what is whole in %s is read in", self._path, self._files[0].path.name)
        if pay_for(begun) and not self._files:
            with translated(self._path):
                self._end(db)

    def stop(self) -> None:
        """Close the files; a later `begin` goes on with them."""
        for file in self._files:
            file.close()
        self._files = []

    def advance(self, db: sqlite3.Connection, most_steps: int | None) -> bool:
        """Do some steps, or all. False when nothing came over."""
        if not self._files:
            return False
        try:
            with translated(self._path):
                has_gone_on, waits_for = self._steps(db, most_steps)
        except OutboxError as exc:
            has_gone_on, waits_for = False, exc.message
        if waits_for is not None and self._error is None:
            names = ", ".join(file.path.name for file in self._files)
            logger.error("%s: reading in %s waits: %s; nothing of it is lost", self._path, names, waits_for)
        self._error = waits_for
        return has_gone_on

    def _steps(self, db: sqlite3.Connection, most_steps: int | None) -> tuple[bool, str | None]:
        """Whether anything came over, and why it does not go on."""
        steps = 0
        for file in self._files:
            while most_steps is None or steps < most_steps:
                free = self._free_bytes(db)
                if free <= 0:
                    return steps > 0, "there is no space for more of it"
                if not advance(db, file, most_bytes=min(free, WINDOW_BYTES)):
                    break
                steps += 1
        self._end(db)
        return steps > 0, None

    def _end(self, db: sqlite3.Connection) -> None:
        if not report(db, subject=self._gateway_id, now_us=self._now_us()):
            return
        files = [file.path for file in self._files]
        self.stop()
        kept = self._on_done(files)
        in_transaction(db, lambda db: forget(db, [file.name for file in kept]))
