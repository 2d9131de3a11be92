"""A disk that is really full or read-only: a small tmpfs of the test's own."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_sync.errors import OutboxUnavailableError
from cloud_sync.outbox.store import NewBlock, Outbox
from cloud_sync.records import Refusal, Settlement
from tests.support.blocks import START_US, block_of, fresh_rows

pytestmark = pytest.mark.root
DISK_BYTES = 6 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)


@pytest.fixture
def outbox(disk: Path) -> Iterator[Outbox]:
    with Outbox(disk / "outbox.db", max_bytes=1_000_000_000) as outbox:
        yield outbox


def opaque(size: int = 30_000) -> NewBlock:
    return replace(block_of(fresh_rows(3)), body=os.urandom(size))


def append_until_full(outbox: Outbox, *, size: int = 30_000) -> list[str]:
    """The batch ids whose append returned."""
    held: list[str] = []
    with pytest.raises(OutboxUnavailableError) as caught:
        _append_for_ever(outbox, held, size)
    assert caught.value.reason == "full"
    assert "free space" in str(caught.value.hint)
    return held


def _append_for_ever(outbox: Outbox, held: list[str], size: int) -> None:
    while True:
        block = opaque(size)
        outbox.append([block])
        held.append(block.batch_id)


def fill_with_another_file(disk: Path) -> Path:
    """Somebody else's file takes all that is left."""
    path = disk / "other"
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    with pytest.raises(OSError) as caught:
        (disk / "probe").write_bytes(b"x")
    assert caught.value.errno == errno.ENOSPC
    return path


def waiting(outbox: Outbox) -> list[str]:
    found, last = [], 0
    while (block := outbox.peek(after_id=last)) is not None:
        found.append(block.batch_id)
        last = block.id
    return found


def settle_oldest(outbox: Outbox, refused: tuple[Refusal, ...] = ()) -> str:
    block = outbox.peek()
    assert block is not None
    outbox.settle(block, Settlement(block.count - len(refused), 0, refused), now_us=START_US)
    return block.batch_id


@pytest.mark.parametrize("size", [200, 30_000, 150_000])
def test_full_disk_refuses_appends_and_loses_nothing(outbox: Outbox, size: int):
    held = append_until_full(outbox, size=size)
    assert waiting(outbox) == held
    with pytest.raises(OutboxUnavailableError):
        outbox.append([opaque(size)])
    assert waiting(outbox) == held


@pytest.mark.parametrize("size", [200, 30_000, 150_000])
def test_outbox_on_a_full_disk_can_be_emptied_to_the_last_block(disk: Path, outbox: Outbox, size: int):
    held = append_until_full(outbox, size=size)
    fill_with_another_file(disk)
    assert [settle_oldest(outbox) for _ in held] == held
    assert outbox.peek() is None
    assert outbox.counters()["ballast_released"] > 0
    assert outbox.counters()["accepted"] == 3 * len(held)


def test_emptying_pays_for_a_new_reserve_and_appends_go_on(disk: Path, outbox: Outbox):
    held = append_until_full(outbox)
    fill_with_another_file(disk)
    for _ in held:
        settle_oldest(outbox)
    assert outbox.has_reserve
    block = opaque()
    outbox.append([block])
    assert waiting(outbox) == [block.batch_id]


def test_refused_rows_become_dead_letters_on_a_full_disk_too(disk: Path, outbox: Outbox):
    block = block_of(fresh_rows(50))
    outbox.append([block])
    append_until_full(outbox)
    fill_with_another_file(disk)
    settle_oldest(outbox, (Refusal(7, "conflict", "why"),))
    assert [(letter.batch_id, letter.position) for letter in outbox.dead_letters()] == [(block.batch_id, 7)]


def test_appends_go_on_once_somebody_frees_space(disk: Path, outbox: Outbox):
    outbox.append([opaque()])
    other = fill_with_another_file(disk)
    held = waiting(outbox) + append_until_full(outbox)
    other.unlink()
    block = opaque()
    outbox.append([block])
    assert waiting(outbox) == [*held, block.batch_id]


def test_space_of_the_reserve_is_not_used_up_by_appends(disk: Path, outbox: Outbox):
    append_until_full(outbox)
    fill_with_another_file(disk)
    settle_oldest(outbox)
    append_until_full(outbox)
    append_until_full(outbox)
    for _ in waiting(outbox):
        settle_oldest(outbox)
    assert outbox.peek() is None


def test_start_on_a_full_disk_finds_everything_and_can_empty_it(disk: Path):
    path = disk / "outbox.db"
    with Outbox(path, max_bytes=1_000_000_000) as outbox:
        held = append_until_full(outbox)
    fill_with_another_file(disk)
    with Outbox(path, max_bytes=1_000_000_000) as outbox:
        assert waiting(outbox) == held
        assert [settle_oldest(outbox) for _ in held] == held


