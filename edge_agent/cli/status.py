"""`edge-agent status`: what is wrong, since when, what to do. Works when the daemon is dead.

Constraints
- Imports nothing heavy: it must answer at once on a small box that is in trouble.
- Exit codes: 0 healthy, 1 degraded, 2 down, 3 bad configuration. An alarm is about the machine, not about
  this box: it is shown, and does not change the code.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any, Final

from cloud_sync.host.terminal import unguarded
from edge_agent.cli.status_text import as_text, can_show, folded
from edge_agent.cli.why_down import why_down
from edge_agent.core.clock import instant
from edge_agent.errors import ConfigurationError, DaemonUnreachableError
from edge_agent.installation.starts import loop_problem, read_starts, unasked
from edge_agent.settings.toml_file import find_settings_file, read_document, resolve_paths
from edge_agent.status.folders import StatusFolders

EXIT_CODES: Final = {"healthy": 0, "degraded": 1, "down": 2, "misconfigured": 3}
WATCH_EVERY_S: Final = 2.0
_CLEAR: Final = "\033[H\033[2J"


def show_status(config: Path | None, *, as_json: bool, watch: bool, shows_all: bool = False) -> int:
    """Print the status once, or repeatedly until Ctrl-C. Returns the exit code."""
    if not watch:
        return _show(config, as_json=as_json, prefix="", shows_all=shows_all)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            code = _show(config, as_json=as_json, prefix="" if as_json else _CLEAR, shows_all=shows_all)
            time.sleep(WATCH_EVERY_S)
    return code


def _show(config: Path | None, *, as_json: bool, prefix: str, shows_all: bool) -> int:
    document = read_status(config)
    if prefix:
        print(end="", flush=True)
        unguarded(sys.stdout).write(prefix)
        unguarded(sys.stdout).flush()
    print(json.dumps(document) if as_json else _for_screen(as_text(document, shows_all=shows_all)), flush=True)
    return EXIT_CODES[document["state"]]


def _for_screen(text: str) -> str:
    """Return the text folded to a terminal's width; as it is for a pipe, where somebody searches for a sentence."""
    return folded(text, shutil.get_terminal_size((100, 24)).columns) if sys.stdout.isatty() else text


def read_status(config: Path | None) -> dict[str, Any]:
    """Return the daemon's own document, or what can be found out without it."""
    try:
        path = find_settings_file(config)
        document = resolve_paths(read_document(path), path.parent)
    except ConfigurationError as exc:
        return _misconfigured(exc)
    gateway = _gateway(document)
    folders = folders_of(document)
    try:
        return _checked(folders.ask())
    except DaemonUnreachableError as exc:
        closed, last = exc, None
        try:
            last = folders.read()
        except DaemonUnreachableError as of_the_file:
            closed = exc if exc.hint else of_the_file
        found = _without_daemon(path, closed, last, folders.state_dir, gateway)
        return found if can_show(as_text, found) else _without_daemon(path, closed, None, folders.state_dir, gateway)


def _checked(document: dict[str, Any]) -> dict[str, Any]:
    """The status that was answered. Raises DaemonUnreachableError when it is none that this program can show."""
    if document.get("state") not in list(EXIT_CODES) or not can_show(as_text, document):
        raise DaemonUnreachableError(
            "the agent answers with a status that this program cannot read",
            hint="are both of one version? systemctl restart edge-agent, then look again",
        )
    return document


def folders_of(document: dict[str, Any]) -> StatusFolders:
    """Return the folders of a site's file, which may be wrong in everything else."""
    gateway = _gateway(document)
    return StatusFolders(
        runtime_dir=_folder(gateway, "runtime_dir", "/run/edge-agent"),
        state_dir=_folder(gateway, "state_dir", "/var/lib/edge-agent"),
    )


def _gateway(document: dict[str, Any]) -> dict[str, Any]:
    gateway = document.get("gateway")
    return gateway if isinstance(gateway, dict) else {}


def _folder(gateway: dict[str, Any], name: str, default: str) -> Path:
    """As the daemon sees it: the environment wins over the file."""
    return Path(os.environ.get(f"EDGE_GATEWAY__{name.upper()}") or str(gateway.get(name, default)))


def _without_daemon(
    path: Path, exc: DaemonUnreachableError, last: dict[str, Any] | None, state_dir: Path, gateway: dict[str, Any]
) -> dict[str, Any]:
    from edge_agent.settings.load import load_settings

    try:
        load_settings(path, imports_packages=False)
    except ConfigurationError as wrong:
        return _misconfigured(wrong) | {"last_status": _last(last), "outbox": _outbox(state_dir)}
    found = why_down(exc, last)
    return {
        "schema": 1,
        "state": "down",
        "summary": found["what"],
        "time": _now(),
        "gateway": {"id": gateway.get("id"), "site": gateway.get("site")},
        "problems": [found, *_loop(state_dir)],
        "last_status": _last(last),
        "outbox": _outbox(state_dir),
    }


def _loop(state_dir: Path) -> list[dict[str, Any]]:
    """An agent that is started again and again, where whoever asks may see that."""
    starts = unasked(read_starts(state_dir), now_s=time.time())
    loop = loop_problem(starts)
    if loop is None:
        return []
    return [{"what": loop[0], "since": instant(int(starts[0].at_s * 1e6), "seconds"), "do": loop[1]}]


def _misconfigured(exc: ConfigurationError) -> dict[str, Any]:
    problems = [{"what": line, "since": None, "do": exc.hint} for line in exc.message.splitlines()]
    return {
        "schema": 1,
        "state": "misconfigured",
        "summary": problems[0]["what"],
        "time": _now(),
        "problems": problems,
    }


def _last(last: dict[str, Any] | None) -> dict[str, Any] | None:
    """The part of the last status that still means something."""
    if last is None or "time" not in last:  # a start that failed before the first status
        return None
    return {key: last.get(key) for key in ("time", "state", "summary", "problems", "alarms")}


def _outbox(state_dir: Path) -> dict[str, Any] | None:
    """What waits, read without disturbing anything; None when there is no outbox that can be read."""
    from cloud_sync.outbox.clock_tables import depth_in_utc
    from cloud_sync.outbox.sqlite_errors import UNREADABLE, decode_text
    from cloud_sync.outbox.tables import read_counters
    from edge_agent.status.outbox import describe_outbox

    path = state_dir / "outbox.db"
    try:
        if not path.exists():
            return None
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2.0)) as db:
            db.text_factory = decode_text
            depth, counters = depth_in_utc(db), read_counters(db)
    except (*UNREADABLE, OSError) as exc:  # damaged, or the folder is closed to whoever asks
        return {"path": str(path), "error": str(exc)}
    return {
        "path": str(path),
        "records": depth.records,
        "file_bytes": depth.file_bytes,
        "oldest": None if depth.oldest_time_us is None else instant(depth.oldest_time_us, "seconds"),
        "dead_letters": depth.dead_letters,
        "no_place": depth.no_place,
        **describe_outbox(depth, counters, None),
    }


def _now() -> str:
    return instant(time.time_ns() // 1000, "seconds")
