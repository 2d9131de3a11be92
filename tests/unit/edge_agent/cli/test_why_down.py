"""Why nobody answers: the most specific thing that the last run, the process table and systemd know."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edge_agent import __version__
from edge_agent.cli import why_down as module
from edge_agent.cli.why_down import why_down
from edge_agent.errors import ConfigurationError, DaemonUnreachableError, EdgeError
from edge_agent.installation.process import boot_id, is_alive, this_process
from edge_agent.installation.state_lock import only_socket
from edge_agent.status.folders import StatusFolders
from edge_agent.status.local_socket import StatusFile
from edge_agent.status.run_outcome import record_failure, record_outcome

NOBODY = DaemonUnreachableError("nobody answers on /run/x.sock")
DEAD = {"pid": 2**22 + 1, "boot": boot_id(), "unit": None}
STOPPED: dict[str, Any] = {
    "state": "stopped",
    "time": "2026-01-02T03:04:05.000Z",
    "gateway": {"version": __version__},
    "process": DEAD,
}
RUNNING = STOPPED | {"state": "healthy"}


def why(last: dict[str, Any] | None, shown: Mapping[str, str] | None = None) -> tuple[str, str]:
    found = why_down(NOBODY, last, ask_systemd=lambda unit: shown or {})
    return found["what"], found["do"]


def alone(folder: Path) -> StatusFolders:
    return StatusFolders(folder, folder)


def left(folder: Path) -> dict[str, Any]:
    found = StatusFile(folder / "status.json").read()
    assert found is not None
    return found | {"process": DEAD}


def test_without_a_word_it_is_not_running() -> None:
    what, do = why(None)
    assert what == "the agent is not running, and no run has left a status since this box was started"
    assert "start it" in do


def test_stopped_on_request_is_said_only_of_a_run_that_was() -> None:
    assert why(STOPPED)[0] == "the agent was stopped on request"
    assert "stopped" not in why(STOPPED | {"begun": "2026-01-02T04:00:00.000Z"})[0]
    assert "stopped" not in why(RUNNING)[0]


def test_a_run_in_a_terminal_is_not_told_of_systemd() -> None:
    assert why(STOPPED)[1] == "start it: edge-agent run --config FILE (it ran without systemd)"
    of_systemd = STOPPED | {"process": DEAD | {"unit": "edge-agent.service"}}
    assert why(of_systemd)[1] == "start it: systemctl start edge-agent"
    assert why({"state": "stopped", "time": STOPPED["time"]})[1] == "start it: systemctl start edge-agent"


def test_after_an_upgrade_both_versions_are_said() -> None:
    what, _ = why(STOPPED | {"gateway": {"version": "0.0.9"}})
    assert what == f"the agent was stopped on request (it was version 0.0.9; {__version__} is installed now)"


def test_a_run_that_died_is_named_and_not_called_stopped() -> None:
    what, do = why(RUNNING)
    assert what == f"the agent (process {DEAD['pid']}) died: killed, out of memory, or a crash"
    assert "the last lines that it printed" in do
    assert "journalctl -u edge-agent" in why(RUNNING | {"process": DEAD | {"unit": "edge-agent.service"}})[1]
    assert "died while it started" in why({"begun": "2026-01-02T04:00:00.000Z", "process": DEAD})[0]


def test_a_run_that_was_near_its_limit_of_memory_is_told_so() -> None:
    near = RUNNING | {"box": {"memory_held_bytes": 79_000_000, "memory_limit_bytes": 84_000_000}}
    assert why(near)[0].endswith("; it held 79 MB of the 84 MB that it may")
    far = RUNNING | {"box": {"memory_held_bytes": 60_000_000, "memory_limit_bytes": 84_000_000}}
    assert why(far)[0].endswith("or a crash")
    starting = near | {"begun": "2026-01-02T04:00:00.000Z", "memory_limit_bytes": 84_000_000}
    assert why(starting)[0].endswith("; 84 MB are all that it may hold")
    assert why(starting | {"memory_limit_bytes": 1_000_000_000})[0].endswith("or a crash")


def test_a_box_that_was_started_again_is_no_crash() -> None:
    what, do = why(RUNNING | {"process": DEAD | {"boot": "another"}})
    assert what.startswith("this box was started again")
    assert do == "systemctl enable --now edge-agent"


def test_an_agent_that_lives_is_not_called_dead() -> None:
    command = [sys.executable, "-c", "import sys; print(1, flush=True); sys.stdin.read()", "edge-agent"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        process = this_process() | {"pid": other.pid}
        assert is_alive(process)
        starting = RUNNING | {"process": process, "begun": "2026-01-02T04:00:00.000Z"}
        assert why(starting)[0] == f"the agent is starting (process {other.pid})"
        assert why(RUNNING | {"process": process})[0].startswith(f"the agent runs (process {other.pid}), but nobody")
        other.communicate()
    assert not is_alive(process)


@pytest.mark.parametrize(
    ("shown", "words", "todo"),
    [
        ({"Result": "oom-kill"}, "out of memory", "MemoryMax="),
        ({"Result": "watchdog"}, "stuck for WatchdogSec", "journalctl"),
        ({"Result": "start-limit-hit"}, "ten starts in ten minutes", "systemctl reset-failed edge-agent"),
        ({"Result": "signal", "ExecMainStatus": "9"}, "ended by signal 9", "journalctl"),
        (
            {"Result": "signal", "ExecMainStatus": "11", "SubState": "auto-restart"},
            "systemd starts it again",
            "journal",
        ),
        ({"Result": "exit-code", "ExecMainStatus": "243"}, "cannot hand over a credential", "central-api-key"),
        ({"Result": "exit-code", "ExecMainStatus": "217"}, "the user edge-agent does not exist", "systemd/README.md"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value.values()),
)
def test_what_systemd_knows_is_more_than_a_guess(shown: dict[str, str], words: str, todo: str) -> None:
    what, do = why(RUNNING, {"LoadState": "loaded", **shown})
    assert words in what
    assert todo in do


def test_systemctl_is_asked_about_the_unit_that_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "systemctl"
    fake.write_text('#!/bin/sh\necho "LoadState=loaded"; echo "Result=oom-kill"; echo "$@" > "$0.asked"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(module, "SYSTEMD_RUNS", tmp_path)
    found = why_down(NOBODY, RUNNING | {"process": DEAD | {"unit": "edge-agent-2.service"}})
    assert "out of memory" in found["what"]
    assert "edge-agent-2.service" in (tmp_path / "systemctl.asked").read_text()


def test_a_start_that_was_refused_says_why_and_since_when(tmp_path: Path) -> None:
    StatusFile(tmp_path / "status.json").write(STOPPED)
    with pytest.raises(ConfigurationError), record_outcome(alone(tmp_path)):
        raise ConfigurationError("no API key for the central is configured", hint="name its file")
    first = left(tmp_path)["failure"]["since"]
    assert why(left(tmp_path)) == (
        "the agent did not start: no API key for the central is configured",
        "name its file; then start it: edge-agent run --config FILE (it ran without systemd)",
    )
    with pytest.raises(ConfigurationError), record_outcome(alone(tmp_path)):
        raise ConfigurationError("no API key for the central is configured", hint="name its file")
    assert left(tmp_path)["failure"]["since"] == first


def test_a_start_that_goes_well_takes_the_word_back(tmp_path: Path) -> None:
    record_failure(alone(tmp_path), EdgeError("the disk is full"))
    with record_outcome(alone(tmp_path)):
        assert "failure" not in left(tmp_path)
        assert "died while it started" in why(left(tmp_path))[0]


def test_a_stop_before_the_first_status_is_a_stop(tmp_path: Path) -> None:
    with record_outcome(alone(tmp_path)):
        pass
    assert why(left(tmp_path))[0] == "the agent was stopped on request"


def test_records_that_a_stop_could_not_store_are_said() -> None:
    assert "7 records could not be stored" in why(STOPPED | {"not_stored": 7})[0]


def test_a_start_that_another_agent_refuses_leaves_no_word_in_its_file(tmp_path: Path) -> None:
    StatusFile(tmp_path / "status.json").write(RUNNING)
    with only_socket(tmp_path), pytest.raises(ConfigurationError), record_outcome(alone(tmp_path)):
        raise ConfigurationError("another agent")
    assert left(tmp_path) == RUNNING | {"process": DEAD}
