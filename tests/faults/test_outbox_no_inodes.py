"""The outbox on a file system that has bytes left and no place for another file."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync.errors import OutboxUnavailableError
from cloud_sync.host.inodes import free_inodes
from cloud_sync.outbox.store import Outbox
from tests.support.blocks import GATEWAY, block_of, fresh_rows

pytestmark = pytest.mark.root
FILES = 24


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=8m,nr_inodes={FILES}", "tmpfs", mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)


def outbox_in(disk: Path) -> Outbox:
    return Outbox(disk / "outbox.db", max_bytes=10_000_000, gateway_id=GATEWAY)


def take_every_inode(disk: Path) -> None:
    number = len(list(disk.iterdir()))
    while free_inodes(disk):
        (disk / f"of-others-{number}").touch()
        number += 1
    with pytest.raises(OSError, match="No space left"):
        (disk / "one-more").touch()


def test_an_open_outbox_takes_records_and_gives_them_up_without_another_file(disk: Path) -> None:
    with outbox_in(disk) as outbox:
        take_every_inode(disk)
        outbox.append([block_of(fresh_rows(5))])
        assert outbox.depth().records == 5
        assert outbox.has_reserve


def test_an_outbox_is_opened_when_others_took_the_places_of_its_log_and_index(disk: Path) -> None:
    with outbox_in(disk) as outbox:
        outbox.append([block_of(fresh_rows(5))])
    for _ in range(3):  # each time the places are held for the next start
        take_every_inode(disk)
        with outbox_in(disk) as outbox:
            outbox.append([block_of(fresh_rows(5))])
            assert outbox.has_reserve
    with outbox_in(disk) as outbox:
        assert outbox.depth().records == 20


def test_a_first_start_without_an_inode_says_that_and_not_that_the_folder_is_wrong(disk: Path) -> None:
    take_every_inode(disk)
    with pytest.raises(OutboxUnavailableError) as refused:
        outbox_in(disk).open()
    assert refused.value.hint is not None
    assert "no inode is free" in refused.value.hint
    assert "df -i" in refused.value.hint
