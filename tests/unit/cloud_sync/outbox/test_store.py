"""What the outbox promises beyond its model: its bound, its errors, and that damage costs one block only."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_sync.errors import OutboxCorruptError, OutboxError, OutboxUnavailableError
from cloud_sync.outbox.retention_policy import LossCause
from cloud_sync.outbox.sqlite_file import SCHEMA_VERSION
from cloud_sync.outbox.store import NewBlock, Outbox, read_depth
from cloud_sync.records import RecordClass, Refusal, Row, Settlement
from tests.support.blocks import START_US, block_of, fresh_rows, series

NOW_NS = 1_760_000_000_000_000_000
ALL = Settlement(3, 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    with Outbox(path, max_bytes=1_000_000, now_ns=lambda: NOW_NS) as outbox:
        yield outbox


def alter(path: Path, statement: str, *arguments: object) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(statement, arguments)


def large_block() -> NewBlock:
    return replace(block_of(fresh_rows(3)), body=os.urandom(50_000))


def fill(outbox: Outbox, *, blocks: int) -> None:
    for _ in range(blocks):
        outbox.append([large_block()])


def test_constructor_touches_nothing(path: Path):
    Outbox(path, max_bytes=1_000_000)
    assert list(path.parent.iterdir()) == []


def test_every_commit_is_synced_and_free_pages_can_be_given_back(outbox: Outbox):
    names = ("journal_mode", "synchronous", "auto_vacuum")
    settings = outbox.read(lambda db: [db.execute(f"PRAGMA {name}").fetchone()[0] for name in names])
    assert settings == ["wal", 2, 2]


def test_blocks_of_one_append_are_all_there_or_none(outbox: Outbox):
    wrong = replace(block_of(fresh_rows(3)), first_time_us=None)  # type: ignore[arg-type]
    with pytest.raises(OutboxError, match="NOT NULL"):
        outbox.append([block_of(fresh_rows(3)), wrong])
    assert outbox.peek() is None
    outbox.append([block_of(fresh_rows(3))])
    assert outbox.depth().records == 3


def test_space_of_a_long_outage_goes_back_to_the_disk(path: Path):
    with Outbox(path, max_bytes=100_000_000) as outbox:
        fill(outbox, blocks=150)
        high = outbox.depth().file_bytes
        while (block := outbox.peek()) is not None:
            outbox.settle(block, Settlement(block.count, 0), now_us=START_US)
        assert high > 6_000_000
        assert outbox.depth().file_bytes < 5_000_000


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE body SET content = x'00112233' WHERE block_id = 2",
        "UPDATE body SET content = substr(content, 2) WHERE block_id = 2",
        "UPDATE block SET count = 7 WHERE id = 2",
        "UPDATE block SET class = 'party' WHERE id = 2",
        "UPDATE block SET crc32 = 1 WHERE id = 2",
        "DELETE FROM body WHERE block_id = 2",
    ],
)
def test_damaged_block_is_set_aside_and_the_rest_flows(path: Path, outbox: Outbox, damage: str):
    blocks = [block_of(fresh_rows(3)) for _ in range(3)]
    outbox.append(blocks)
    alter(path, damage)
    seen = []
    while (block := outbox.peek()) is not None:
        seen.append(block.batch_id)
        outbox.settle(block, ALL if block.count == 3 else Settlement(1, 0), now_us=START_US)
        last = block
    assert seen == [blocks[0].batch_id, blocks[2].batch_id, last.batch_id]
    (event,) = last.decode().events
    assert (event.body["cause"], "checksum" in event.body["detail"]) == ("damaged", True)
    (gap,) = outbox.gaps()
    assert (gap.cause, gap.start_us, gap.end_us) == (LossCause.DAMAGED, event.body["start_us"], event.body["end_us"])
    assert gap.count == event.body["count"]
    (letter,) = outbox.dead_letters()
    assert (letter.batch_id, letter.position, letter.code) == (blocks[1].batch_id, -1, "damaged_block")
    assert letter.refused_at_us == NOW_NS // 1000
    counters = outbox.counters()
    assert counters["damaged"] in (3, 7)
    assert counters["accepted"] == 7


def test_damaged_bytes_are_kept_as_they_are(path: Path, outbox: Outbox):
    outbox.append([block_of(fresh_rows(3))])
    alter(path, "UPDATE body SET content = x'00112233'")
    found = outbox.peek()
    assert found is not None
    assert found.record_class is RecordClass.EVENT
    assert outbox.dead_letters()[0].content == b"\x00\x11\x22\x33"


def test_refusal_of_an_unreadable_block_keeps_its_bytes(outbox: Outbox):
    outbox.append([block_of(fresh_rows(3))])
    block = outbox.peek()
    assert block is not None
    outbox.settle(block, Settlement(0, 0, (Refusal(-1, "unreadable_block", "why"),)), now_us=START_US)
    assert outbox.dead_letters()[0].content == block.body


def test_times_of_records_are_known_to_the_next_start(path: Path):
    with Outbox(path, max_bytes=1_000_000) as outbox:
        outbox.append([block_of(fresh_rows(3))])
        newest = outbox.depth().newest_time_us
    with Outbox(path, max_bytes=1_000_000) as outbox:
        assert outbox.counters()["last_append_us"] == newest


def test_a_clock_that_stood_in_the_future_does_not_move_the_newest_time_for_good(path: Path):
    is_right = False

    def at(time_us: int) -> NewBlock:
        return block_of([Row(series(), time_us, 1.0, 1.0)])

    with Outbox(path, max_bytes=1_000_000, now_ns=lambda: START_US * 1000, may_expire=lambda: is_right) as outbox:
        outbox.append([at(START_US + 10**15)])
        outbox.append([at(START_US - 10**9)])
        assert outbox.counters()["last_append_us"] == START_US + 10**15
        is_right = True
        outbox.append([at(START_US - 10**9)])
        assert outbox.counters()["last_append_us"] == START_US


def test_ids_are_not_used_again_after_everything_was_settled(path: Path):
    for _ in range(2):
        with Outbox(path, max_bytes=1_000_000) as outbox:
            outbox.append([block_of(fresh_rows(3))])
            block = outbox.peek()
            assert block is not None
            outbox.settle(block, ALL, now_us=START_US)
    assert block.id == 2


def test_depth_can_be_read_from_outside_while_the_outbox_works(path: Path, outbox: Outbox):
    outbox.append([block_of(fresh_rows(3))])
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        assert read_depth(db) == outbox.depth()


def test_closed_outbox_says_so(outbox: Outbox):
    outbox.close()
    with pytest.raises(OutboxError, match="not open"):
        outbox.peek()


def test_missing_folder_is_reported(tmp_path: Path):
    with pytest.raises(OutboxUnavailableError) as caught:
        Outbox(tmp_path / "nowhere" / "outbox.db", max_bytes=1_000_000).open()
    assert caught.value.reason == "cannot_open"
    assert "nowhere" in caught.value.message
    assert "folder exists" in str(caught.value.hint)


def test_folder_in_place_of_the_file_is_reported(path: Path):
    path.mkdir()
    with pytest.raises(OutboxUnavailableError) as caught:
        Outbox(path, max_bytes=1_000_000).open()
    assert caught.value.reason == "cannot_open"


def test_file_of_a_newer_program_is_refused_and_left_as_it_is(path: Path):
    with Outbox(path, max_bytes=1_000_000) as outbox:
        outbox.append([block_of(fresh_rows(3))])
    alter(path, "PRAGMA user_version = 99")
    with pytest.raises(OutboxCorruptError, match="schema 99, made by a newer program") as caught:
        Outbox(path, max_bytes=1_000_000).open()
    assert "newer agent" in str(caught.value.hint)
    alter(path, f"PRAGMA user_version = {SCHEMA_VERSION}")
    with Outbox(path, max_bytes=1_000_000) as outbox:
        assert outbox.depth().records == 3


def test_outbox_held_by_another_process_is_reported(path: Path, outbox: Outbox):
    outbox.read(lambda db: db.execute("PRAGMA busy_timeout = 20"))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OutboxUnavailableError) as caught:
            outbox.append([block_of(fresh_rows(3))])
    assert caught.value.reason == "busy"
    outbox.append([block_of(fresh_rows(3))])
