"""Rows as columns in the database: nothing depends on how many were new, nor on what was true a batch ago."""

from __future__ import annotations

import asyncio
import math
import threading
from dataclasses import replace
from typing import Any

import pytest

from cloud_sync import wire
from cloud_sync.central.database.store import Store
from cloud_sync.records import DIFFERS, Batch, Row, Series
from cloud_sync.row_rules import ColumnJudgement, judge_columns
from tests.contract.check_transport import NOW_US, event, rms, rows
from tests.support.central import Database

CONTENTS = """
    SELECT sensor_id, (extract(epoch FROM timestamp) * 1000000)::bigint AS time_us, value, sensor_type, unit, quality,
           sensor_metadata::text AS metadata
    FROM sensor_readings ORDER BY sensor_id, timestamp"""


async def stored(database: Database) -> list[tuple[object, ...]]:
    return [tuple(record) for record in await database.fetch(CONTENTS)]


@pytest.mark.parametrize("encode", [wire.encode, wire.encode_json])
async def test_what_was_sent_is_what_stands_there(database: Database, store: Store, encode):
    known = [
        Series("a", "audio", "dB"),
        Series("ä.b", "pump", "", {"deep": {"n": [1, None]}}),
        Series("c", "general", "g"),
    ]
    times = [946_684_800_000_000, NOW_US + 1, NOW_US + 999_999, NOW_US + 86_399_999_999]
    values = [0.1 + 0.2, -0.0, 5e-324, 1.7976931348623157e308]
    offered = tuple(
        Row(series, time_us, value, 1 / 3) for time_us, value in zip(times, values, strict=True) for series in known
    )
    batch = wire.decode_columns(encode(Batch("gw-1", offered)))
    assert (await store.store_batch(batch, gateway_id="gw-1")).accepted == len(offered)
    texts = {"a": None, "ä.b": '{"deep": {"n": [1, null]}}', "c": None}
    assert sorted(await stored(database)) == sorted(
        (r.series.sensor_id, r.time_us, r.value, r.series.sensor_type, r.series.unit, r.quality,
         texts[r.series.sensor_id])
        for r in offered
    )  # fmt: skip
    signs = {math.copysign(1.0, row[2]) for row in await stored(database) if row[2] == 0}
    assert signs == {-1.0}


async def test_a_large_batch_is_judged_beside_the_loop(store: Store, monkeypatch: pytest.MonkeyPatch):
    judged_in: list[int] = []

    def judge(*arguments: Any, **options: Any) -> ColumnJudgement:
        judged_in.append(threading.get_ident())
        return judge_columns(*arguments, **options)

    monkeypatch.setattr("cloud_sync.central.database.store.judge_columns", judge)
    settlement = await store.store_batch(Batch("gw-1", rows(3_000)), gateway_id="gw-1")
    assert settlement.accepted == 3_000
    assert threading.get_ident() not in judged_in, "what keeps the loop keeps every other gateway"


async def test_every_microsecond_comes_back_as_it_was(database: Database, store: Store):
    times = [946_684_800_000_000 + n * 7_919_000_000_003 for n in range(100)]
    await store.store_batch(Batch("gw-1", tuple(Row(rms(), time_us, 1.0, 1.0) for time_us in times)), gateway_id="gw-1")
    assert [row[1] for row in await stored(database)] == times


async def test_a_sensor_whose_unit_changes_within_a_batch_keeps_both(database: Database, store: Store):
    before, after = rms(), replace(rms(), unit="m/s2", metadata={})
    offered = tuple(Row((before, after)[n % 2], NOW_US + n, float(n), 1.0) for n in range(6))
    settlement = await store.store_batch(Batch("gw-1", offered[::-1]), gateway_id="gw-1")
    assert (settlement.accepted, settlement.duplicates) == (6, 0)
    assert [(row[2], row[4], row[6]) for row in await stored(database)] == [
        (float(n), ("g", "m/s2")[n % 2], ('{"asset": "pump-07"}', None)[n % 2]) for n in range(6)
    ]
    (sensor,) = await database.fetch("SELECT unit FROM sensors")
    assert sensor["unit"] == "g"


@pytest.mark.parametrize("known", [[0], [499], [999], list(range(0, 1_000, 7))])
async def test_repeats_anywhere_among_new_rows_are_counted_and_cost_none(
    database: Database, store: Store, known: list[int]
):
    offered = (*rows(500), *rows(500, rms("pump-08.rms")))
    await store.store_batch(Batch("gw-1", tuple(offered[n] for n in known)), gateway_id="gw-1")
    settlement = await store.store_batch(Batch("gw-1", offered), gateway_id="gw-1")
    assert (settlement.accepted, settlement.duplicates) == (1_000 - len(known), len(known))
    assert await database.count("sensor_readings") == 1_000
    assert (await store.stats())["rows"] == 1_000


