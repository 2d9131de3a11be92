"""What a run leaves behind for `status`: that it began, who it was, and why it could not go on.

It stands in the status file, beside the last status. A start that another agent's folder refuses says nothing
there: the file is that agent's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

from cloud_sync.errors import CredentialsError, OutboxTooNewError, SyncError
from edge_agent.core.clock import SystemClock
from edge_agent.errors import ConfigurationError, DaemonUnreachableError, EdgeError
from edge_agent.health.memory import memory_of_this_process
from edge_agent.installation.starts import BOX, end_of, read_starts, record_start
from edge_agent.status.fields import problem, rfc3339
from edge_agent.status.folders import StatusFolders

FOR_THE_OPERATOR: Final = (ConfigurationError, CredentialsError, OutboxTooNewError)
"""Somebody has to change something first: another start would end the same way."""


@contextlib.contextmanager
def record_outcome(folders: StatusFolders) -> Iterator[None]:
    """Record that a run begins, and why it ended when that was one of our errors."""
    _record_start(folders)
    try:
        yield
    except (EdgeError, SyncError) as exc:
        record_failure(folders, exc)
        raise
    _record_end(folders)


def _record_end(folders: StatusFolders) -> None:
    """Stopped before there was a status of this run."""
    last = _left_before(folders)
    if not folders.is_held() and last.pop("begun", None) is not None:
        folders.write(last | {"state": "stopped", "summary": "stopped on request", "time": _now()})


def record_failure(folders: StatusFolders, error: EdgeError | SyncError) -> None:
    """Record why no agent answers; the same failure again keeps its first time."""
    if folders.is_held():
        return
    last = _left_before(folders)
    words = "the agent did not start" if isinstance(error, FOR_THE_OPERATOR) else "the agent cannot go on"
    failure = problem(f"{words}: {error.message}", SystemClock().now_ns(), error.hint)
    before = last.get("failure") or last.get("failure_before")
    if isinstance(before, dict) and before.get("what") == failure["what"]:
        failure["since"] = before.get("since")
    folders.write({key: value for key, value in last.items() if key != "failure_before"} | {"failure": failure})


def _record_start(folders: StatusFolders) -> None:
    """What the last run left is kept below, until the first status replaces it."""
    if folders.is_held():
        return
    last = _left_before(folders)
    _count_start(folders, last)
    before = {"failure_before": last.pop("failure")} if "failure" in last else {}
    memory = memory_of_this_process()
    limit = {"memory_limit_bytes": memory.limit_bytes} if memory.is_group else {}
    folders.write(last | before | {"begun": _now()} | limit)


def _count_start(folders: StatusFolders, last: dict[str, Any]) -> None:
    """A status that is gone though the agent ran here before: the box was started again, its runtime folder is new."""
    before = end_of(last) or (BOX if read_starts(folders.state_dir) else None)
    record_start(folders.state_dir, now_s=SystemClock().now_ns() / 1e9, before=before)


def _left_before(folders: StatusFolders) -> dict[str, Any]:
    try:
        return folders.read() or {}
    except DaemonUnreachableError:  # another user's: written again where the folder lets us
        return {}


def _now() -> str | None:
    return rfc3339(SystemClock().now_ns())
