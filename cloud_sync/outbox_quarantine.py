"""Files put aside beside an outbox: damaged ones, and strangers found in its place; how many of them are kept.

Constraints
- A file that is put aside keeps its name with `.corrupt-<time>` or `.replaced-<time>` behind it, and its log; it is
  never written to again.
- The newest is always kept. Of the others as many as are few and small enough: a card that fails every day must not
  fill itself with its own evidence.
"""

from __future__ import annotations

import contextlib
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cloud_sync.errors import OutboxError

logger = logging.getLogger(__name__)

DAMAGED: Final = ".corrupt-"
REPLACED: Final = ".replaced-"
KEPT_FILES: Final = 4
"""Enough to see whether it is always the same damage."""
_LOGS: Final = ("-wal", "-shm")


def quarantined(path: Path) -> list[Path]:
    """What was put aside beside this outbox, oldest first, without the logs."""
    found = [*path.parent.glob(f"{path.name}{DAMAGED}*"), *path.parent.glob(f"{path.name}{REPLACED}*")]
    return sorted((file for file in found if not file.name.endswith(_LOGS)), key=_age)


def is_stranger(aside: Path) -> bool:
    """Another file that lay in the outbox's place; otherwise a damaged one of ours."""
    return REPLACED in aside.name


def free_name(path: Path, mark: str, *, now_ns: int) -> Path:
    """A name beside `path` that nothing has yet."""
    stamp = datetime.fromtimestamp(now_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%S")
    number, target = 0, path.with_name(f"{path.name}{mark}{stamp}")
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}{mark}{stamp}.{number}")
    return target


def put_aside(path: Path, *, now_ns: int) -> Path:
    """Move the damaged file and its log away, under one new name. Raises OutboxError."""
    try:
        target = free_name(path, DAMAGED, now_ns=now_ns)
        for end in (*_LOGS, ""):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + end).rename(target.with_name(target.name + end))
    except OSError as exc:
        raise OutboxError(
            f"{path} is damaged and cannot be put aside: {exc}", hint="move it away by hand; keep it"
        ) from exc
    return target


def remove_old(path: Path, *, most_bytes: int, newest: Path | None = None) -> int:
    """Remove the oldest beyond `KEPT_FILES` or `most_bytes` together. Returns how many files went.

    `newest` is the one just put aside: a clock that was set back would have it the oldest.
    """
    files = [file for file in quarantined(path) if file != newest]
    files += [newest] if newest is not None else []
    kept_bytes, removed = 0, 0
    for position, file in enumerate(reversed(files)):
        kept_bytes += _bytes(file)
        if position > 0 and (position >= KEPT_FILES or kept_bytes > most_bytes):
            removed += _remove(file)
    return removed


def _age(file: Path) -> tuple[str, int]:
    """Its stamp, then the number behind it: `.10` comes after `.2`."""
    mark = REPLACED if is_stranger(file) else DAMAGED
    stamp, _, number = file.name.rpartition(mark)[2].partition(".")
    return stamp, int(number) if number.isdigit() else 0


def _bytes(file: Path) -> int:
    total = 0
    for end in ("", *_LOGS):
        with contextlib.suppress(OSError):
            total += file.with_name(file.name + end).stat().st_size
    return total


def _remove(file: Path) -> int:
    try:
        for end in (*_LOGS, ""):
            file.with_name(file.name + end).unlink(missing_ok=True)
    except OSError as exc:
        logger.warning("%s cannot be removed, and takes up room: %s", file, exc)
        return 0
    logger.warning("%s was removed: newer files are kept beside the outbox, and the room for them is bounded", file)
    return 1