async def test_a_repeat_and_a_row_the_database_refuses_cost_no_neighbour(database: Database, store: Store):
    await database.fetch("ALTER TABLE sensor_readings ADD CONSTRAINT plausible CHECK (value < 1000)")
    offered = list(rows(40))
    await store.store_batch(Batch("gw-1", (offered[3],)), gateway_id="gw-1")
    offered[20] = replace(offered[20], value=5_000.0)
    settlement = await store.store_batch(Batch("gw-1", (*offered, offered[5]), (event("a"),)), gateway_id="gw-1")
    assert (settlement.accepted, settlement.duplicates) == (38 + 1, 2)
    assert [(refusal.index, refusal.code) for refusal in settlement.refused] == [(20, "database_refused")]


async def test_a_repeat_leaves_what_is_stored_as_it_was(database: Database, store: Store):
    (first,) = rows(1)
    await store.store_batch(Batch("gw-1", (first,)), gateway_id="gw-1")
    renamed = replace(first, series=replace(first.series, unit="other"))
    assert (await store.store_batch(Batch("gw-1", (renamed,)), gateway_id="gw-1")).duplicates == 1
    changed = await store.store_batch(Batch("gw-1", (replace(renamed, value=7.0),)), gateway_id="gw-1")
    assert [refusal.code for refusal in changed.refused] == [DIFFERS]
    (row,) = await stored(database)
    assert (row[2], row[4]) == (0.0, "g")


async def test_a_sensor_that_was_given_to_another_gateway_is_refused_from_the_next_batch_on(
    database: Database, store: Store
):
    await store.store_batch(Batch("gw-1", rows(1)), gateway_id="gw-1")
    await database.fetch("UPDATE sensors SET gateway_id = 'gw-2'")
    settlement = await store.store_batch(Batch("gw-1", rows(2)), gateway_id="gw-1")
    assert [refusal.code for refusal in settlement.refused] == ["sensor_of_other_gateway"] * 2


async def test_a_sensor_that_was_deleted_is_registered_again_by_the_next_batch(database: Database, store: Store):
    await store.store_batch(Batch("gw-1", rows(1)), gateway_id="gw-1")
    await database.fetch("DELETE FROM sensors")
    settlement = await store.store_batch(Batch("gw-1", rows(2)), gateway_id="gw-1")
    assert (settlement.accepted, settlement.duplicates) == (1, 1)
    assert await database.count("sensors") == 1


async def test_known_new_and_foreign_sensors_of_one_batch_each_get_their_verdict(database: Database, store: Store):
    await store.store_batch(Batch("gw-1", rows(1, rms("mine"))), gateway_id="gw-1")
    await store.store_batch(Batch("gw-2", rows(1, rms("theirs"))), gateway_id="gw-2")
    offered = [*rows(2, rms("theirs")), *rows(2, rms("new")), *rows(2, rms("mine"))]
    settlement = await store.store_batch(Batch("gw-1", tuple(offered)), gateway_id="gw-1")
    assert (settlement.accepted, settlement.duplicates) == (3, 1)
    assert [(refusal.index, refusal.code) for refusal in settlement.refused] == [
        (0, "sensor_of_other_gateway"),
        (1, "sensor_of_other_gateway"),
    ]
    owners = await database.fetch("SELECT sensor_id, gateway_id FROM sensors ORDER BY sensor_id")
    assert [tuple(owner) for owner in owners] == [("mine", "gw-1"), ("new", "gw-1"), ("theirs", "gw-2")]


async def test_two_gateways_that_name_one_new_sensor_at_once_get_one_owner(database: Database, store: Store):
    sends = [store.store_batch(Batch(f"gw-{n}", rows(50)), gateway_id=f"gw-{n}") for n in range(4)]
    settlements = await asyncio.gather(*sends)
    assert sorted(len(settlement.refused) for settlement in settlements) == [0, 50, 50, 50]
    assert await database.count("sensor_readings") == 50


async def test_overlapping_batches_sent_at_once_count_each_key_once(database: Database, store: Store):
    known = [rms(f"pump-{n:02d}.rms") for n in range(20)]
    weeks_us = 14 * 86_400_000_000
    times = [NOW_US - n * weeks_us for n in range(10)]
    offered = [Row(series, time_us, 1.0, 1.0) for series in known for time_us in times]
    cuts = [offered, offered[::-1], offered[:120], offered[80:], offered[::3], offered[1::2]]
    sends = [store.store_batch(Batch("gw-1", tuple(cut)), gateway_id="gw-1") for cut in cuts]
    settlements = await asyncio.gather(*sends)
    assert sum(settlement.accepted for settlement in settlements) == len(offered)
    assert [len(settlement) for settlement in settlements] == [len(cut) for cut in cuts]
    assert await database.count("sensor_readings") == len(offered)


async def test_hours_are_marked_once_for_a_batch_and_only_when_a_row_was_new(database: Database, store: Store):
    hours_us = 3_600_000_000
    offered = tuple(Row(rms(), NOW_US + n * hours_us // 2, 1.0, 1.0) for n in range(6))
    for _ in range(2):
        await store.store_batch(Batch("gw-1", offered), gateway_id="gw-1")
    marked = await database.fetch("SELECT hour, gateway_id FROM hourly_pending WHERE gateway_id <> ''")
    assert len(marked) == len({tuple(mark) for mark in marked}) == 3  # 15:06 to 17:36
