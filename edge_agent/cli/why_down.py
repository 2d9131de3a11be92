"""Why nobody answers, from what the last run left, from the process table, and from systemd.

Pure but for the questions it asks of this box; loads nothing heavy.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from edge_agent import __version__
from edge_agent.errors import DaemonUnreachableError
from edge_agent.installation.process import boot_id, is_alive
from edge_agent.status.words import counted

START_IT: Final = "start it: systemctl start edge-agent"
START_BY_HAND: Final = "start it: edge-agent run --config FILE (it ran without systemd)"
READ_WHY: Final = "read why: journalctl -u edge-agent -n 30; then start it"
READ_WHAT_IT_PRINTED: Final = "read why: the last lines that it printed (of a container: its log); then start it"
NEAR_ITS_LIMIT: Final = 0.85
LITTLE_BYTES: Final = 176 << 20
"""Tags alone need 90 MB, the first start with a new bundle 160 MB (docs/RUNBOOK.md)."""
_UNIT: Final = "edge-agent.service"
SYSTEMD_RUNS: Final = Path("/run/systemd/system")
_ANSWER_WITHIN_S: Final = 3.0

Problem = dict[str, Any]
AskSystemd = Callable[[str], Mapping[str, str]]

_ENDED: Final = {
    "oom-kill": (
        "the kernel ended the agent: this box or the service was out of memory",
        "fewer channels, a larger MemoryMax= of the service, or more memory; then start it",
    ),
    "watchdog": ("systemd ended the agent: it had been stuck for WatchdogSec", READ_WHY),
    "timeout": ("systemd ended the agent: a start or stop took longer than the unit allows", READ_WHY),
    "start-limit-hit": (
        "the agent failed at ten starts in ten minutes, and systemd has given up",
        "read why: journalctl -u edge-agent -n 30; mend it; systemctl reset-failed edge-agent; then start it",
    ),
    "core-dump": ("the agent crashed inside a library", READ_WHY),
}
_EXIT_STATUS: Final = {
    "243": (
        "systemd cannot hand over a credential: the agent does not start",
        "is /etc/edge-agent/central-api-key there? install -m 600 /dev/stdin /etc/edge-agent/central-api-key",
    ),
    "217": ("systemd cannot start the agent: the user edge-agent does not exist", "make it: systemd/README.md, step 2"),
    "203": ("systemd cannot start the agent: its program is not where the unit says", "systemd/README.md, step 1"),
    "200": ("systemd cannot start the agent: its WorkingDirectory= is not there", "systemd/README.md, step 1"),
}


def why_down(
    exc: DaemonUnreachableError, last: dict[str, Any] | None, *, ask_systemd: AskSystemd | None = None
) -> Problem:
    """Return the problem that says why: the most specific thing that is known."""
    ask = ask_systemd or show_unit
    if exc.hint is not None:
        return _problem(exc.message, exc.hint, last.get("time") if last else None)
    failure = _table(last, "failure")
    if isinstance(failure.get("what"), str):
        return _problem(failure["what"], _then_start(failure.get("do"), last), failure.get("since"))
    if last is not None and last.get("state") == "stopped" and "begun" not in last:
        return _stopped(last)
    process = _table(last, "process")
    if is_alive(process):
        return _alive(exc, last or {}, process["pid"])
    return _systemds_word(ask, process, last) or _died(last, process)


def show_unit(unit: str) -> Mapping[str, str]:
    """Return what systemd knows of the last run; nothing where there is no systemd."""
    if not SYSTEMD_RUNS.is_dir():
        return {}
    wanted = "LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus"
    try:
        shown = subprocess.run(
            ["systemctl", "show", unit, f"--property={wanted}"],
            capture_output=True, text=True, check=False, timeout=_ANSWER_WITHIN_S, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return dict(line.split("=", 1) for line in shown.stdout.splitlines() if "=" in line)


def _systemds_word(ask: AskSystemd, process: dict[str, Any], last: dict[str, Any] | None) -> Problem | None:
    shown = ask(str(process.get("unit") or _UNIT))
    if shown.get("LoadState") != "loaded":
        return None
    since = last.get("time") if last else None
    found = _EXIT_STATUS.get(shown.get("ExecMainStatus", "")) or _ENDED.get(shown.get("Result", ""))
    if found is None and shown.get("Result") == "signal":
        found = f"the agent was ended by signal {shown.get('ExecMainStatus')}", READ_WHY
    if found is None:
        return None
    again = " (systemd starts it again)" if shown.get("SubState") == "auto-restart" else ""
    return _problem(f"{found[0]}{again}", found[1], since)


def _alive(exc: DaemonUnreachableError, last: dict[str, Any], pid: int) -> Problem:
    if "begun" in last:
        return _problem(
            f"the agent is starting (process {pid})", "models are proven first; ask again in a minute", last["begun"]
        )
    what = f"the agent runs (process {pid}), but {exc.message}"
    return _problem(what, "was its runtime folder cleaned? systemctl restart edge-agent", last.get("time"))


def _died(last: dict[str, Any] | None, process: dict[str, Any]) -> Problem:
    if last is None or (not process and "time" not in last):
        return _problem(
            "the agent is not running, and no run has left a status since this box was started",
            f"{START_IT} (or edge-agent run)",
        )
    since = last.get("begun") or last.get("time")
    if process and process.get("boot") != boot_id():
        return _problem(
            "this box was started again while the agent ran, and the agent was not",
            "systemctl enable --now edge-agent", since,
        )  # fmt: skip
    who = f" (process {process['pid']})" if process else ""
    when = " while it started" if "begun" in last else ""
    return _problem(
        f"the agent{who} died{when}: killed, out of memory, or a crash{_by_its_memory(last)}",
        f"{READ_WHAT_IT_PRINTED if _was_by_hand(last) else READ_WHY}; out of memory: journalctl -k -g 'out of memory'",
        since,
    )  # fmt: skip


def _by_its_memory(last: dict[str, Any]) -> str:
    """What speaks for the second: how near it was to its limit, or a limit that is little for any site."""
    box = _table(last, "box")
    held, limit = box.get("memory_held_bytes"), box.get("memory_limit_bytes")
    if "begun" in last:
        held, limit = None, last.get("memory_limit_bytes")
    if not isinstance(limit, int):
        return ""
    if isinstance(held, int) and held > NEAR_ITS_LIMIT * limit:
        return f"; it held {held / 1e6:.0f} MB of the {limit / 1e6:.0f} MB that it may"
    if held is None and limit < LITTLE_BYTES:
        return f"; {limit / 1e6:.0f} MB are all that it may hold"
    return ""


def _stopped(last: dict[str, Any]) -> Problem:
    what = "the agent was stopped on request"
    if last.get("not_stored"):
        what = f"the agent was stopped, and {counted(last['not_stored'], 'record')} could not be stored any more"
    return _problem(f"{what}{_upgraded(last)}", _start(last), last.get("time"))


def _upgraded(last: dict[str, Any]) -> str:
    before = _table(last, "gateway").get("version")
    return f" (it was version {before}; {__version__} is installed now)" if before and before != __version__ else ""


def _then_start(do: object, last: dict[str, Any] | None) -> str:
    return f"{do}; then {_start(last)}" if do else f"mend it; then {_start(last)}"


def _start(last: dict[str, Any] | None) -> str:
    return START_BY_HAND if _was_by_hand(last) else START_IT


def _was_by_hand(last: dict[str, Any] | None) -> bool:
    """Whether the last run was in a terminal or a container: it noted that it had no unit."""
    process = _table(last, "process")
    return "unit" in process and process["unit"] is None


def _table(document: dict[str, Any] | None, name: str) -> dict[str, Any]:
    found = (document or {}).get(name)
    return found if isinstance(found, dict) else {}


def _problem(what: str, do: str, since: Any = None) -> Problem:
    return {"what": what, "since": since, "do": do}
