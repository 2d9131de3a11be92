"""One agent per state folder: a lock that goes with the process, also when it is killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from edge_agent.errors import ConfigurationError


@contextlib.contextmanager
def only_one(state_dir: Path) -> Iterator[None]:
    """Hold the folder while entered. Raises ConfigurationError when another agent has it."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise ConfigurationError(
            f"{state_dir} cannot be used: {exc.strerror}",
            hint="gateway.state_dir must be a folder the agent may write to",
        ) from exc
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
