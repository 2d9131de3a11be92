"""A damaged outbox is put aside, what is whole in it is saved, the loss is said, and the agent goes on."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.digest import HOUR_US, HourDigest, HourKey, hour_of
from cloud_sync.errors import OutboxTooNewError
from cloud_sync.outbox.ack_ledger import acknowledged, known_since_us
from cloud_sync.outbox.gap_log import record_gap
from cloud_sync.outbox.quarantine import quarantined
from cloud_sync.outbox.retention_policy import Loss, LossCause
from cloud_sync.outbox.sqlite_file import PAGE_BYTES, SCHEMA_VERSION, in_transaction
from cloud_sync.outbox.store import Outbox
from cloud_sync.records import Event, Refusal, Row, Settlement
from tests.support.blocks import GATEWAY, START_US, block_of, fresh_rows, series
from tests.support.damage import smash_page, smash_root_of
from tests.support.digests import digest_keys

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
        outbox.read(lambda db: db.executescript("PRAGMA cache_size = 0; PRAGMA shrink_memory"))
        outbox.append([block_of(fresh_rows(3))])
        found, (event,) = drained(outbox)
    assert [len(some) for some in found] == [3]
    assert event.body["count"] == sum(map(len, held)), "the headers know how many were lost"
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


# ---- the ledger of what was acknowledged, and of gaps


LEDGER_START_US = hour_of(NOW_NS // 1000) - 40 * HOUR_US


def with_ledger(path: Path, *, hours: int = 40, sensors: int = 60) -> dict[HourKey, HourDigest]:
    """A ledger over many pages: one row of each sensor and hour was acknowledged."""
    times = [LEDGER_START_US + n * HOUR_US for n in range(hours)]
    with opened(path) as outbox:
        for time_us in times:
            outbox.append([block_of([Row(series(f"sensor-{n:03}"), time_us + n, 1.0, 1.0) for n in range(sensors)])])
            block = outbox.peek()
            assert block is not None
            outbox.settle(block, Settlement(sensors, 0), now_us=time_us)
    return digest_keys((f"sensor-{n:03}", time_us + n) for time_us in times for n in range(sensors))


def ledger_of(outbox: Outbox) -> tuple[int | None, dict[HourKey, HourDigest]]:
    return outbox.read(lambda db: (known_since_us(db), acknowledged(db, 0, 1 << 62)))


def damage_the_letters(path: Path) -> None:
    """So that the file counts as damaged when it is opened."""
    smash_root_of(path, "dead_letter")


def pages_of(path: Path, table: str) -> list[int]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path", (table,))
        return [number for (number,) in found]


def test_a_ledger_that_can_be_read_is_taken_over_whole(path: Path):
    before = with_ledger(path)
    with opened(path) as outbox:
        since_us, _ = ledger_of(outbox)
    damage_the_letters(path)
    with opened(path) as outbox:
        assert len(quarantined(path)) == 1
        assert ledger_of(outbox) == (since_us, before)
        assert outbox.counters().get("ledger_lost", 0) == 0


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_hole_in_the_ledger_lets_it_begin_behind_the_hole(path: Path, share: float, caplog):
    before = with_ledger(path)
    pages = pages_of(path, "digest_hour")
    smash_page(path, pages[int(share * len(pages))])
    damage_the_letters(path)
    with opened(path) as outbox:
        since_us, after = ledger_of(outbox)
        assert since_us is not None
        assert LEDGER_START_US < since_us < NOW_NS // 1000
        assert after == {place: one for place, one in before.items() if place[1] >= since_us}
        assert outbox.counters()["ledger_lost"] > 0
    assert "begins later" in caplog.text


def test_a_row_of_the_ledger_that_cannot_be_true_is_a_hole_as_well(path: Path):
    before = with_ledger(path, hours=10)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE digest_hour SET count = -1 WHERE hour_us = ?", (LEDGER_START_US + 5 * HOUR_US,))
    damage_the_letters(path)
    with opened(path) as outbox:
        since_us, after = ledger_of(outbox)
        assert since_us == LEDGER_START_US + 7 * HOUR_US  # the one next to the hole is not certain either
        assert after == {place: one for place, one in before.items() if place[1] >= since_us}
        assert outbox.counters()["ledger_lost"] == 7 * 60


def test_a_ledger_of_which_nothing_can_be_read_begins_again(path: Path):
    with_ledger(path, hours=3)
    smash_root_of(path, "digest_hour")
    damage_the_letters(path)
    with opened(path) as outbox:
        assert ledger_of(outbox) == (None, {})
        outbox.append([block_of(fresh_rows(1))])
        while (block := outbox.peek()) is not None:
            outbox.settle(block, Settlement(block.count, 0), now_us=NOW_NS // 1000)
        assert ledger_of(outbox)[0] == NOW_NS // 1000


def test_known_gaps_are_taken_over_and_the_damage_is_one_more(path: Path):
    filled(path)
    with opened(path) as outbox:
        loss = Loss(1, 2, 7)
        outbox._do(
            lambda db: in_transaction(db, lambda db: record_gap(db, LossCause.EVICTED, loss, now_us=3, detail="d"))
        )
    smash(path, 0.4, 0.5)
    with opened(path) as outbox:
        gaps = outbox.gaps()
    assert [gap.cause for gap in gaps] == [LossCause.EVICTED, LossCause.DAMAGED]
    assert gaps[0].count == 7
    assert gaps[1].count is None or gaps[1].count > 0


# ---- a salvage that was cut short


def half_salvaged(path: Path, *, most_bytes: int) -> list[str]:
    """A backlog that is put aside and does not fit: some of it came over, the rest waits. Returns what waited."""
    with opened(path) as outbox:
        outbox.append([block_of(noise(200)) for _ in range(BLOCKS)])
        names = waiting_in(outbox)
    damage_the_letters(path)
    with bounded(path, most_bytes) as outbox:
        assert outbox.salvage_waits_for is not None
        assert 0 < outbox.depth().blocks < BLOCKS
    return names


def bounded(path: Path, most_bytes: int) -> Outbox:
    return Outbox(path, max_bytes=most_bytes, gateway_id=GATEWAY, now_ns=lambda: NOW_NS, reserve_bytes=4_096)


def noise(count: int) -> list[Row]:
    return [replace(row, value=random.random()) for row in fresh_rows(count)]


def waiting_in(outbox: Outbox) -> list[str]:
    names, last = [], 0
    while (block := outbox.peek(after_id=last)) is not None:
        names += [block.batch_id] if block.record_class.value == "reading" else []
        last = block.id
    return names


def test_what_finds_no_space_comes_over_while_the_rest_is_delivered(path: Path):
    names = half_salvaged(path, most_bytes=60_000)
    with bounded(path, 60_000) as outbox:
        delivered = []
        while (block := outbox.peek()) is not None:
            delivered.append(block.batch_id)
            outbox.settle(block, Settlement(block.count, 0), now_us=START_US)
        assert delivered == names
        assert outbox.salvage_waits_for is None
        assert outbox.gaps() == []
        assert outbox.counters()["accepted"] == outbox.counters()["appended"] == 200 * BLOCKS


def test_new_records_stand_behind_what_is_still_put_aside(path: Path):
    names = half_salvaged(path, most_bytes=60_000)
    new = block_of(fresh_rows(3))
    with opened(path) as outbox:
        assert waiting_in(outbox) == names
    with bounded(path, 1_000_000) as outbox:
        outbox.append([new])
        assert waiting_in(outbox) == [*names, new.batch_id]


def test_a_file_that_is_not_wholly_read_in_is_not_removed_for_space(path: Path):
    names = half_salvaged(path, most_bytes=60_000)
    (pending,) = quarantined(path)
    for number in range(8):
        path.with_name(f"{path.name}.corrupt-9{number}").write_bytes(b"old")
    bounded(path, 60_000).open().close()
    assert pending.exists()
    with opened(path) as outbox:
        assert waiting_in(outbox) == names


def test_a_file_that_somebody_removed_half_read_is_a_gap_with_the_exact_count(path: Path):
    half_salvaged(path, most_bytes=60_000)
    (aside,) = quarantined(path)
    aside.unlink()
    with opened(path) as outbox:
        missing = BLOCKS - len(waiting_in(outbox))
        assert 0 < missing < BLOCKS
        assert [gap.count for gap in outbox.gaps()] == [200 * missing]
        assert outbox.salvage_waits_for is None
    with opened(path) as outbox:
        assert len(outbox.gaps()) == 1


@pytest.mark.parametrize("page", ["dead_letter", "own_gap"])
def test_the_half_filled_file_is_damaged_as_well(path: Path, page: str):
    """Its own notes say how far the first salvage came: nothing of that comes twice."""
    names = half_salvaged(path, most_bytes=60_000)
    with bounded(path, 60_000) as outbox:
        for _ in range(5):
            block = outbox.peek()
            assert block is not None
            outbox.settle(block, Settlement(block.count, 0), now_us=START_US)
    smash_root_of(path, page)
    with opened(path) as outbox:
        assert waiting_in(outbox) == names[5:]
        assert outbox.gaps() == []
        counters = outbox.counters()
    assert counters["appended"] - counters["accepted"] == 200 * (BLOCKS - 5)
    assert len(quarantined(path)) == 2


def test_blocks_lost_of_both_files_are_reported_with_the_exact_count(path: Path):
    half_salvaged(path, most_bytes=60_000)
    first = quarantined(path)[0]
    smash_page(first, pages_of(first, "body")[-3])
    smash_page(path, pages_of(path, "body")[3])
    with opened(path) as outbox:
        found = len(waiting_in(outbox))
        counts = [gap.count for gap in outbox.gaps()]
    assert 0 < found < BLOCKS
    assert sum(count or 0 for count in counts) == 200 * (BLOCKS - found - buried(path))


def buried(path: Path) -> int:
    with opened(path) as outbox:
        return sum(letter.code == "damaged_block" for letter in outbox.dead_letters())


def test_a_log_that_went_ahead_of_its_file_is_found_by_the_next_start(path: Path):
    """A kill between the two: opened without its log the file would be some commits old, and look well."""
    held = block_of(fresh_rows(10))
    with opened(path) as outbox:
        outbox.append([held])
        copy = path.parent / "copy"
        copy.mkdir()
        for end in ("", "-wal"):
            (copy / (path.name + end)).write_bytes(path.with_name(path.name + end).read_bytes())
    for file in path.parent.glob("outbox.db*"):
        file.unlink()
    aside = path.with_name(f"{path.name}.corrupt-20250101T000000")
    aside.with_name(aside.name + ".salvage").touch()
    (copy / f"{path.name}-wal").rename(aside.with_name(aside.name + "-wal"))
    (copy / path.name).rename(path)
    with opened(path) as outbox:
        assert waiting_in(outbox) == [held.batch_id]
    assert quarantined(path) == [aside]


def test_a_marker_behind_which_nothing_was_moved_costs_nothing(path: Path):
    held = filled(path)
    path.with_name(f"{path.name}.corrupt-20250101T000000.salvage").touch()
    with opened(path) as outbox:
        assert len(waiting_in(outbox)) == len(held)
    assert quarantined(path) == []
    assert not list(path.parent.glob("*.salvage"))


def test_a_clock_that_was_set_back_does_not_turn_the_order_of_two_files(path: Path):
    for day in (0, -1):
        path.write_bytes(b"not a database at all, " * 400)
        now_ns = NOW_NS + day * 86_400 * 10**9
        Outbox(path, max_bytes=100_000_000, gateway_id=GATEWAY, now_ns=lambda at=now_ns: at).open().close()  # type: ignore[misc]
    first, second = quarantined(path)
    assert (first.name, second.name) == ("outbox.db.corrupt-20251009T085320", "outbox.db.corrupt-20251009T085320.1")
