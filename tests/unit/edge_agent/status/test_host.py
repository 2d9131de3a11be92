"""What status says of the box."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.health.file_systems import Durability, FileSystem
from edge_agent.health.memory import Memory
from edge_agent.installation.starts import DIED, Start
from edge_agent.status.host import HostHealth, describe_host, host_problems, unexpected_in_words

MB = 1 << 20
STATE = Path("/var/lib/edge-agent")
DISK = FileSystem(STATE, "ext4", Durability.LASTS, False, 1000 * MB, 500 * MB, 65_536, 60_000)
SOUND = HostHealth(
    STATE, DISK, Memory(60 * MB, 1000 * MB, 300 * MB), answers_at=Path("/run/edge-agent/edge-agent.sock")
)


def said(host: HostHealth) -> str:
    (found,) = host_problems(host)
    assert found["do"]
    return str(found["what"])


def test_a_sound_box_is_no_problem_and_all_of_it_is_told() -> None:
    assert host_problems(SOUND) == []
    assert describe_host(SOUND)["state_durability"] == "lasts"
    assert None not in [value for name, value in describe_host(SOUND).items() if name != "last_end"]


@pytest.mark.parametrize(
    ("durability", "words"),
    [(Durability.IN_MEMORY, "is in memory (tmpfs)"), (Durability.IN_A_LAYER, "is in a layer of an overlay")],
)
def test_a_state_folder_that_does_not_last_is_said_unless_it_is_meant(durability: Durability, words: str) -> None:
    host = replace(SOUND, file_system=replace(DISK, type="tmpfs", durability=durability))
    assert words in said(host)
    assert host_problems(replace(host, is_volatile_accepted=True)) == []


def test_inodes_are_said_before_they_are_all_gone() -> None:
    assert "has 7 inodes left" in said(replace(SOUND, file_system=replace(DISK, free_inodes=7)))
    assert host_problems(replace(SOUND, file_system=replace(DISK, total_inodes=64, free_inodes=40))) == []
    assert host_problems(replace(SOUND, file_system=replace(DISK, total_inodes=None, free_inodes=None))) == []


@pytest.mark.parametrize(
    ("memory", "words"),
    [
        (Memory(75 * MB, 80 * MB, 300 * MB, is_group=True), "holds 79 MB of the 84 MB of its group"),
        (Memory(60 * MB, 1000 * MB, 5 * MB), "of the box"),
    ],
)
def test_memory_is_said_before_the_kernel_ends_it(memory: Memory, words: str) -> None:
    assert words in said(replace(SOUND, memory=memory))


def test_a_loop_of_starts_is_said_with_the_last_end() -> None:
    starts = tuple(Start(1e9 + n, DIED) for n in range(14))
    host = replace(SOUND, starts=starts)
    assert said(host) == f"the agent was started 14 times in the last hour; last end: {DIED}"
    assert host_problems(host)[0]["since"] == "2001-09-09T01:46:40.000Z"
    assert host_problems(replace(SOUND, starts=starts[:3])) == []
    assert describe_host(host)["unasked_starts"] == 14


def test_a_socket_that_is_elsewhere_is_said_with_both_places() -> None:
    host = replace(SOUND, refused="/run/x cannot be made: Read-only file system", answers_at=STATE / "edge-agent.sock")
    assert "/run/x cannot be made: Read-only file system; recording goes on" in said(host)
    assert f"it answers at {STATE}/edge-agent.sock" in said(host)


def test_files_that_are_not_the_agents_are_named_and_no_problem() -> None:
    host = replace(SOUND, unexpected_files=("backup", "notes.txt"))
    assert host_problems(host) == []
    assert describe_host(host)["unexpected_files"] == ["backup", "notes.txt"]
    assert unexpected_in_words(STATE, host.unexpected_files).endswith("they are left alone: backup, notes.txt")
