"""The outbox's file taken away while it is open: what was appended before and what comes after is there at a start."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.errors import OutboxUnavailableError
from cloud_sync.outbox.quarantine import quarantined
from cloud_sync.outbox.rewrite import OpenFile, put_in_place, write_again
from cloud_sync.outbox.store import NewBlock, Outbox
from cloud_sync.records import Event, EventKind, Settlement
from tests.support.blocks import GATEWAY, START_US, block_of, fresh_rows
from tests.support.places import REPOSITORY


def opened(folder: Path) -> Outbox:
    return Outbox(folder / "outbox.db", max_bytes=10_000_000, gateway_id=GATEWAY).open()


def append_some(outbox: Outbox, number: int = 5) -> list[str]:
    blocks = [block_of(fresh_rows(20)) for _ in range(number)]
    for block in blocks:
        outbox.append([block])
    return [block.batch_id for block in blocks]


def waiting(outbox: Outbox) -> tuple[list[str], list[Event]]:
    """The batch ids of readings, and the events."""
    ids, events, last = [], [], 0
    while (block := outbox.peek(after_id=last)) is not None:
        batch = wire.decode(block.body)
        events += batch.events
        if batch.rows:
            ids.append(block.batch_id)
        last = block.id
    return ids, events


def waiting_at_a_start(folder: Path) -> list[str]:
    with opened(folder) as outbox:
        return waiting(outbox)[0]


def unlink_all(path: Path) -> None:
    for file in path.parent.glob("outbox.db*"):
        file.unlink()


def unlink_main(path: Path) -> None:
    path.unlink()


def replace_by_text(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"not an outbox")
    other.replace(path)


def replace_by_an_outbox(path: Path) -> None:
    folder = path.parent / "elsewhere"
    folder.mkdir()
    with opened(folder) as other:
        append_some(other, 2)
    (folder / "outbox.db").replace(path)


def remove_the_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def move_the_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


WAYS = [unlink_all, unlink_main, replace_by_text, replace_by_an_outbox, remove_the_folder, move_the_folder]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o750)
    return folder


@pytest.mark.parametrize("take_away", WAYS)
def test_next_append_writes_the_file_again_with_everything_in_it(folder: Path, take_away):
    outbox = opened(folder)
    before = append_some(outbox)
    take_away(outbox.path)
    after = append_some(outbox)
    assert outbox.path.stat().st_ino
    (event,) = waiting(outbox)[1]
    assert event.kind is EventKind.ANNOTATION
    assert "nothing is lost" in event.body["text"]
    assert outbox.counters()["rescued"] == 1
    assert outbox.has_reserve
    outbox.close()
    assert waiting_at_a_start(folder) == before + after


@pytest.mark.parametrize("take_away", WAYS)
def test_file_taken_away_after_the_last_append_is_written_again_at_the_stop(folder: Path, take_away):
    outbox = opened(folder)
    before = append_some(outbox)
    take_away(outbox.path)
    outbox.close()
    assert waiting_at_a_start(folder) == before


def test_file_that_is_taken_away_again_and_again_loses_nothing(folder: Path):
    outbox = opened(folder)
    held = append_some(outbox)
    for _ in range(4):
        unlink_all(outbox.path)
        held += append_some(outbox)
    assert outbox.counters()["rescued"] == 4
    outbox.close()
    assert waiting_at_a_start(folder) == held


@pytest.mark.parametrize("replace", [replace_by_text, replace_by_an_outbox])
def test_file_that_took_the_place_is_put_aside_as_it_was(folder: Path, replace):
    outbox = opened(folder)
    append_some(outbox)
    replace(outbox.path)
    content = outbox.path.read_bytes()
    append_some(outbox)
    outbox.close()
    (aside,) = quarantined(outbox.path)
    assert ".replaced-" in aside.name
    assert aside.read_bytes() == content


def test_log_of_an_unexpected_file_goes_with_it(folder: Path, tmp_path: Path):
    outbox = opened(folder)
    before = append_some(outbox)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = opened(elsewhere)
    others = append_some(other, 3)  # still in its log
    unlink_all(outbox.path)
    for end in ("", "-wal"):
        shutil.copy(elsewhere / f"outbox.db{end}", folder / f"outbox.db{end}")
    other.close()
    before += append_some(outbox)
    outbox.close()
    (aside,) = quarantined(outbox.path)
    found = tmp_path / "found"
    found.mkdir()
    for end in ("", "-wal"):
        shutil.copy(aside.with_name(aside.name + end), found / f"outbox.db{end}")
    assert waiting_at_a_start(found) == others
    assert waiting_at_a_start(folder) == before


def test_what_was_settled_before_the_rescue_does_not_come_back(folder: Path):
    outbox = opened(folder)
    held = append_some(outbox)
    unlink_all(outbox.path)
    block = outbox.peek()
    assert block is not None
    outbox.settle(block, Settlement(block.count, 0), now_us=START_US)
    append_some(outbox, 1)
    ids, _ = waiting(outbox)
    assert ids[:4] == held[1:]
    assert outbox.counters()["accepted"] == block.count
    outbox.close()


def test_rescued_file_keeps_its_settings_and_who_may_read_it(folder: Path):
    outbox = opened(folder)
    outbox.close()
    outbox.path.chmod(0o640)
    outbox.open()
    append_some(outbox)
    remove_the_folder(outbox.path)
    append_some(outbox)
    assert outbox.path.stat().st_mode & 0o777 == 0o640
    assert folder.stat().st_mode & 0o777 == 0o750
    outbox.close()
    with sqlite3.connect(outbox.path) as db:
        found = [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "auto_vacuum", "journal_mode")]
    db.close()
    assert found == [1024, 2, "wal"]


def test_file_that_cannot_be_written_again_is_said_and_nothing_pretends_to_be_safe(folder: Path):
    outbox = opened(folder)
    before = append_some(outbox)
    remove_the_folder(outbox.path)
    folder.write_bytes(b"")  # a file, where the folder has to be
    appended = outbox.counters()["appended"]
    block = block_of(fresh_rows(20))
    for _ in range(2):
        with pytest.raises(OutboxUnavailableError) as caught:
            outbox.append([block])
        assert caught.value.reason == "moved"
        assert "do not stop the agent" in str(caught.value.hint)
    assert outbox.counters()["appended"] == appended
    folder.unlink()
    outbox.append([block])
    outbox.close()
    assert waiting_at_a_start(folder) == [*before, block.batch_id]


CHILD = """
import os, signal, sys
from pathlib import Path
from cloud_sync.outbox.store import Outbox
from tests.support.blocks import block_of, fresh_rows

