"""What lies below a folder: which file system, whether what is written there lasts, and how much fits in.

Facts of `statvfs` and of /proc/self/mountinfo (its fields: proc_pid_mountinfo(5)), read defensively: what cannot be
told is None.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mountinfo")
_MOST_BYTES: Final = 4_000_000
"""Of the table of mounts; a box with containers has some hundred lines."""
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "devtmpfs", "rootfs"})
_OVERLAYS: Final = frozenset({"overlay", "aufs", "fuse-overlayfs", "fuse.fuse-overlayfs"})
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
_MOST_LAYERS: Final = 4


class Durability(StrEnum):
    """What becomes of a file when the power fails after it was synced."""

    LASTS = "lasts"
    IN_MEMORY = "in_memory"
    IN_A_LAYER = "in_a_layer"
    """Of an overlay, whose upper folder cannot be seen from here: a container's own, or one in memory."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the table of mounts."""

    device: int
    point: Path
    type: str
    options: tuple[str, ...] = ()

    @property
    def upper(self) -> Path | None:
        """Return the folder that takes what is written to an overlay, as it was called where it was mounted."""
        return next((Path(o.removeprefix("upperdir=")) for o in self.options if o.startswith("upperdir=/")), None)


@dataclass(frozen=True, slots=True)
class FileSystem:
    """Below a folder. `free_bytes` and `free_inodes` are for a process without privileges."""

    folder: Path
    type: str | None
    durability: Durability
    is_read_only: bool
    total_bytes: int
    free_bytes: int
    total_inodes: int | None
    free_inodes: int | None
    """None where files are not counted (btrfs and others)."""


def file_system_of(folder: Path, *, mounts: Path = MOUNTS) -> FileSystem:
    """Return what lies below the folder, or below the nearest one above it that is there. Raises OSError."""
    there = _nearest(folder)
    size = os.statvfs(there)
    found = read_mounts(mounts)
    mount = _mount_of(there, found)
    return FileSystem(
        folder=there,
        type=mount.type if mount else None,
        durability=_durability(mount, found),
        is_read_only=bool(size.f_flag & os.ST_RDONLY),
        total_bytes=size.f_blocks * size.f_frsize,
        free_bytes=size.f_bavail * size.f_frsize,
        total_inodes=size.f_files or None,
        free_inodes=size.f_favail if size.f_files else None,
    )


def read_mounts(file: Path = MOUNTS) -> list[Mount]:
    """Return the table of mounts, later ones last; empty where there is none."""
    try:
        with file.open("rb") as table:
            text = table.read(_MOST_BYTES).decode(errors="surrogateescape")
    except OSError:
        return []
    return list(_parsed(text))


def _parsed(text: str) -> Iterator[Mount]:
    """`36 35 98:0 /root /mnt rw,noatime shared:1 - ext3 /dev/root rw,errors=continue`; other lines are passed over."""
    for line in text.splitlines():
        before, dash, behind = line.partition(" - ")
        fields, rest = before.split(" "), behind.split(" ")
        if not dash or len(fields) < 6 or not rest[0]:
            continue
        major, _, minor = fields[2].partition(":")
        if not (major.isdecimal() and minor.isdecimal()):
            continue
        options = tuple(_unescaped(option) for option in ",".join(rest[2:3]).split(",") if option)
        yield Mount(os.makedev(int(major), int(minor)), Path(_unescaped(fields[4])), rest[0], options)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)


def _mount_of(folder: Path, mounts: list[Mount]) -> Mount | None:
    """The newest mount of the deepest point above the folder; its device tells it from one that lies hidden below."""
    above = [mount for mount in mounts if folder.is_relative_to(mount.point)]
    device = folder.stat().st_dev
    # btrfs and overlays give files another device than the table has: then the place alone decides.
    same = [mount for mount in above if mount.device == device] or above
    return max(reversed(same), key=lambda mount: len(mount.point.parts), default=None)


def _durability(mount: Mount | None, mounts: list[Mount]) -> Durability:
    for _ in range(_MOST_LAYERS):
        if mount is None:
            return Durability.UNKNOWN
        if mount.type in _IN_MEMORY:
            return Durability.IN_MEMORY
        if mount.type not in _OVERLAYS:
            return Durability.LASTS
        if mount.upper is None or not mount.upper.is_dir():
            return Durability.IN_A_LAYER
        mount = _mount_of(mount.upper.resolve(), mounts)
    return Durability.UNKNOWN


def _nearest(folder: Path) -> Path:
    """Raises OSError when not even the root can be looked at."""
    whole = folder.absolute()
    for there in (whole, *whole.parents):
        try:
            there.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        return there.resolve()
    raise FileNotFoundError(f"{folder} and nothing above it can be looked at")
