"""One agent per state folder: a lock that goes with the process, also when it is killed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_agent.errors import ConfigurationError, EdgeError

_WRONG_PATHS: Final = (errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP)
"""The path itself is wrong. All else is what somebody mends at the disk, and another start may then go well."""


@contextlib.contextmanager
def only_one(state_dir: Path) -> Iterator[None]:
    """Hold the folder while entered. Raises ConfigurationError when another agent has it or it is no folder.

    Raises EdgeError when the disk does not let us: read-only, full, failing, or closed to this user.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise _unusable(state_dir, exc) from exc
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise ConfigurationError(
                f"another agent is running on {state_dir}", hint="`edge-agent status` shows it; stop it first"
            ) from exc
        yield
    finally:
        os.close(descriptor)


def _unusable(state_dir: Path, exc: OSError) -> EdgeError:
    what = f"{state_dir} cannot be used: {exc.strerror}"
    if exc.errno in _WRONG_PATHS:
        return ConfigurationError(what, hint="gateway.state_dir must be a folder the agent may write to")
    return EdgeError(what, hint=f"check the disk below {state_dir}, its mount, and whether the agent may write there")
