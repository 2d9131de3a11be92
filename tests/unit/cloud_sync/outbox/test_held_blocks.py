"""Blocks that wait for a clock, through all that may happen to an outbox meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cloud_sync.columns import RowColumns
from cloud_sync.outbox.clock_tables import Epoch
from cloud_sync.outbox.store import Outbox
from cloud_sync.records import RecordClass, Row, Settlement
from tests.support.blocks import block_of, rows, series
from tests.support.damage import smash_root_of

AHEAD_US = 7_200_000_000
EPOCH = Epoch("epoch-1", "boot-1", 5, began_us=rows(1)[0].time_us, not_before_us=0)
DECIDED = replace(EPOCH, by_us=-AHEAD_US)
DAY_US = 86_400_000_000


def opened(folder: Path, **more: object) -> Outbox:
    return Outbox(folder / "outbox.db", max_bytes=10_000_000, reserve_bytes=4_096, **more).open()  # type: ignore[arg-type]


def sent(outbox: Outbox) -> list[Row]:
    found: list[Row] = []
    while (block := outbox.peek()) is not None:
        found += block.decode().rows
        outbox.settle(block, Settlement(block.count, 0), now_us=1)
    return found


def earlier(some: list[Row]) -> list[Row]:
    return [replace(row, time_us=row.time_us - AHEAD_US) for row in some]


def test_what_waits_for_a_clock_is_passed_over_and_does_not_hold_up_others(tmp_path: Path):
    with opened(tmp_path) as outbox:
        outbox.append([block_of(rows(3))])
        outbox.append([block_of(rows(3, first=3))], epoch=EPOCH)
        outbox.append([block_of(rows(3, first=6))])
        assert sent(outbox) == rows(3) + rows(3, first=6)
        assert outbox.held.records() == 3
        assert outbox.depth().records == 3


def test_no_time_is_told_of_what_waits_while_one_of_them_is_not_known(tmp_path: Path):
    with opened(tmp_path) as outbox:
        outbox.append([block_of(rows(3))])
        assert outbox.depth().oldest_time_us == rows(3)[0].time_us
        outbox.append([block_of(rows(3, first=3))], epoch=EPOCH)
        assert (outbox.depth().records, outbox.depth().oldest_time_us, outbox.depth().newest_time_us) == (6, None, None)
        outbox.held.decide([DECIDED])
        while outbox.held.mend(8):
            pass
        assert outbox.depth().oldest_time_us == earlier(rows(6))[3].time_us


def test_mended_blocks_are_whole_carry_their_true_times_and_stay_single(tmp_path: Path):
    noted: list[RowColumns] = []
    with opened(tmp_path) as outbox:
        for n in range(5):
            outbox.append([block_of(rows(2, first=2 * n))], epoch=EPOCH)
        outbox.held.decide([DECIDED])
        assert outbox.held.mend(2, record_rows=noted.append)
    with opened(tmp_path) as outbox:  # cut short: the rest goes on where it was
        while outbox.held.mend(2, record_rows=noted.append):
            pass
        assert sent(outbox) == earlier(rows(10))
        assert outbox.counters()["damaged"] == 0
        assert outbox.counters()["last_append_us"] == earlier(rows(10))[-1].time_us
    assert [row for columns in noted for row in columns.rows()] == earlier(rows(10))


def test_what_is_decided_once_stays(tmp_path: Path):
    with opened(tmp_path) as outbox:
        outbox.append([block_of(rows(1))], epoch=EPOCH)
        outbox.held.decide([DECIDED])
        outbox.held.decide([replace(EPOCH, by_us=1)])
        while outbox.held.mend(8):
            pass
        assert sent(outbox) == earlier(rows(1))


def test_what_waits_for_a_clock_does_not_grow_too_old(tmp_path: Path):
    now_us = rows(1)[0].time_us + 60 * DAY_US
    with opened(tmp_path, max_age_us=7 * DAY_US, now_ns=lambda: now_us * 1000) as outbox:
        outbox.append([block_of(rows(3))], epoch=EPOCH)
        outbox.append([block_of([Row(series(), now_us, 1.0, 1.0)])])
        assert outbox.depth().records == 4


def test_thinning_joins_no_blocks_of_two_clocks(tmp_path: Path):
    path = tmp_path / "outbox.db"
    with Outbox(path, max_bytes=300_000, reserve_bytes=4_096) as outbox:
        for n in range(60):
            outbox.append([block_of(noise(n))], epoch=EPOCH if n % 2 else None)
        assert outbox.counters()["thinned"] > 0
        outbox.held.decide([DECIDED])
        while outbox.held.mend(8):
            pass
        found = {row.time_us for row in sent(outbox)}
    right = {row.time_us for n in range(60) for row in rows(1_000, first=1_000 * n) if n % 2 == 0}
    mended = {row.time_us for n in range(60) for row in earlier(rows(1_000, first=1_000 * n)) if n % 2}
    assert found <= right | mended


def noise(number: int, *, by_us: int = 0) -> list[Row]:
    """Readings that no compression makes small, of a time and on a clock of their own."""
    found = rows(1_000, first=1_000 * number)
    return [replace(row, time_us=row.time_us + by_us, value=hash((number, row.time_us)) / 7) for row in found]


def test_what_a_full_outbox_gives_up_meanwhile_is_reported_with_its_true_times(tmp_path: Path):
    """A box that was off the link for long is switched on again, and its clock stands ten years back."""
    back_us = 3_650 * DAY_US
    epoch = replace(EPOCH, began_us=EPOCH.began_us - back_us)
    clock_us = [epoch.began_us + DAY_US]
    with Outbox(
        tmp_path / "outbox.db", max_bytes=300_000, reserve_bytes=4_096, now_ns=lambda: clock_us[0] * 1000
    ) as outbox:
        for n in range(30):
            outbox.append([block_of(noise(n))])
        for n in range(30, 90):
            outbox.append([block_of(noise(n, by_us=-back_us))], epoch=epoch)
        outbox.held.decide([replace(epoch, by_us=back_us)])
        while outbox.held.mend(8):
            pass
        clock_us[0] += back_us
        for n in range(90, 120):
            outbox.append([block_of(noise(n))])
        evicted, thinned = outbox.counters()["evicted"], outbox.counters()["thinned"]
        assert evicted > 30_000  # more than the first 30 blocks: some of the clock that was back, too
        assert thinned > 30_000
        found = []
        while (block := outbox.peek()) is not None:
            found += block.decode().events
            outbox.settle(block, Settlement(block.count, 0), now_us=1)
        assert outbox.counters()["evicted"] == evicted
    first_us, last_us = noise(0)[0].time_us, noise(119)[-1].time_us
    assert all(first_us <= event.body["start_us"] <= event.body["end_us"] <= last_us for event in found)
    assert all(first_us <= event.time_us <= clock_us[0] for event in found)
    assert sum(event.body["count"] for event in found) == evicted + thinned


def test_a_salvage_takes_over_what_waits_for_a_clock(tmp_path: Path):
    with opened(tmp_path) as outbox:
        for n in range(40):
            outbox.append([block_of(rows(20, first=20 * n))], epoch=EPOCH)
    smash_root_of(tmp_path / "outbox.db", "counter")
    with opened(tmp_path) as outbox:
        assert outbox.peek(record_class=RecordClass.READING) is None, "its time is not known"
        outbox.held.decide([DECIDED])
        while outbox.held.mend(8):
            pass
        assert sent(outbox) == earlier(rows(800))
