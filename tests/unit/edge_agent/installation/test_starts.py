"""How often it was started, and how the runs before ended."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.status import read_status
from edge_agent.errors import EdgeError
from edge_agent.installation.process import boot_id
from edge_agent.installation.starts import ASKED, BOX, DIED, KEPT, Start, end_of, read_starts, record_start, unasked
from edge_agent.status.folders import StatusFolders
from edge_agent.status.local_socket import StatusFile
from edge_agent.status.run_outcome import record_outcome

HERE = {"pid": 2**22 + 1, "boot": boot_id(), "unit": None}


def test_starts_are_kept_in_order_and_only_the_newest(tmp_path: Path) -> None:
    for number in range(KEPT + 10):
        record_start(tmp_path, now_s=float(number), before=DIED)
    kept = read_starts(tmp_path)
    assert [start.at_s for start in kept] == [float(n) for n in range(10, KEPT + 10)]
    assert (tmp_path / "starts.json").stat().st_size < 8_000


def test_those_of_the_last_hour_count_that_nobody_asked_for() -> None:
    starts = [Start(0.0, DIED), Start(5000.0, None), Start(5001.0, ASKED), Start(5002.0, DIED), Start(9999.0, DIED)]
    assert unasked(starts, now_s=5010.0) == [Start(5002.0, DIED)]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (None, None),
        ({"state": "stopped", "process": HERE}, ASKED),
        ({"state": "healthy", "process": HERE}, DIED),
        ({"state": "stopped", "begun": "2026-01-02T03:04:05Z", "process": HERE}, DIED),
        ({"state": "healthy", "process": HERE | {"boot": "another"}}, BOX),
        ({"failure": {"what": "the disk is full"}, "process": HERE}, "the disk is full"),
        ({"failure": {"what": "x\x1b[31m\n" + "y" * 900}}, None),
    ],
)
def test_how_a_run_ended_is_what_it_left(last: dict[str, Any] | None, expected: str | None) -> None:
    found = end_of(last)
    if last and "\x1b" in str(last.get("failure", {}).get("what")):
        assert found is not None
        assert "\x1b" not in found
        assert len(found) <= 200
    else:
        assert found == expected


@pytest.mark.parametrize("content", [b"", b"{}", b"[[]]", b'[{"at": "x", "before": 1}]', b"[" * 100_000, b"\xff"])
def test_a_file_of_anything_holds_no_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "starts.json").write_bytes(content)
    assert read_starts(tmp_path) == []


def test_a_folder_that_takes_nothing_costs_only_the_count(tmp_path: Path) -> None:
    record_start(tmp_path / "none", now_s=1.0, before=None)
    assert read_starts(tmp_path / "none") == []


def test_runs_that_fail_are_counted_with_their_reason_and_a_cleaned_folder_is_the_box(tmp_path: Path) -> None:
    folders = StatusFolders(tmp_path / "run", tmp_path / "state")
    folders.state_dir.mkdir()
    for _ in range(3):
        with pytest.raises(EdgeError), record_outcome(folders):
            raise EdgeError("the disk is full")
    with record_outcome(folders):
        pass  # stopped before there was a status
    with record_outcome(folders):
        pass
    (folders.runtime_dir / "status.json").unlink()
    with record_outcome(folders):
        StatusFile(folders.runtime_dir / "status.json").write({"state": "healthy"})
    full = "the agent cannot go on: the disk is full"
    assert [start.before for start in read_starts(folders.state_dir)] == [None, full, full, full, ASKED, BOX]


def test_a_dead_agent_that_was_started_again_and_again_is_told_with_its_last_end(tmp_path: Path) -> None:
    site = tmp_path / "edge.toml"
    site.write_text(
        f'[gateway]\nid = "g"\nsite = "s"\nstate_dir = "{tmp_path}"\nruntime_dir = "{tmp_path}/run"\n'
        '[central]\nurl = "https://c"\n'
        '[[sources]]\ntype = "synthetic"\nname = "a"\nasset = "b"\nsample_rate_hz = 100\nchannels = [{ point = "x" }]\n'
    )
    for _ in range(5):
        record_start(tmp_path, now_s=time.time(), before="the disk is full")
    found = read_status(site)
    assert found["state"] == "down"
    loop = found["problems"][1]
    assert loop["what"] == "the agent was started 5 times in the last hour; last end: the disk is full"
    assert loop["since"]
