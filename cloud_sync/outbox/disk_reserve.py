"""A file that only takes up room, so that there is room to give back when the disk is full.

SQLite needs space to delete. On a full disk an outbox could neither take in nor be emptied; given this file's
room back, it can be emptied, and what that frees pays for a new ballast.

A file system also runs out of files (inodes), and SQLite needs two more files to open an outbox: its log and its index.
Empty files beside the ballast hold a place for them. They gate nothing: an open outbox needs no further file.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Final

from cloud_sync.host.private_files import make_private_file, open_private

BALLAST_BYTES: Final = 1 << 20
"""Twice what the write-ahead log usually holds."""

SPARE_FILES: Final = 2
"""SQLite's log and index; the ballast's own inode pays for the ballast that is put back."""

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


class Ballast:
    """Constructing one touches nothing."""

    def __init__(self, path: Path, *, size_bytes: int = BALLAST_BYTES) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self._spares = [path.with_name(f"{path.name}-inode{number}") for number in range(1, SPARE_FILES + 1)]

    @property
    def is_there(self) -> bool:
        """Whole: one that was cut off while it was made is none."""
        try:
            return self.path.stat().st_size >= self.size_bytes
        except OSError:
            return False

    def place(self) -> bool:
        """Take the room up, real blocks and not a hole. False when the disk has none; OSError for other reasons."""
        if not self.is_there:
            try:
                with open_private(self.path, "wb") as file:
                    os.posix_fallocate(file.fileno(), 0, self.size_bytes)
            except OSError as exc:
                _removed(self.path)
                if exc.errno in _NO_ROOM:
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
        """Give room and places back. False when there was nothing to give."""
        removed = [_removed(path) for path in (self.path, *self._spares)]
        return any(removed)


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True
