"""One agent per state folder and per runtime folder: locks that go with the process, also when it is killed.

The state folder is the agent's own: closed to everybody else, also when it was made wider before.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cloud_sync.host.inodes import hint_of_full_disk
from cloud_sync.host.private_files import FILE_MODE, make_private_folder, tighten, user_name
from edge_agent.errors import ConfigurationError, EdgeError
from edge_agent.installation.state_files import OWN_FILES

RUNTIME_MODE: Final = 0o750
"""The group may come in and ask the socket, and read the last status of a dead agent."""

RUNTIME_LOCK: Final = "edge-agent.lock"
_WRONG_PATHS: Final = (errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP)
"""The path itself is wrong. All else is what somebody mends at the disk, and another start may then go well."""

_PID_BYTES: Final = 32


@contextlib.contextmanager
def own_state(state_dir: Path, *, log: Callable[[str, str], None]) -> Iterator[None]:
    """Hold the state folder as `only_one` does, closed to everybody else; what was open is said in one line."""
    with only_one(state_dir):
        if opened := close_state(state_dir):
            log("warning", f"{state_dir} was open to others in {opened} places; now it is the agent's alone")
        yield


@contextlib.contextmanager
def only_one(state_dir: Path) -> Iterator[None]:
    """Hold the state folder while entered. Raises ConfigurationError when another agent has it or it is no folder.

    Raises EdgeError when the disk does not let us: read-only, full, failing, or closed to this user.
    """
    try:
        make_private_folder(state_dir)
        descriptor = _open_lock(state_dir / "lock")
    except OSError as exc:
        raise _unusable(state_dir, exc) from exc
    with _held(descriptor) as other:
        if other is not None:
            raise ConfigurationError(
                f"another agent{other} is running on {state_dir}",
                hint="`edge-agent status` shows it; stop it first, or give each agent a gateway.state_dir of its own",
            )
        yield


@contextlib.contextmanager
def only_socket(runtime_dir: Path) -> Iterator[None]:
    """Hold the runtime folder while entered. Raises ConfigurationError when another agent has it, OSError."""
    make_runtime_folder(runtime_dir)
    with _held(_open_lock(runtime_dir / RUNTIME_LOCK)) as other:
        if other is not None:
            raise ConfigurationError(
                f"another agent{other} is running with its socket in {runtime_dir}",
                hint="give each agent a gateway.runtime_dir of its own",
            )
        yield


def is_held(runtime_dir: Path) -> bool:
    """Return whether an agent runs with its socket in this folder."""
    try:
        descriptor = os.open(runtime_dir / RUNTIME_LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    with _held(descriptor, is_noted=False) as other:
        return other is not None


def make_runtime_folder(runtime_dir: Path) -> None:
    """Make it where it is missing; one that is there keeps its mode. Raises OSError."""
    if not runtime_dir.is_dir():
        make_private_folder(runtime_dir)
        runtime_dir.chmod(RUNTIME_MODE)


def close_state(state_dir: Path) -> int:
    """Take everybody else's rights to the state folder and our files in it away. Returns how many were open.

    Raises ConfigurationError for a folder that is not the agent's own, EdgeError when the disk does not let us.
    """
    try:
        found = state_dir.stat()
        if found.st_mode & stat.S_ISVTX:
            raise ConfigurationError(
                f"{state_dir} is a folder that everybody shares",
                hint="gateway.state_dir must be the agent's own: a folder below it; or, when it is a mount "
                "for the agent alone (a tmpfs has the mode 1777), mode=0700 among its mount options",
            )
        if found.st_uid != os.geteuid() != 0:
            raise ConfigurationError(
                f"{state_dir} belongs to {user_name(found.st_uid)}, and the agent runs as {user_name(os.geteuid())}",
                hint=f"run it as that user, or: chown -R {user_name(os.geteuid())} {state_dir}",
            )
        return tighten(state_dir, OWN_FILES)
    except OSError as exc:
        raise _unusable(state_dir, exc) from exc


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)


@contextlib.contextmanager
def _held(descriptor: int, *, is_noted: bool = True) -> Iterator[str | None]:
    """None when the lock is ours; else who has it, in words."""
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield _holder(descriptor)
            return
        if is_noted:
            _note_holder(descriptor)
        yield None
    finally:
        os.close(descriptor)


def _note_holder(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # a full disk: the lock holds without the number
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _holder(descriptor: int) -> str:
    number = os.pread(descriptor, _PID_BYTES, 0).strip()
    return f" (process {int(number)})" if number.isdigit() else ""


def _unusable(state_dir: Path, exc: OSError) -> EdgeError:
    what = f"{state_dir} cannot be used: {exc.strerror}"
    if exc.errno in _WRONG_PATHS:
        return ConfigurationError(what, hint="gateway.state_dir must be a folder the agent may write to")
    hint = f"check the disk below {state_dir}, its mount, and whether the agent may write there"
    return EdgeError(what, hint=hint_of_full_disk(state_dir, hint) if exc.errno == errno.ENOSPC else hint)