outbox = Outbox(Path(sys.argv[1]), max_bytes=10_000_000).open()
for number in range(6):
    if number == 3:
        [file.unlink() for file in outbox.path.parent.glob("outbox.db*")]
    block = block_of(fresh_rows(20))
    outbox.append([block])
    print(block.batch_id, flush=True)
    if number == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("number", [3, 5])
def test_kill_after_the_rescue_loses_nothing(folder: Path, number: int):
    command = [sys.executable, "-c", CHILD, str(folder / "outbox.db"), str(number)]
    child = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert child.returncode == -signal.SIGKILL, child.stderr
    acknowledged = child.stdout.split()
    assert len(acknowledged) == number + 1
    assert waiting_at_a_start(folder) == acknowledged


def test_start_after_a_kill_before_the_last_rename_finds_the_whole_copy(folder: Path):
    outbox = opened(folder)
    before = append_some(outbox)

    def killed_before_the_last_step(db: sqlite3.Connection) -> None:
        file = OpenFile.at(outbox.path)
        unlink_all(outbox.path)
        write_again(db, file, now_ns=START_US * 1000)
        outbox.path.rename(folder / "outbox.db.rescue")

    outbox.read(killed_before_the_last_step)
    assert put_in_place(folder / "nothing.db", now_ns=0) is None
    with opened(folder) as again:
        assert waiting(again)[0] == before
    outbox.close()


def test_unfinished_copy_is_not_taken_for_the_outbox(folder: Path):
    outbox = opened(folder)
    before = append_some(outbox)
    (folder / "outbox.db.rescue-part").write_bytes(os.urandom(5_000))
    outbox.close()
    assert waiting_at_a_start(folder) == before
    assert not (folder / "outbox.db.rescue-part").exists()
    outbox.open()
    (folder / "outbox.db.rescue-part").write_bytes(os.urandom(5_000))
    unlink_main(outbox.path)
    block: NewBlock = block_of(fresh_rows(1))
    outbox.append([block])
    outbox.close()
    assert waiting_at_a_start(folder) == [*before, block.batch_id]
    assert not (folder / "outbox.db.rescue-part").exists()


def test_copy_that_could_not_get_its_name_is_not_left_for_a_later_start(folder: Path):
    outbox = opened(folder)
    before = append_some(outbox)
    unlink_all(outbox.path)
    (folder / "outbox.db-wal").mkdir()  # cannot be unlinked
    with pytest.raises(OutboxUnavailableError, match="cannot be written again"):
        outbox.append([block_of(fresh_rows(1))])
    assert [file.name for file in folder.iterdir()] == ["outbox.db-wal"]
    (folder / "outbox.db-wal").rmdir()
    outbox.close()
    assert waiting_at_a_start(folder) == before