def test_start_on_a_full_disk_after_a_kill_finds_everything(disk: Path):
    """The log of a killed process is still there; nothing was moved into the main file."""
    first = Outbox(disk / "outbox.db", max_bytes=1_000_000_000).open()
    held = append_until_full(first)
    copy = disk.parent / "copy"
    copy.mkdir()
    subprocess.run(["cp", disk / "outbox.db", disk / "outbox.db-wal", copy], check=True)
    first.close()
    subprocess.run(f"rm {disk}/outbox.db* && mv {copy}/* {disk}", shell=True, check=True)  # noqa: S602
    fill_with_another_file(disk)
    with contextlib.suppress(OutboxUnavailableError):  # no reserve survived: it may have to wait for space
        Outbox(disk / "outbox.db", max_bytes=1_000_000_000).open().close()
    (disk / "other").unlink()
    with Outbox(disk / "outbox.db", max_bytes=1_000_000_000) as outbox:
        assert waiting(outbox) == held


def test_outbox_on_a_disk_without_space_for_the_reserve_still_opens(disk: Path):
    with Outbox(disk / "outbox.db", max_bytes=1_000_000_000) as outbox:
        outbox.append([opaque()])
    (disk / "outbox.db.ballast").unlink()
    with (disk / "other").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, DISK_BYTES - 600_000)
    with Outbox(disk / "outbox.db", max_bytes=1_000_000_000) as outbox:
        assert not outbox.has_reserve
        with pytest.raises(OutboxUnavailableError, match="kept for emptying"):
            outbox.append([opaque()])
        settle_oldest(outbox)
        (disk / "other").unlink()
        outbox.append([opaque()])
        assert outbox.has_reserve


def test_disk_that_became_read_only_is_said_and_reads_go_on(disk: Path):
    path = disk / "outbox.db"
    with Outbox(path, max_bytes=1_000_000_000) as outbox:
        outbox.append([opaque()])
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(OutboxUnavailableError) as caught, Outbox(path, max_bytes=1_000_000_000) as outbox:
        outbox.append([opaque()])
    assert caught.value.reason in ("readonly", "cannot_open")
    assert caught.value.hint
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    with Outbox(path, max_bytes=1_000_000_000) as outbox:
        assert len(waiting(outbox)) == 1


def test_new_outbox_in_a_read_only_folder_is_reported(disk: Path):
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(OutboxUnavailableError) as caught:
        Outbox(disk / "outbox.db", max_bytes=1_000_000_000).open()
    assert caught.value.reason in ("readonly", "cannot_open")
    assert caught.value.hint


FLOOR_BYTES = 2 << 20


def free_on(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def append_noise(outbox: Outbox, flushes: int) -> None:
    values = random.Random(flushes)
    for _ in range(flushes):
        rows = [replace(row, value=values.random()) for row in fresh_rows(500)]
        outbox.append([block_of(rows)])


def test_disk_floor_leaves_space_on_a_real_disk_for_everybody_else(disk: Path):
    with Outbox(disk / "outbox.db", max_bytes=1_000_000_000, min_free_bytes=FLOOR_BYTES) as outbox:
        append_noise(outbox, 1_200)
        assert outbox.counters()["thinned"] > 0
        assert free_on(disk) >= FLOOR_BYTES // 2
        (disk / "journal").write_bytes(bytes(FLOOR_BYTES // 2))
        append_noise(outbox, 100)
        assert free_on(disk) >= FLOOR_BYTES // 2
        assert all("floor" in gap.detail for gap in outbox.gaps())


def test_file_removed_on_a_disk_without_space_for_a_copy_is_reported_and_comes_back_with_space(disk: Path):
    outbox = Outbox(disk / "outbox.db", max_bytes=1_000_000_000).open()
    held = []
    for _ in range(100):
        block = opaque()
        outbox.append([block])
        held.append(block.batch_id)
    (disk / "outbox.db").unlink()
    other = fill_with_another_file(disk)
    for _ in range(2):
        with pytest.raises(OutboxUnavailableError) as caught:
            outbox.append([opaque()])
        assert caught.value.reason == "moved"
    assert waiting(outbox) == held
    assert not list(disk.glob("*.rescue*"))
    other.unlink()
    (disk / "outbox.db.ballast").unlink()
    settle_oldest(outbox)
    for _ in held[1:60]:
        settle_oldest(outbox)  # half of the disk is still the unlinked file's
    block = opaque()
    outbox.append([block])
    outbox.close()
    with Outbox(disk / "outbox.db", max_bytes=1_000_000_000) as again:
        found = waiting(again)
        assert [name for name in found if name in held] == held[60:]
        assert found[-1] == block.batch_id
