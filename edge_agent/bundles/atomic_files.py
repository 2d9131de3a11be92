"""Changes of the models folder that a killed process or lost power leaves either undone or done.

Constraints
- A file or folder appears under its name only when all of it is on the disk: written beside, synced, renamed, and
  the folder that holds the name synced.
- Whoever reads, decides and writes holds the folder's lock meanwhile; the kernel lets go of it when a process dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from cloud_sync.host.fsync import sync
from cloud_sync.host.private_files import mode_beside


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` alone among those who change it. Wait for the others; each of them holds it for milliseconds."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remove_file(path: Path) -> None:
    """Remove a file for good before it returns; no file is fine. Raises OSError."""
    path.unlink(missing_ok=True)
    sync(path.parent)


def publish_folder(built: Path, place: Path) -> None:
    """Move a folder of files to `place`, which does not exist, on the same file system. Raises OSError."""
    for file in built.iterdir():
        file.chmod(mode_beside(place.parent, 0o644))
        sync(file)
    built.chmod(mode_beside(place.parent, 0o755))
    sync(built)
    os.replace(built, place)  # noqa: PTH105
    sync(place.parent)


def remove_folder(folder: Path) -> None:
    """Take the folder's name away first, so that a part of it is never taken for the whole. Raises OSError."""
    doomed = folder.with_name(f".doomed-{folder.name}")
    if doomed.exists():
        shutil.rmtree(doomed)
    os.replace(folder, doomed)  # noqa: PTH105
    sync(folder.parent)
    shutil.rmtree(doomed)
