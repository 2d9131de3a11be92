"""What lies below a folder, from tables of mounts of the kinds of boxes there are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_agent.health.file_systems import Durability, file_system_of, read_mounts


def table(folder: Path, *lines: str) -> Path:
    file = folder / "mountinfo"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def device_of(folder: Path) -> str:
    device = folder.stat().st_dev
    return f"{os.major(device)}:{os.minor(device)}"


def test_a_folder_is_told_with_its_room(tmp_path: Path) -> None:
    found = file_system_of(tmp_path)
    assert found.type
    assert 0 < found.free_bytes <= found.total_bytes
    assert not found.is_read_only


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("ext4", "rw", Durability.LASTS),
        ("btrfs", "rw", Durability.LASTS),
        ("tmpfs", "rw,size=65536k", Durability.IN_MEMORY),
        ("ramfs", "rw", Durability.IN_MEMORY),
        ("overlay", "rw,lowerdir=/l,upperdir=/var/lib/docker/overlay2/0/diff,workdir=/w", Durability.IN_A_LAYER),
        ("overlay", "rw,lowerdir=/l", Durability.IN_A_LAYER),
    ],
)
def test_whether_it_lasts_is_a_matter_of_the_kind(
    tmp_path: Path, kind: str, options: str, expected: Durability
) -> None:
    below = f"30 1 {device_of(tmp_path)} / {tmp_path} rw - {kind} none {options}"
    mounts = table(tmp_path, "27 1 254:0 / / rw - ext4 /dev/vda rw", below)
    found = file_system_of(tmp_path / "not" / "there" / "yet", mounts=mounts)
    assert (found.type, found.durability) == (kind, expected)
    assert found.folder == tmp_path.resolve()


def test_an_overlay_is_as_durable_as_its_upper_folder(tmp_path: Path) -> None:
    (tmp_path / "upper").mkdir()
    (tmp_path / "seen").mkdir()
    device = device_of(tmp_path)
    over = f"31 27 {device} / {tmp_path}/seen rw - overlay overlay rw,upperdir={tmp_path}/upper"
    for kind, expected in (("tmpfs", Durability.IN_MEMORY), ("ext4", Durability.LASTS)):
        upper = f"30 27 {device} / {tmp_path}/upper rw - {kind} none rw"
        assert file_system_of(tmp_path / "seen", mounts=table(tmp_path, upper, over)).durability is expected


def test_of_mounts_over_each_other_the_newest_counts(tmp_path: Path) -> None:
    lines = [
        f"3{n} 1 {device_of(tmp_path)} / {tmp_path} rw - {kind} none rw" for n, kind in enumerate(("ext4", "tmpfs"))
    ]
    assert file_system_of(tmp_path, mounts=table(tmp_path, *lines)).type == "tmpfs"


def test_names_with_spaces_are_read_and_lines_of_another_shape_passed_over(tmp_path: Path) -> None:
    mounts = table(
        tmp_path, "", "garbage", "1 2 x:y / / rw - ext4 d rw", "1 2 8:1 / /", "1 2 8:1 / / rw - ",
        r"36 35 98:0 /root /mnt/a\040b rw shared:1 master:2 - ext3 /dev/root rw,errors=continue",
    )  # fmt: skip
    (mount,) = read_mounts(mounts)
    assert (mount.point, mount.type) == (Path("/mnt/a b"), "ext3")


def test_without_a_table_nothing_is_claimed(tmp_path: Path) -> None:
    found = file_system_of(tmp_path, mounts=tmp_path / "none")
    assert (found.type, found.durability) == (None, Durability.UNKNOWN)
    assert found.total_bytes > 0
