"""A start that the disk does not let happen: systemd tries again, and `status` says why nobody answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.disks import SmallDisk, small_disk

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0

pytestmark = pytest.mark.root  # it mounts a disk of its own


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def site(tmp_path: Path, disk: SmallDisk) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(f"""
[gateway]
id = "gw-test"
site = "lab"
state_dir = "{disk.path / "state"}"
runtime_dir = "run"
[central]
url = "https://127.0.0.1:1"
[[sources]]
type = "synthetic"
name = "rig"
asset = "rig-1"
channels = [{{ point = "x" }}]
""")
    return path


def edge(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_agent", *map(str, arguments)],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd=ROOT, env=environment(),
    )  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "EDGE_CENTRAL__API_KEY": "a-key", **more}


def status(site: Path) -> dict[str, Any]:
    return json.loads(edge("status", "--config", site, "--json").stdout)


def test_a_read_only_disk_is_worth_another_start_and_status_says_why(site: Path, disk: SmallDisk) -> None:
    disk.make("ro")
    answer = edge("run", "--config", site)
    assert answer.returncode == 1, "3 would tell systemd not to try again"
    document = status(site)
    assert document["state"] == "down"
    assert "Read-only file system" in document["summary"]
    assert "check the disk" in document["problems"][0]["do"]
    assert document["last_status"] is None


def test_the_same_failure_again_keeps_the_time_it_was_first_seen(site: Path, disk: SmallDisk) -> None:
    disk.make("ro")
    edge("run", "--config", site)
    first = status(site)["problems"][0]["since"]
    edge("run", "--config", site)
    assert status(site)["problems"][0]["since"] == first is not None


def test_a_failure_does_not_wipe_out_the_last_words_before_it(site: Path, disk: SmallDisk) -> None:
    disk.make("ro")
    words = {"time": "2026-01-02T03:04:05.000Z", "state": "stopped", "summary": "stopped on request", "problems": []}
    (site.parent / "run").mkdir()
    (site.parent / "run" / "status.json").write_text(json.dumps(words))
    edge("run", "--config", site)
    document = status(site)
    assert "Read-only file system" in document["summary"]
    assert document["last_status"]["summary"] == "stopped on request"


def test_nothing_is_explained_by_a_start_that_failed_before_the_first_status(site: Path, disk: SmallDisk) -> None:
    disk.make("ro")
    edge("run", "--config", site)
    answer = edge("models", "explain", "--config", site)
    assert answer.returncode == 2
    assert "no agent answers" in answer.stderr


def test_under_systemd_a_failed_start_waits_so_that_ten_in_ten_minutes_are_never_reached(
    site: Path, disk: SmallDisk
) -> None:
    disk.make("ro")
    with subprocess.Popen(
        [sys.executable, "-m", "edge_agent", "run", "--config", site],
        stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment(NOTIFY_SOCKET="/nonexistent"),
    ) as agent:  # fmt: skip
        assert agent.stderr is not None
        heard = line_with("systemd goes on starting", agent)
        assert heard, "it did not wait"
        assert status(site)["summary"].endswith("Read-only file system")
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(DEADLINE_S) == 1


def test_a_path_that_can_never_be_a_folder_is_a_wrong_configuration(site: Path, disk: SmallDisk) -> None:
    (disk.path / "state").write_text("a file")
    assert edge("run", "--config", site).returncode == 3


def line_with(words: str, agent: subprocess.Popen[str]) -> str | None:
    assert agent.stderr is not None
    started_s = time.monotonic()
    for line in agent.stderr:
        if words in line:
            return line
        assert time.monotonic() - started_s < DEADLINE_S
    return None
