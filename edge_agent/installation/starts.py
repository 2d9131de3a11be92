"""How often the agent was started lately, and how the runs before ended: a box that restarts for ever looks alive.

One small file in the state folder, written once a start, with the newest starts only.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloud_sync.host.printable import printable
from cloud_sync.host.private_files import open_private
from edge_agent.installation.process import boot_id

STARTS_FILE: Final = "starts.json"
KEPT: Final = 64
WITHIN_S: Final = 3600.0
LOOPS_FROM: Final = 4
"""Starts that nobody asked for, in an hour; fewer are an accident."""
_MOST_BYTES: Final = 64_000
_WORDS: Final = 200

ASKED: Final = "stopped on request"
DIED: Final = "it died: killed, out of memory, or a crash"
BOX: Final = "the box was started again"


@dataclass(frozen=True, slots=True)
class Start:
    """`at_s`: seconds since 1970. `before`: how the run before it ended; None when there was none."""

    at_s: float
    before: str | None


def record_start(state_dir: Path, *, now_s: float, before: str | None) -> None:
    """Add this start to those that are kept. A disk that takes nothing costs only the count."""
    starts = [*read_starts(state_dir), Start(now_s, before)][-KEPT:]
    document = [{"at": int(start.at_s * 1000) / 1000, "before": start.before} for start in starts]
    # In place: a new file would need room (and an inode) that a full disk does not have.
    with contextlib.suppress(OSError), open_private(state_dir / STARTS_FILE, "w", encoding="utf-8") as file:
        json.dump(document, file)


def read_starts(state_dir: Path) -> list[Start]:
    """Return what is kept, oldest first; nothing of a file that cannot be read, or was cut short by a kill."""
    try:
        with (state_dir / STARTS_FILE).open("rb") as file:
            document = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return []
    found = [_start(entry) for entry in document] if isinstance(document, list) else []
    return [start for start in found if start is not None][-KEPT:]


def unasked(starts: Sequence[Start], *, now_s: float) -> list[Start]:
    """Return the starts of the last hour that nobody had asked for: the run before did not end on request."""
    return [start for start in starts if start.before not in (None, ASKED) and 0.0 <= now_s - start.at_s <= WITHIN_S]


def loop_problem(starts: Sequence[Start]) -> tuple[str, str] | None:
    """Return what is wrong and what to do when so many starts are a loop; `starts` that nobody asked for."""
    if len(starts) < LOOPS_FROM:
        return None
    what = f"the agent was started {len(starts)} times in the last hour; last end: {starts[-1].before}"
    return what, "read why: journalctl -u edge-agent -n 100; when it was the box: power supply, watchdog, kernel log"


def end_of(last: dict[str, Any] | None) -> str | None:
    """Return how the run ended that left this status; None when none has left one since the box was started."""
    if not last:
        return None
    failure = last.get("failure")
    if isinstance(failure, dict) and isinstance(failure.get("what"), str):
        return printable(failure["what"], limit=_WORDS)
    if last.get("state") == "stopped" and "begun" not in last:
        return ASKED
    process = last.get("process")
    is_of_this_boot = isinstance(process, dict) and process.get("boot") == boot_id()
    return DIED if is_of_this_boot else BOX


def _start(entry: Any) -> Start | None:
    if not isinstance(entry, dict):
        return None
    at, before = entry.get("at"), entry.get("before")
    if not isinstance(at, int | float) or not (before is None or isinstance(before, str)):
        return None
    return Start(float(at), None if before is None else printable(before, limit=_WORDS))
