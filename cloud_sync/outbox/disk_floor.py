"""How much space an append may use: the byte bound, or what the disk leaves above its floor, whichever is less."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_sync.outbox.retention_policy import Bounds
from cloud_sync.outbox.sqlite_file import free_page_bytes, shrink_on_a_full_disk

DEFAULT_FLOOR_BYTES: Final = 100_000_000
FLOOR_SHARE: Final = 10
"""On a small disk a tenth of it: a floor above what is free would leave the outbox no space at all."""
LEAST_SHRINK_BYTES: Final = 128 << 10


def floor_bytes(folder: Path, wanted: int | None) -> int:
    """Return the bytes to keep free on the disk of a folder that may not be there yet: `wanted`, or the default."""
    if wanted is not None:
        return wanted
    for there in (folder, *folder.parents):
        with contextlib.suppress(OSError):  # not there yet, or closed to us: what opens the outbox raises
            disk = os.statvfs(there)
            return min(DEFAULT_FLOOR_BYTES, disk.f_blocks * disk.f_frsize // FLOOR_SHARE)
    return DEFAULT_FLOOR_BYTES


def free_bytes(folder: Path) -> int | None:
    """Return what a process without privileges may still write there; None when the file system does not know."""
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
        """Return the bounds as they are now: one `statvfs` and one `stat`, some microseconds.

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
        """Give what is free inside the file back to a disk that is below its floor; call it after an append."""
        if self.min_free_bytes == 0 or free_page_bytes(db) < LEAST_SHRINK_BYTES:
            return
        free = self.free_bytes(self.path.parent)
        if free is not None and free < self.min_free_bytes:
            shrink_on_a_full_disk(db)
