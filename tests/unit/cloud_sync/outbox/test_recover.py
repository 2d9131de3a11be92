"""A file that was put aside, read back in by hand: once, within its bounds, and with its log."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from cloud_sync.errors import OutboxCorruptError, OutboxError, OutboxFullError
from cloud_sync.outbox import recover as outbox_recover
from cloud_sync.outbox.clock_tables import Epoch
from cloud_sync.outbox.gap_log import record_gap
from cloud_sync.outbox.quarantine import quarantined
from cloud_sync.outbox.recover import recover
from cloud_sync.outbox.retention_policy import Loss, LossCause
from cloud_sync.outbox.sqlite_file import connect, in_transaction
from cloud_sync.outbox.store import Outbox
from cloud_sync.outbox.tables import find_block
from cloud_sync.records import Refusal, Settlement
from tests.support.blocks import GATEWAY, START_US, block_of, fresh_rows
from tests.support.damage import smash_root_of

BYTES = 100_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def opened(path: Path) -> Outbox:
    return Outbox(path, max_bytes=BYTES, gateway_id=GATEWAY, reserve_bytes=4_096)


def put_aside_by_an_older_program(path: Path, *, blocks: int = 20) -> tuple[Path, list[str]]:
    """Whole, with one dead letter, one gap, and the newest half of its blocks in its log only. What waits in it."""
    work = path.parent / "at-work" / "outbox.db"
    work.parent.mkdir()
    aside = path.with_name("outbox.db.corrupt-20260101T000000")
    held = [block_of(fresh_rows(10)) for _ in range(blocks)]
    with opened(work) as outbox:
        outbox.append(held[: blocks // 2])
        first = outbox.peek()
        assert first is not None
        outbox.settle(first, Settlement(9, 0, (Refusal(3, "conflict", "why"),)), now_us=START_US)
        note = Loss(1, 2, 7)
        outbox._do(
            lambda db: in_transaction(db, lambda db: record_gap(db, LossCause.EVICTED, note, now_us=3, detail="d"))
        )
    with contextlib.closing(connect(work)) as db:
        assert find_block(db, first.id) is None
    with opened(work) as outbox:
        outbox.append(held[blocks // 2 :])
        for end in ("", "-wal"):
            shutil.copy(work.with_name(work.name + end), aside.with_name(aside.name + end))
    shutil.rmtree(work.parent)
    return aside, [block.batch_id for block in held[1:]]


def waiting(path: Path) -> list[str]:
    with opened(path) as outbox:
        found, last = [], 0
        while (block := outbox.peek(after_id=last)) is not None:
            found.append(block.batch_id)
            last = block.id
        return found


def read_in(file: Path, path: Path) -> outbox_recover.Recovered:
    return recover(file, path, gateway_id=GATEWAY, max_bytes=BYTES)


def test_whole_blocks_letters_and_gaps_come_back_once_behind_what_waits(path: Path):
    aside, held = put_aside_by_an_older_program(path)
    before = {end: aside.with_name(aside.name + end).read_bytes() for end in ("", "-wal")}
    mine = block_of(fresh_rows(5))
    with opened(path) as outbox:
        outbox.append([mine])
        done = read_in(aside, path)  # an agent may be at work
    assert (done.blocks, done.records, done.dead_letters, done.gaps) == (len(held), 10 * len(held), 1, 1)
    assert (done.already_there, done.unreadable) == (0, 0)
    assert waiting(path) == [mine.batch_id, *held]
    again = read_in(aside, path)
    assert (again.blocks, again.dead_letters, again.gaps, again.already_there) == (0, 0, 0, len(held))
    with opened(path) as outbox:
        assert [letter.position for letter in outbox.dead_letters()] == [3]
        assert [gap.count for gap in outbox.gaps()] == [7]
        assert outbox.counters()["appended"] == 5 + 10 * len(held)
        assert outbox.counters()["recovered"] == 10 * len(held)
    assert {end: aside.with_name(aside.name + end).read_bytes() for end in ("", "-wal")} == before


def test_what_was_delivered_since_does_not_come_back_a_second_time(path: Path):
    aside, held = put_aside_by_an_older_program(path)
    read_in(aside, path)
    with opened(path) as outbox:
        for _ in range(4):
            block = outbox.peek()
            assert block is not None
            outbox.settle(block, Settlement(block.count, 0), now_us=START_US)
    assert read_in(aside, path).blocks == 0
    assert waiting(path) == held[4:]


def test_what_the_agent_took_over_by_itself_is_there_already(path: Path):
    with opened(path) as outbox:
        outbox.append([block_of(fresh_rows(10)) for _ in range(100)])
    smash_root_of(path, "dead_letter")
    held = waiting(path)
    assert len(held) == 100
    with opened(path) as outbox:
        for _ in range(30):
            block = outbox.peek()
            assert block is not None
            outbox.settle(block, Settlement(block.count, 0), now_us=START_US)
    (aside,) = quarantined(path)
    done = read_in(aside, path)
    assert (done.blocks, done.already_there, done.unreadable) == (0, 100, 0)
    assert waiting(path) == held[30:]


def test_blocks_that_could_not_be_read_come_in_once_they_can(path: Path):
    """As of a card whose bad sector was read once more."""
    with opened(path) as outbox:
        outbox.append([block_of(fresh_rows(10)) for _ in range(30)])
    good = path.read_bytes()
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE body SET content = zeroblob(length(content)) WHERE block_id IN (7, 8, 20)")
        db.execute("UPDATE counter SET value = 'x' WHERE name = 'thinned_to'")
    found = waiting(path)
    assert len(found) == 28, "and the gap that says so"
    (aside,) = quarantined(path)
    bad = read_in(aside, path)
    assert (bad.blocks, bad.already_there, bad.unreadable) == (0, 27, 3)
    aside.write_bytes(good)
    mended = read_in(aside, path)
    assert (mended.blocks, mended.records, mended.already_there, mended.unreadable) == (3, 30, 27, 0)
    assert len(waiting(path)) == 31
    assert read_in(aside, path).blocks == 0


def test_there_is_a_bound_and_it_goes_on_behind_it(path: Path):
    aside, held = put_aside_by_an_older_program(path, blocks=2_000)
    with opened(path) as outbox:
        used = outbox.depth().used_bytes
    with pytest.raises(OutboxFullError, match=r"\d+ records were read in before"):
        recover(aside, path, gateway_id=GATEWAY, max_bytes=used + 600_000)
    some = waiting(path)
    assert 0 < len(some) < len(held)
    assert read_in(aside, path).already_there == len(some)
    assert waiting(path) == held


def test_what_cannot_be_read_in_is_reported(path: Path, tmp_path: Path):
    aside, _ = put_aside_by_an_older_program(path)
    opened(path).open().close()
    with pytest.raises(OutboxError, match="is from gateway"):
        recover(aside, path, gateway_id="another", max_bytes=BYTES)
    for file, words in (
        (tmp_path / "missing", "there is no file"),
        (path, "is the outbox itself"),
        (aside.with_name(aside.name + "-wal"), "a part of another file"),
        (tmp_path, "there is no file"),
    ):
        with pytest.raises(OutboxError, match=words):
            read_in(file, path)
    noise = tmp_path / "outbox.db.corrupt-20260102T000000"
    noise.write_bytes(b"no outbox at all " * 500)
    with pytest.raises(OutboxCorruptError, match="nothing that can be read"):
        read_in(noise, path)
    aside.with_name(aside.name + ".salvage").touch()
    with pytest.raises(OutboxError, match="goes on with it by itself"):
        read_in(aside, path)
    assert waiting(path) != []


@pytest.mark.root
def test_a_folder_that_is_read_only_is_read_with_its_log(path: Path, tmp_path: Path):
    aside, held = put_aside_by_an_older_program(path)
    stick = tmp_path / "stick"
    stick.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", stick], check=True)
    try:
        for end in ("", "-wal"):
            shutil.move(aside.with_name(aside.name + end), stick)
        subprocess.run(["mount", "-o", "remount,ro", stick], check=True)
        assert read_in(stick / aside.name, path).blocks == len(held)
    finally:
        subprocess.run(["umount", stick], check=True)
    assert waiting(path) == held
    assert not list(tmp_path.glob("recover-*"))


def test_what_waited_for_a_clock_in_the_file_goes_on_waiting_for_it(path: Path):
    aside = path.with_name("outbox.db.corrupt-20260101T000000")
    epoch = Epoch("epoch-1", "boot-1", 0, began_us=START_US, not_before_us=0)
    with opened(path) as outbox:
        outbox.append([block_of(fresh_rows(1))])
        outbox.append([block_of(fresh_rows(5))], epoch=epoch)
    path.rename(aside)
    with opened(path) as outbox:
        recover(aside, path, gateway_id=GATEWAY, max_bytes=BYTES)
        assert outbox.held.records() == 5
        first = outbox.peek()
        assert first is not None
        assert (first.count, outbox.peek(after_id=first.id)) == (1, None)
        assert outbox.held.clock_records().epochs == (epoch,)
