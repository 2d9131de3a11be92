"""Files put aside beside an outbox: damaged ones, and unexpected files found in its place; how many of them are kept.

Constraints
- A file that is put aside keeps its name with `.corrupt-<time>` or `.replaced-<time>` behind it, and its log; it is
  never written to again.
- A damaged file has a marker (`.salvage` behind its name) from before it is moved until everything whole in it is in
  the outbox: a start finds what a kill or a power cut left half moved or half read.
- While it has its marker it is kept. Besides, the newest always is, and of the others as many as are few and small
  enough: a card that fails every day must not fill itself with its own evidence.
- A name is later than those that are there, also when the clock was set back.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cloud_sync.errors import OutboxUnavailableError
from cloud_sync.host.fsync import sync

logger = logging.getLogger(__name__)

DAMAGED: Final = ".corrupt-"
REPLACED: Final = ".replaced-"
KEPT_FILES: Final = 4
"""Enough to see whether it is always the same damage."""
_LOGS: Final = ("-wal", "-shm")
_MARKER: Final = ".salvage"


def quarantined(path: Path) -> list[Path]:
    """Return what was put aside beside this outbox, oldest first, without the logs and markers."""
    found = [*path.parent.glob(f"{path.name}{DAMAGED}*"), *path.parent.glob(f"{path.name}{REPLACED}*")]
    return sorted((file for file in found if not file.name.endswith((*_LOGS, _MARKER))), key=_age)


def unsalvaged(path: Path) -> list[Path]:
    """Return the damaged files that are not wholly read in yet, newest first: each was made to replace the next."""
    return sorted(filter(Path.exists, map(_marked, _markers(path))), key=_age, reverse=True)


def is_part(file: Path) -> bool:
    """Return whether it is a log or a marker, and no outbox by itself."""
    return file.name.endswith((*_LOGS, _MARKER))


def is_unsalvaged(aside: Path) -> bool:
    return _marker(aside).exists()


def mark_salvaged(aside: Path) -> None:
    """Remove its marker: everything whole in it is in the outbox, durably. One whose marker stays is read once more."""
    try:
        _marker(aside).unlink(missing_ok=True)
        sync(aside.parent)
    except OSError as exc:
        logger.warning("%s cannot be marked as read in: %s", aside, exc)


def is_unexpected_file(aside: Path) -> bool:
    """Return whether another file lay in the outbox's place; otherwise it is a damaged one of ours."""
    return REPLACED in aside.name


def free_name(path: Path, mark: str, *, now_ns: int) -> Path:
    """Return a name beside `path` that nothing has yet, later than those of the files that are there."""
    stamp = datetime.fromtimestamp(now_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%S")
    latest = max(map(_age, [*quarantined(path), *map(_marked, _markers(path))]), default=("", 0))
    number = 0
    if latest[0] >= stamp:
        stamp, number = latest[0], latest[1] + 1
    return path.with_name(f"{path.name}{mark}{stamp}" + (f".{number}" if number else ""))


def put_aside(path: Path, *, now_ns: int) -> Path:
    """Move the damaged file and its log away, under one new name. Raises OutboxUnavailableError.

    Cut short anywhere it is finished or undone by `finish_putting_aside`.
    """
    target = free_name(path, DAMAGED, now_ns=now_ns)
    with _errors_of(path):
        _marker(target).touch()
        sync(path.parent)
        _move(path, target)
    _mark_moved(_marker(target))
    return target


def finish_putting_aside(path: Path) -> None:
    """Move what a kill left half moved; remove a marker behind which nothing was moved. Before anything is opened."""
    for marker in _markers(path):
        target = _marked(marker)
        if target.exists():
            _mark_moved(marker)
            continue
        with _errors_of(path):
            if marker.stat().st_size == 0 and path.exists() and _has_moved_log(path, target):
                _move(path, target)
                _mark_moved(marker)
            else:
                marker.unlink()


def _mark_moved(marker: Path) -> None:
    """From now on a file that is not there was removed by somebody, and is not still to be moved."""
    with contextlib.suppress(OSError):  # on a full disk nobody is helped by an error
        if marker.stat().st_size == 0:
            marker.write_text("moved\n", encoding="utf-8")
            sync(marker)


def _has_moved_log(path: Path, target: Path) -> bool:
    """Whether the log of this file went ahead of it. An empty one in its place is what a look at the file leaves."""
    own, moved = beside(path, "-wal"), beside(target, "-wal")
    if _size(moved) == 0:
        return False
    if _size(own) > 0:
        logger.error("%s was used since its log was moved to %s; the two are left alone", path, moved)
        return False
    return True


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _move(path: Path, target: Path) -> None:
    """The log first: without it the file would be opened as it was some commits ago."""
    for end in _LOGS:
        if not beside(target, end).exists():
            with contextlib.suppress(FileNotFoundError):
                beside(path, end).rename(beside(target, end))
        beside(path, end).unlink(missing_ok=True)
    sync(path.parent)
    path.rename(target)
    sync(path.parent)


def remove_old(path: Path, *, most_bytes: int, newest: Path | None = None) -> int:
    """Remove the oldest beyond `KEPT_FILES` or `most_bytes` together. Returns how many files went.

    One that is not wholly read in yet stays, and takes no other's place.
    `newest` is the one just put aside: a clock that was set back would have it the oldest.
    """
    done = [file for file in quarantined(path) if not is_unsalvaged(file)]
    files = sorted(done, key=lambda file: file == newest)
    kept_bytes, removed = 0, 0
    for position, file in enumerate(reversed(files)):
        kept_bytes += _bytes(file)
        if position > 0 and (position >= KEPT_FILES or kept_bytes > most_bytes):
            removed += _remove(file)
    return removed


def _age(file: Path) -> tuple[str, int]:
    """Its stamp, then the number behind it: `.10` comes after `.2`."""
    mark = REPLACED if is_unexpected_file(file) else DAMAGED
    stamp, _, number = file.name.rpartition(mark)[2].partition(".")
    return stamp, int(number) if number.isdigit() else 0


def _markers(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}{DAMAGED}*{_MARKER}"))


def _marker(aside: Path) -> Path:
    return beside(aside, _MARKER)


def _marked(marker: Path) -> Path:
    return marker.with_name(marker.name.removesuffix(_MARKER))


def beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


@contextlib.contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise OutboxUnavailableError(
            f"{path} is damaged and cannot be put aside: {exc}",
            reason="full" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else "io",
            hint="free space on the disk and make the folder writable; nothing was lost by this",
        ) from exc


def _bytes(file: Path) -> int:
    total = 0
    for end in ("", *_LOGS):
        with contextlib.suppress(OSError):
            total += beside(file, end).stat().st_size
    return total


def _remove(file: Path) -> int:
    try:
        for end in (*_LOGS, ""):
            beside(file, end).unlink(missing_ok=True)
    except OSError as exc:
        logger.warning("%s cannot be removed, and takes up space: %s", file, exc)
        return 0
    logger.warning("%s was removed: newer files are kept beside the outbox, and the space for them is bounded", file)
    return 1
