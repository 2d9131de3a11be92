"""How much room an append may use: the byte bound, or what the disk leaves above its floor, whichever is less."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cloud_sync.outbox_file import free_page_bytes, shrink_on_a_full_disk
from cloud_sync.retention import RETREAT_BYTES, Bounds


def free_bytes(folder: Path) -> int | None:
    """What a process without privileges may still write there; None when the file system does not tell."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


@dataclass(frozen=True, slots=True)
class DiskFloor:
    """`min_free_bytes` of the disk that holds `path` stay free for everybody else; 0: none do."""

    path: Path
    min_free_bytes: int
    free_bytes: Callable[[Path], int | None] = free_bytes

    def within(self, bounds: Bounds, *, used_bytes: int) -> Bounds:
        """The bounds as they are now: one `statvfs` and one `stat`, some microseconds.

        `used_bytes` of the outbox, without its free pages.
        """
        if self.min_free_bytes == 0 or (free := self.free_bytes(self.path.parent)) is None:
            return bounds
        try:
            held = self.path.stat().st_blocks * 512  # not its length: what is still in the log has no place yet
        except OSError:
            return bounds
        return bounds.on_disk(held + free - self.min_free_bytes, used_bytes=used_bytes)

    def give_back(self, db: sqlite3.Connection) -> None:
        """After an append: while others are below the floor, what is free inside the file is theirs, in steps."""
        if self.min_free_bytes == 0 or free_page_bytes(db) < RETREAT_BYTES:
            return
        free = self.free_bytes(self.path.parent)
        if free is not None and free < self.min_free_bytes:
            shrink_on_a_full_disk(db)
