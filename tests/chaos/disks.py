"""A small disk of a run's own, which can be filled and made read-only. Needs root."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

DISK_BYTES = 48 << 20


class SmallDisk:
    """A tmpfs."""

    def __init__(self, mount: Path) -> None:
        self.path = mount
        self._stranger = mount / "stranger"

    def fill(self) -> None:
        """Somebody else's file takes all that is left."""
        with self._stranger.open("wb", buffering=0) as file:
            for size in (1 << 20, 4_096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def free(self) -> None:
        self._stranger.unlink(missing_ok=True)

    def make(self, mode: str) -> None:
        """`ro` or `rw`. Read-only only while nobody has a file open for writing."""
        subprocess.run(["mount", "-o", f"remount,{mode}", self.path], check=True)


@contextlib.contextmanager
def small_disk(mount: Path, *, size: int = DISK_BYTES) -> Iterator[SmallDisk]:
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", mount], check=True)
    try:
        yield SmallDisk(mount)
    finally:
        subprocess.run(["umount", "-l", mount], check=True)
