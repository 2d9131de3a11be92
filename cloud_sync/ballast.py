"""A file that only takes up room, so that there is room to give back when the disk is full.

SQLite needs space to delete. On a full disk an outbox could neither take in nor be emptied; given this file's
room back, it can be emptied, and what that frees pays for a new ballast.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from cloud_sync.private_files import open_private

BALLAST_BYTES: Final = 1 << 20
"""Twice what the write-ahead log usually holds."""

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


class Ballast:
    """Constructing one touches nothing."""

    def __init__(self, path: Path, *, size_bytes: int = BALLAST_BYTES) -> None:
        self.path = path
        self.size_bytes = size_bytes

    @property
    def is_there(self) -> bool:
        """Whole: one that was cut off while it was made is none."""
        try:
            return self.path.stat().st_size >= self.size_bytes
        except OSError:
            return False

    def place(self) -> bool:
        """Take the room up, real blocks and not a hole. False when the disk has none; OSError for other reasons."""
        if self.is_there:
            return True
        try:
            with open_private(self.path, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, self.size_bytes)
        except OSError as exc:
            self.release()
            if exc.errno in _NO_ROOM:
                return False
            raise
        return True

    def release(self) -> bool:
        """Give the room back. False when there was nothing to give."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True
