"""The outbox's file taken away under a running agent: noticed, and written again from the open connection.

Constraints
- A file that was unlinked or replaced still takes commits, and is gone with the process: what is committed there must
  not be called safe.
- The copy is whole and synced before it gets a name that a start looks for; a kill at any moment after leaves it.
- An unexpected file in the outbox's place is put aside, with its log, and never written to.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cloud_sync.errors import OutboxUnavailableError
from cloud_sync.host.fsync import sync
from cloud_sync.host.private_files import make_private_file
from cloud_sync.outbox.quarantine import REPLACED, beside, free_name
from cloud_sync.outbox.sqlite_file import used_bytes
from cloud_sync.outbox.tables import NewBlock, count, insert_block
from cloud_sync.records import Batch, Event, EventKind

_PART: Final = ".rescue-part"  # being written
_WHOLE: Final = ".rescue"  # whole and synced; only a rename is missing


@dataclass(frozen=True, slots=True)
class OpenFile:
    """What is open: device and inode of the file and of its log, and whose it is."""

    path: Path
    main: os.stat_result
    log: tuple[int, int] | None
    folder_mode: int

    @classmethod
    def at(cls, path: Path) -> Self:
        """Describe what was just opened under this name. Raises OutboxUnavailableError."""
        with _errors_of(path):
            return cls(path, path.stat(), _identity(_log(path)), path.parent.stat().st_mode & 0o7777)

    @property
    def is_in_place(self) -> bool:
        """Return whether it is, by one stat. A folder that may not be looked at proves nothing against the file."""
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return (found.st_dev, found.st_ino) == (self.main.st_dev, self.main.st_ino)


def write_again(db: sqlite3.Connection, file: OpenFile, *, now_ns: int) -> Path | None:
    """Put what the open connection holds back in its place; afterwards it has to be opened again.

    Returns where an unexpected file that lay there was put. Raises OutboxUnavailableError with the reason `moved`; the
    open connection then still holds everything.
    """
    part = beside(file.path, _PART)
    with _errors_of(file.path):
        if not file.path.parent.exists():
            file.path.parent.mkdir(mode=file.folder_mode)
            sync(file.path.parent.parent)
        part.unlink(missing_ok=True)
        try:
            _check_space(db, file.path)
            make_private_file(part)
            db.execute("VACUUM INTO ?", (str(part),))
            part.chmod(file.main.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.chown(part, file.main.st_uid, file.main.st_gid)
            sync(part)
            part.rename(beside(file.path, _WHOLE))
        except (OSError, sqlite3.Error):
            with contextlib.suppress(OSError):
                part.unlink()
            raise
    try:
        return put_in_place(file.path, our_log=file.log, now_ns=now_ns)
    except OutboxUnavailableError:
        with contextlib.suppress(OSError):
            beside(file.path, _WHOLE).unlink()  # a start much later must not take it for the newest
        raise


def put_in_place(path: Path, *, our_log: tuple[int, int] | None = None, now_ns: int) -> Path | None:
    """Give a whole copy the outbox's name, when there is one: the end of `write_again`, also after a kill in it."""
    whole = beside(path, _WHOLE)
    with contextlib.suppress(OSError):
        beside(path, _PART).unlink()  # of a kill in the middle: no use to anybody
    with _errors_of(path):
        if not whole.exists():
            return None
        sync(path.parent)  # a folder that cannot be synced is found out before anything is moved, and not after
        aside = _clear_place(path, our_log, now_ns=now_ns)
        whole.replace(path)
        sync(path.parent)
    return aside


def emit_rescue(db: sqlite3.Connection, unexpected: Path | None, *, subject: str, now_us: int) -> None:
    """Count it and emit an annotation for the central, inside a transaction."""
    what = "removed" if unexpected is None else f"replaced by another file, which is kept as {unexpected.name}"
    text = f"the outbox file was {what} while the agent ran; it was written again, nothing is lost"
    event = Event(uuid.uuid4().hex, EventKind.ANNOTATION, subject, now_us, {"text": text})
    insert_block(db, NewBlock.of(Batch(subject, events=(event,))))
    count(db, "appended", 1)
    count(db, "rescued", 1)


def _clear_place(path: Path, our_log: tuple[int, int] | None, *, now_ns: int) -> Path | None:
    """Move away what would be read as the copy's own: a log of ours; one of an unexpected file goes with it."""
    aside = free_name(path, REPLACED, now_ns=now_ns) if path.exists() else None
    log, index = _log(path), beside(path, "-shm")
    if aside is not None and _identity(log) not in (None, our_log):
        log.rename(_log(aside))
    log.unlink(missing_ok=True)
    index.unlink(missing_ok=True)
    if aside is not None:
        path.rename(aside)
    return aside


def _check_space(db: sqlite3.Connection, path: Path) -> None:
    """Before a gigabyte is written in vain, every second."""
    needed, disk = used_bytes(db), os.statvfs(path.parent)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        raise OSError(f"{needed} bytes are needed, {free} are free")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _log(path: Path) -> Path:
    return beside(path, "-wal")


@contextlib.contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as exc:
        raise OutboxUnavailableError(
            f"{path} was removed or replaced while the agent runs, and cannot be written again: {exc}",
            reason="moved",
            hint=f"do not stop the agent: it still holds the outbox; free disk space and make {path.parent} writable",
        ) from exc
