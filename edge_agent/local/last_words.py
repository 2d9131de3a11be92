"""What a run leaves behind for `status`: that it began, who it was, and why it could not go on.

It stands in the status file, beside the last status. A start that another agent's folder refuses says nothing
there: the file is that agent's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cloud_sync.errors import CredentialsError, OutboxTooNewError, SyncError
from edge_agent.core.clock import SystemClock
from edge_agent.errors import ConfigurationError, DaemonUnreachableError, EdgeError
from edge_agent.local.api import STATUS_FILE, StatusFile
from edge_agent.local.document import problem, rfc3339
from edge_agent.local.state_lock import is_held, make_runtime_folder

FOR_THE_OPERATOR: Final = (ConfigurationError, CredentialsError, OutboxTooNewError)
"""Somebody has to change something first: another start would end the same way."""


@contextlib.contextmanager
def last_words(runtime_dir: Path) -> Iterator[None]:
    """Note that a run begins, and leave the reason when it ends with one of our errors."""
    _note_start(runtime_dir)
    try:
        yield
    except (EdgeError, SyncError) as exc:
        leave_word(runtime_dir, exc)
        raise
    _note_end(runtime_dir)


def _note_end(runtime_dir: Path) -> None:
    """Stopped before there was a status of this run."""
    file, last = _left_before(runtime_dir)
    if not is_held(runtime_dir) and last.pop("begun", None) is not None:
        file.write(last | {"state": "stopped", "summary": "stopped on request", "time": _now()})


def leave_word(runtime_dir: Path, error: EdgeError | SyncError) -> None:
    """Say why nobody will answer; the same failure again keeps its first time."""
    if is_held(runtime_dir):
        return
    file, last = _left_before(runtime_dir)
    words = "the agent did not start" if isinstance(error, FOR_THE_OPERATOR) else "the agent cannot go on"
    failure = problem(f"{words}: {error.message}", SystemClock().now_ns(), error.hint)
    before = last.get("failure") or last.get("failure_before")
    if isinstance(before, dict) and before.get("what") == failure["what"]:
        failure["since"] = before.get("since")
    file.write({key: value for key, value in last.items() if key != "failure_before"} | {"failure": failure})


def _note_start(runtime_dir: Path) -> None:
    """What the last run left is kept below, until the first status replaces it."""
    with contextlib.suppress(OSError):  # then the journal is the only one that tells
        make_runtime_folder(runtime_dir)
    if is_held(runtime_dir):
        return
    file, last = _left_before(runtime_dir)
    before = {"failure_before": last.pop("failure")} if "failure" in last else {}
    file.write(last | before | {"begun": _now()})


def _left_before(runtime_dir: Path) -> tuple[StatusFile, dict[str, Any]]:
    file = StatusFile(runtime_dir / STATUS_FILE)
    try:
        return file, file.read() or {}
    except DaemonUnreachableError:  # another user's: written anew where the folder lets us
        return file, {}


def _now() -> str | None:
    return rfc3339(SystemClock().now_ns())
