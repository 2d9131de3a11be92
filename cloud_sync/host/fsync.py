"""What is on the disk, and not only in a cache, when a call returns."""

from __future__ import annotations

import os
from pathlib import Path

from cloud_sync.host.private_files import mode_beside


def sync(path: Path) -> None:
    """Make durable what the file `path` holds, or the names in the folder `path`. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, text: str) -> None:
    """Replace the text of `path`: it holds the old or the new one at any moment. One writer at a time. Raises OSError.

    It is as open to read as its folder: root may have written what the agent has to read.
    """
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)  # left by a kill, perhaps another user's, who could be root
    try:
        with temporary.open("x", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode_beside(path.parent, 0o644))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - named as the system call that counts
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)
