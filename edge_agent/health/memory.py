"""How much memory this process holds, and how much it may: of its control group, or of the whole box.

Held is what only this process needs (anonymous pages): what the kernel can read from disk again ends nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
GROUPS: Final = Path("/sys/fs/cgroup")
_MOST_BYTES: Final = 1 << 50
"""A limit beyond it is none: the first version of control groups says so with a number."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes; None where the kernel does not tell. `limit_bytes`: of the tightest control group, else of the box."""

    held_bytes: int | None
    limit_bytes: int | None
    available_bytes: int | None
    """Of the box, for whoever asks next."""
    is_group: bool = False
    """Whether the limit is a control group's (`MemoryMax=` of the service, or a container's)."""


def memory_of_this_process(*, proc: Path = PROC, groups: Path = GROUPS) -> Memory:
    """Return what /proc and /sys/fs/cgroup say now."""
    box = _table(proc / "meminfo")
    held = _table(proc / "self" / "status")
    total, group = box.get("MemTotal"), _group_limit(proc, groups)
    is_group = group is not None and (total is None or group < total)
    return Memory(
        held_bytes=held.get("RssAnon"),
        limit_bytes=group if is_group else total,
        available_bytes=box.get("MemAvailable"),
        is_group=is_group,
    )


def _table(file: Path) -> dict[str, int]:
    """Lines like `MemTotal:  24684084 kB`, in bytes."""
    found = {}
    for line in (_read(file) or "").splitlines():
        name, _, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        if unit == "kB" and number.isdecimal():
            found[name] = int(number) * 1024
    return found


def _group_limit(proc: Path, groups: Path) -> int | None:
    """The least of our control group's and those above it."""
    limits = []
    for line in (_read(proc / "self" / "cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            limits += _limits_up(groups, path, "memory.max")
        elif "memory" in controllers.split(","):
            limits += _limits_up(groups / "memory", path, "memory.limit_in_bytes")
    return min(limits, default=None)


def _limits_up(root: Path, path: str, name: str) -> list[int]:
    """In a container the path may be the host's: then only the root's own file is there."""
    folder = root / path.lstrip("/")
    found = []
    for place in (folder, *folder.parents):
        text = _read(place / name)
        if text is not None and text.isdecimal() and int(text) < _MOST_BYTES:
            found.append(int(text))
        if place == root:
            break
    return found


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
