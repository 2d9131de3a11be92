"""The whole pipeline as a new user starts it: plant, gateway, central and database in one process tree."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240.0  # a machine that is busy with twenty other things starts the demo in minutes


def demo(state: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "edge_agent", "demo", "--state", str(state), "--json", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ,
    )  # fmt: skip


def summary_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    summary: dict[str, Any] = json.loads(out.splitlines()[-1])
    return summary


def until_it_scores(process: subprocess.Popen[str]) -> None:
    """Read what it says about every ten seconds, until windows are scored."""
    assert process.stderr is not None
    while (line := process.stderr.readline()) and not re.search(r" s  [1-9]\d* windows scored", line):
        pass
    assert line, "the demo ended before it scored"


@pytest.mark.timeout(3 * PATIENCE_S)
def test_the_demo_loses_and_doubles_nothing_and_the_next_run_continues(tmp_path: Path) -> None:
    process = demo(tmp_path)
    until_it_scores(process)
    process.send_signal(signal.SIGINT)
    first = summary_of(process)
    assert first["lost"] == first["duplicated"] == first["unexpected"] == first["waiting"] == 0
    assert first["readings"] == first["rows_committed"] > 0
    assert first["windows_scored"] > 0  # how many is up to the machine
    second = summary_of(demo(tmp_path, "--duration", "5"))
    assert second["duration_s"] >= 5
    assert second["lost"] == second["duplicated"] == second["unexpected"] == 0
    assert second["gaps"] >= 1, "the time between the two runs is a gap"


@pytest.mark.timeout(PATIENCE_S)
def test_a_second_demo_is_turned_away_and_ctrl_c_stops_the_whole_process_tree_and_still_counts(tmp_path: Path) -> None:
    process = demo(tmp_path)
    assert process.stderr is not None
    while "windows scored" not in (line := process.stderr.readline()):
        assert line, "the demo ended before it ran"
    tree = psutil.Process(process.pid).children(recursive=True)
    assert len(tree) >= 4
    another = demo(tmp_path)
    _, err = another.communicate(timeout=PATIENCE_S)
    assert (another.returncode, err) == (
        3,
        f"edge-agent: another demo is running on {tmp_path}\n  stop it with Ctrl-C, or choose another --state\n",
    )
    process.send_signal(signal.SIGINT)
    summary = summary_of(process)
    assert summary["lost"] == summary["duplicated"] == 0
    _, alive = psutil.wait_procs(tree, timeout=20)
    assert alive == []


@pytest.mark.timeout(PATIENCE_S)
@pytest.mark.parametrize("orders", [(signal.SIGTERM,), (signal.SIGINT, signal.SIGTERM)], ids=["once", "twice"])
def test_a_demo_that_is_still_starting_ends_when_asked_and_leaves_nothing_running(
    tmp_path: Path, orders: tuple[signal.Signals, ...]
) -> None:
    process = demo(tmp_path)
    assert process.stderr is not None
    assert "starting the central" in process.stderr.readline()
    while not (tree := psutil.Process(process.pid).children(recursive=True)):
        assert process.poll() is None
    for order in orders:
        process.send_signal(order)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    _, alive = psutil.wait_procs(tree, timeout=60)
    assert alive == []


def test_missing_recordings_are_said_in_one_line(tmp_path: Path) -> None:
    process = demo(tmp_path, "--data", str(tmp_path / "nowhere"))
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 3
    assert "nasa_ims" in err
    assert "Traceback" not in err
