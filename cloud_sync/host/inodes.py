"""How many files a file system has place for: a disk can be full with bytes left, and the error is the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

NO_INODE_HINT: Final = (
    "no inode is free there, so no file can be made: remove old files (df -i shows where they are many)"
)


def free_inodes(folder: Path) -> int | None:
    """Return how many files may still be made there without privileges; None when the file system does not know."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_favail if disk.f_files else None


def hint_of_full_disk(folder: Path, otherwise: str) -> str:
    """Return what to do where a file could not be made or grown: another remedy when it was for want of an inode."""
    return NO_INODE_HINT if free_inodes(folder) == 0 else otherwise
