"""Where a status is left and found when the runtime folder cannot be written."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from edge_agent.errors import DaemonUnreachableError
from edge_agent.installation.state_lock import only_socket
from edge_agent.status.folders import StatusFolders
from edge_agent.status.local_socket import LocalApi


@pytest.fixture
def folders(tmp_path: Path) -> StatusFolders:
    (tmp_path / "state").mkdir()
    return StatusFolders(tmp_path / "run", tmp_path / "state")


def cannot_be_written(folders: StatusFolders) -> None:
    """As a missing folder on a read-only disk: root may do anything else."""
    folders.runtime_dir.write_text("a file is in its place")


def test_the_runtime_folder_is_used_where_it_can_be(folders: StatusFolders) -> None:
    folders.write({"summary": "here"})
    assert (folders.runtime_dir / "status.json").exists()
    assert not (folders.state_dir / "status.json").exists()
    assert (folders.read() or {})["summary"] == "here"


def test_without_it_the_state_folder_has_the_status_until_it_is_back(folders: StatusFolders) -> None:
    cannot_be_written(folders)
    folders.write({"summary": "there"})
    assert (folders.read() or {})["summary"] == "there"
    folders.runtime_dir.unlink()
    folders.write({"summary": "here"})
    assert (folders.read() or {})["summary"] == "here"
    assert not (folders.state_dir / "status.json").exists()


def test_of_two_the_newer_one_is_read(folders: StatusFolders) -> None:
    folders.write({"summary": "old"})
    StatusFolders(folders.state_dir, folders.state_dir).write({"summary": "new"})
    os.utime(folders.runtime_dir / "status.json", (1, 1))
    assert (folders.read() or {})["summary"] == "new"
    os.utime(folders.state_dir / "status.json", (0, 0))
    assert (folders.read() or {})["summary"] == "old"


async def test_an_agent_without_a_runtime_folder_answers_in_the_state_folder(folders: StatusFolders) -> None:
    cannot_be_written(folders)

    async def describe() -> dict[str, Any]:
        return {"summary": "recording"}

    async with LocalApi(*folders.sockets, describe=describe) as api:
        assert api.path == folders.state_dir / "edge-agent.sock"
        assert api.refused is not None
        assert str(folders.runtime_dir) in api.refused
        assert (await asyncio.to_thread(folders.ask))["summary"] == "recording"
        assert folders.is_held()
    assert not (folders.state_dir / "edge-agent.sock").exists()


async def test_with_no_folder_at_all_it_goes_on_without_a_socket(tmp_path: Path) -> None:
    folders = StatusFolders(tmp_path / "a", tmp_path / "b")
    folders.runtime_dir.write_text("")
    folders.state_dir.write_text("")

    async def describe() -> dict[str, Any]:
        return {}

    async with LocalApi(*folders.sockets, describe=describe) as api:
        assert api.path is None
        assert api.refused
    folders.write({"summary": "nowhere"})
    assert folders.read() is None


def test_nobody_who_answers_is_one_line(folders: StatusFolders) -> None:
    with pytest.raises(DaemonUnreachableError, match=r"nobody answers on .*run/edge-agent\.sock"):
        folders.ask()
    with only_socket(folders.runtime_dir):
        assert folders.is_held()
