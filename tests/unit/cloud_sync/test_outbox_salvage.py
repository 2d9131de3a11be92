"""A damaged outbox is put aside, what is whole in it is saved, the loss is said, and the agent goes on."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.errors import OutboxTooNewError
from cloud_sync.outbox import Outbox
from cloud_sync.outbox_file import PAGE_BYTES, SCHEMA_VERSION
from cloud_sync.outbox_salvage import quarantined
from cloud_sync.records import Event, Refusal, Row, Settlement
from tests.support.blocks import GATEWAY, START_US, block_of, fresh_rows

NOW_NS = 1_760_000_000_000_000_000
BLOCKS = 60
ROWS = 1_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def opened(path: Path) -> Outbox:
    return Outbox(path, max_bytes=100_000_000, gateway_id=GATEWAY, now_ns=lambda: NOW_NS)


def filled(path: Path) -> list[list[Row]]:
    """Blocks that fill pages of their own, and one dead letter."""
    values = random.Random(1)
    held = [[replace(row, value=values.random()) for row in fresh_rows(ROWS)] for _ in range(BLOCKS)]
    with opened(path) as outbox:
        outbox.append([block_of(some) for some in held])
        block = outbox.peek()
        assert block is not None
        outbox.settle(block, Settlement(ROWS - 1, 0, (Refusal(3, "conflict", "why"),)), now_us=START_US)
    return held[1:]


def drained(outbox: Outbox) -> tuple[list[list[Row]], list[Event]]:
    found: list[list[Row]] = []
    events: list[Event] = []
    while (block := outbox.peek()) is not None:
        batch = block.decode()
        events += batch.events
        found += [list(batch.rows)] if batch.rows else []
        outbox.settle(block, Settlement(block.count, 0), now_us=START_US)
    return found, events


def smash(path: Path, first: float, last: float) -> None:
    """Overwrite a part of the file, given as shares of its length."""
    content = bytearray(path.read_bytes())
    start, end = (
        int(first * len(content)) // PAGE_BYTES * PAGE_BYTES,
        int(last * len(content)) // PAGE_BYTES * PAGE_BYTES,
    )
    content[start:end] = b"\xa5" * (end - start)
    path.write_bytes(content)


def smash_root_of(path: Path, table: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()[0]
    with path.open("r+b") as file:
        file.seek((root - 1) * PAGE_BYTES)
        file.write(b"\xa5" * PAGE_BYTES)


def test_file_that_is_no_database_is_put_aside_as_it_is(path: Path):
    path.write_bytes(b"not a database at all, " * 400)
    before = path.read_bytes()
    with opened(path) as outbox:
        outbox.append([block_of(fresh_rows(3))])
        found, events = drained(outbox)
    assert [len(some) for some in found] == [3]
    assert [(event.subject, event.body["cause"]) for event in events] == [(GATEWAY, "damaged")]
    assert "count" not in events[0].body, "nobody knows how many"
    (aside,) = quarantined(path)
    assert aside.read_bytes() == before
    assert aside.name == "outbox.db.corrupt-20251009T085320"


@pytest.mark.parametrize("part", [(0.5, 0.6), (0.6, 0.65), (0.9, 1.0)])
def test_whole_blocks_of_a_smashed_file_are_saved_in_order(path: Path, part: tuple[float, float]):
    held = filled(path)
    smash(path, *part)
    with opened(path) as outbox:
        found, events = drained(outbox)
        outbox.append([block_of(fresh_rows(3))])
        lost = sum(letter.code == "damaged_block" for letter in outbox.dead_letters())
    assert [some for some in held if some in found] == found
    # An inner page of the tree that is gone takes the blocks below it along: a handful beyond the smashed part.
    assert len(held) * (1 - 2 * (part[1] - part[0])) - 5 <= len(found) < len(held)
    said = sum(event.body["count"] for event in events)
    assert said == ROWS * (len(held) - len(found) - lost)
    assert bool(events) == bool(quarantined(path))


def test_damage_that_shows_only_while_running_is_salvaged_too(path: Path):
    held = filled(path)
    with opened(path) as outbox:
        smash_root_of(path, "body")
        with outbox._reading() as db:
            db.execute("PRAGMA cache_size = 0")
            db.execute("PRAGMA shrink_memory")
        outbox.append([block_of(fresh_rows(3))])
        found, (event,) = drained(outbox)
    assert [len(some) for some in found] == [3]
    assert event.body["count"] == sum(map(len, held)), "the headers tell how many were lost"
    assert len(quarantined(path)) == 1


def test_dead_letters_and_totals_come_over(path: Path):
    filled(path)
    smash_root_of(path, "body")
    with opened(path) as outbox:
        assert outbox.peek() is not None
        letters, counters = outbox.dead_letters(), outbox.counters()
    assert [(letter.position, letter.code) for letter in letters] == [(3, "conflict")]
    assert counters["accepted"] == ROWS - 1
    assert counters["damaged"] == ROWS * (BLOCKS - 1)


def test_second_damage_in_the_same_second_gets_a_name_of_its_own(path: Path):
    for _ in range(2):
        path.write_bytes(b"not a database at all, " * 400)
        opened(path).open().close()
    assert len(quarantined(path)) == 2


def test_file_of_a_newer_program_is_not_put_aside(path: Path):
    filled(path)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(OutboxTooNewError):
        opened(path).open()
    assert quarantined(path) == []
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    with opened(path) as outbox:
        assert outbox.depth().blocks == BLOCKS - 1


def test_ids_go_on_behind_what_was_saved(path: Path):
    held = filled(path)
    smash(path, 0.5, 0.6)
    with opened(path) as outbox:
        found, _ = drained(outbox)
        outbox.append([block_of(fresh_rows(3))])
        block = outbox.peek()
    assert block is not None
    assert block.id > BLOCKS
    assert len(found) < len(held)
    assert wire.decode(block.body) == block.decode()
