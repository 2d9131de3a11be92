"""Which installation this is, and its how-manieth start, over restarts, other machines and damaged files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge_agent.health.machine import Machine
from edge_agent.installation.identity import IDENTITY_FILE, InstallationIdentity, next_start

HERE = Machine("b" * 12, ("c" * 12,), "d" * 12)
ELSEWHERE = Machine("e" * 12, ("f" * 12,), "d" * 12)
NOW_NS = 1_700_000_000_000_000_000


def start(
    folder: Path, *, machine: Machine = HERE, gateway_id: str = "gw-1", said: list[str] | None = None
) -> InstallationIdentity:
    return next_start(
        folder, gateway_id, machine, now_ns=NOW_NS, log=lambda _, line: None if said is None else said.append(line)
    )


def test_each_start_has_a_higher_number_and_a_run_of_its_own(tmp_path: Path):
    starts = [start(tmp_path) for _ in range(3)]
    assert [one.incarnation for one in starts] == [1, 2, 3]
    assert len({one.instance for one in starts}) == 1
    assert len({one.run for one in starts}) == 3
    assert (tmp_path / IDENTITY_FILE).stat().st_mode & 0o077 == 0


def test_two_installations_are_two(tmp_path: Path):
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    assert start(tmp_path / "1").instance != start(tmp_path / "2").instance


def test_a_folder_from_another_machine_is_an_installation_of_its_own(tmp_path: Path):
    first, said = start(tmp_path), list[str]()
    moved = start(tmp_path, machine=ELSEWHERE, said=said)
    assert (moved.instance != first.instance, moved.incarnation, moved.moved_at_ns) == (True, 1, NOW_NS)
    assert "comes from another machine" in said[0]
    again = start(tmp_path, machine=ELSEWHERE)
    assert (again.instance, again.incarnation, again.moved_at_ns) == (moved.instance, 2, NOW_NS)


def test_what_this_start_may_not_read_of_the_machine_is_kept(tmp_path: Path):
    start(tmp_path)
    start(tmp_path, machine=Machine(os="d" * 12))
    assert start(tmp_path, machine=Machine(os="d" * 12)).machine == HERE


def test_another_gateway_id_is_another_installation(tmp_path: Path):
    first, said = start(tmp_path), list[str]()
    second = start(tmp_path, gateway_id="gw-2", said=said)
    assert (second.instance != first.instance, second.incarnation, said) == (True, 1, [])


def test_a_restored_file_counts_from_where_it_was(tmp_path: Path):
    start(tmp_path)
    shutil.copy(tmp_path / IDENTITY_FILE, tmp_path / "backup")
    assert start(tmp_path).incarnation == 2
    shutil.copy(tmp_path / "backup", tmp_path / IDENTITY_FILE)
    assert start(tmp_path).incarnation == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"gateway_id": "gw-1"}',
        b'{"gateway_id": "gw-1", "instance": "zz"}',
        b"[" * 9_000,
    ],
)
def test_a_damaged_file_is_another_installation_and_is_said(tmp_path: Path, content: bytes):
    (tmp_path / IDENTITY_FILE).write_bytes(content)
    said: list[str] = []
    assert start(tmp_path, said=said).incarnation == 1
    assert "cannot be read" in said[0]
    assert start(tmp_path).incarnation == 2


def test_where_no_new_file_can_be_made_the_number_rises_in_its_place(tmp_path: Path):
    start(tmp_path)
    (tmp_path / f".{IDENTITY_FILE}.new").mkdir()  # in the place of the new file, as a full disk is
    said: list[str] = []
    assert [start(tmp_path, said=said).incarnation for _ in range(20)] == list(range(2, 22))
    assert said == []


def test_a_disk_that_takes_nothing_is_said_and_keeps_nobody_from_starting(tmp_path: Path):
    said: list[str] = []
    assert start(tmp_path / "nowhere", said=said).incarnation == 1
    assert "could not be recorded" in said[0]
