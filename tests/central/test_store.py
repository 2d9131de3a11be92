"""What the database holds after a batch, on plain PostgreSQL and on TimescaleDB."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from cloud_sync.central.database.known_keys import KeyHolder, key_digest
from cloud_sync.central.database.migrations import schema_files
from cloud_sync.central.database.store import Store
from cloud_sync.central.errors import DatabaseAwayError, SchemaTooNewError, UsageError
from cloud_sync.records import Batch, Event, EventKind, Row, Series
from cloud_sync.row_rules import EPOCH
from tests.contract.check_transport import NOW_US, batch, event, rms, rows
from tests.support.central import API_KEY, Database
from tests.support.databases import execute

RECOVERY_DEADLINE_S = 20.0


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


async def codes(store: Store, *offered: Row) -> list[str]:
    settlement = await store.store_batch(Batch("gw-1", offered), gateway_id="gw-1")
    assert settlement.accepted == len(offered) - len(settlement.refused)
    return [refusal.code for refusal in settlement.refused]


async def test_readings_are_a_hypertable_exactly_where_timescaledb_is(database: Database, store: Store):
    health = await store.health()
    assert (health.timescaledb is not None) == database.server.has_timescaledb
    catalogue = await database.fetch("SELECT to_regclass('timescaledb_information.hypertables') IS NOT NULL AS known")
    assert catalogue[0]["known"] == database.server.has_timescaledb


async def test_rows_weeks_apart_are_kept_apart_where_timescaledb_is(database: Database, store: Store):
    weeks = [replace(row, time_us=row.time_us + n * 14 * 86_400_000_000) for n, row in enumerate(rows(3))]
    settlement = await store.store_batch(Batch("gw-1", tuple(weeks)), gateway_id="gw-1")
    assert settlement.accepted == 3
    places = await database.fetch("SELECT DISTINCT tableoid FROM sensor_readings")
    assert len(places) == (3 if database.server.has_timescaledb else 1)


async def test_a_row_is_stored_as_it_was_measured(database: Database, store: Store):
    exact = Row(rms(), NOW_US + 123_457, 0.1 + 0.2, 0.5)
    await store.store_batch(Batch("gw-1", (exact,)), gateway_id="gw-1")
    (stored,) = await database.fetch("SELECT * FROM sensor_readings")
    assert microseconds(stored["timestamp"]) == exact.time_us
    assert (stored["value"], stored["quality"]) == (exact.value, exact.quality)
    assert (stored["sensor_type"], stored["unit"]) == ("vibration", "g")
    assert stored["sensor_metadata"] == '{"asset": "pump-07"}'


async def test_overlapping_batches_are_counted_exactly(database: Database, store: Store):
    first = await store.store_batch(Batch("gw-1", rows(700)), gateway_id="gw-1")
    second = await store.store_batch(Batch("gw-1", rows(1_000)), gateway_id="gw-1")
    assert (first.accepted, first.duplicates) == (700, 0)
    assert (second.accepted, second.duplicates) == (300, 700)
    assert await database.count("sensor_readings") == 1_000
    assert (await store.stats())["rows"] == 1_000


async def test_one_batch_sent_many_times_at_once_counts_once(database: Database, store: Store):
    offered = Batch("gw-1", (*rows(300), *rows(300, rms("pump-08.rms"))), (event("a"), event("b")))
    backwards = Batch("gw-1", offered.rows[::-1], offered.events[::-1])
    sends = [store.store_batch(one, gateway_id="gw-1") for one in (offered, backwards) * 4]
    settlements = await asyncio.gather(*sends)
    assert sum(settlement.accepted for settlement in settlements) == len(offered)
    assert all(len(settlement) == len(offered) for settlement in settlements)
    assert await database.count("sensor_readings") == 600


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), "timestamp_too_old"),
        (datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), "timestamp_too_old"),
        (datetime(2099, 1, 1, tzinfo=UTC), "timestamp_in_future"),
    ],
)
async def test_a_moment_that_no_clock_can_mean_is_refused(store: Store, moment: datetime, code: str):
    good, bad = rows(2)
    assert await codes(store, good, replace(bad, time_us=microseconds(moment))) == [code]


async def test_a_clock_up_to_a_day_ahead_is_taken(store: Store):
    ahead = datetime.now(UTC) + timedelta(hours=23)
    assert await codes(store, replace(rows(1)[0], time_us=microseconds(ahead))) == []


@pytest.mark.parametrize("time_us", [10**30, -(10**30)])
async def test_a_moment_outside_the_calendar_is_refused(store: Store, time_us: int):
    assert len(await codes(store, replace(rows(1)[0], time_us=time_us))) == 1


@pytest.mark.parametrize("quality", [-0.1, 1.1, float("nan"), float("inf")])
async def test_quality_outside_zero_to_one_is_refused(store: Store, quality: float):
    assert await codes(store, *rows(1), Row(rms(), NOW_US - 1, 1.0, quality)) == ["quality_out_of_range"]


@pytest.mark.parametrize(
    ("series", "code"),
    [
        (Series("pump.a", "mood", "g"), "unknown_sensor_type"),
        (Series("", "pump", "g"), "text_length"),
        (Series("x" * 256, "pump", "g"), "text_length"),
        (Series("pump\0a", "pump", "g"), "text_not_storable"),
        (Series("pump.\ud800", "pump", "g"), "text_not_storable"),
        (Series("pump.a", "pump", "g", {"note": {"deep": ["\0"]}}), "text_not_storable"),
        (Series("pump.a", "pump", "g", {"limit": float("inf")}), "text_not_storable"),
    ],
)
async def test_a_sensor_that_cannot_be_stored_costs_only_its_own_rows(store: Store, series: Series, code: str):
    assert await codes(store, *rows(1), *rows(1, series), *rows(1, rms("pump-08.rms"))) == [code]


async def test_a_row_only_the_database_refuses_costs_only_itself(database: Database, store: Store):
    await database.fetch("ALTER TABLE sensor_readings ADD CONSTRAINT plausible CHECK (value < 1000)")
    bad = [replace(row, value=5_000.0, time_us=row.time_us + 1) for row in rows(2)]
    settlement = await store.store_batch(Batch("gw-1", (*rows(40), *bad), (event("a"),)), gateway_id="gw-1")
    assert [(r.index, r.code) for r in settlement.refused] == [(40, "database_refused"), (41, "database_refused")]
    assert "plausible" in settlement.refused[0].detail
    assert (settlement.accepted, settlement.duplicates) == (41, 0)


async def test_a_sensor_of_another_gateway_is_refused(database: Database, store: Store):
    await store.store_batch(Batch("gw-1", rows(1)), gateway_id="gw-1")
    offered = Batch("gw-2", (*rows(2), *rows(1, rms("pump-09.rms"))))
    settlement = await store.store_batch(offered, gateway_id="gw-2")
    assert [(r.index, r.code) for r in settlement.refused] == [(n, "sensor_of_other_gateway") for n in (0, 1)]
    assert settlement.accepted == 1
    owners = await database.fetch("SELECT sensor_id, gateway_id FROM sensors ORDER BY sensor_id")
    assert [tuple(owner) for owner in owners] == [("pump-07.de-x.rms", "gw-1"), ("pump-09.rms", "gw-2")]


async def test_an_event_id_of_another_gateway_is_refused_not_called_a_repeat(store: Store):
    await store.store_batch(Batch("gw-1", (), (event("a"),)), gateway_id="gw-1")
    settlement = await store.store_batch(Batch("gw-2", (), (event("a"), event("b"))), gateway_id="gw-2")
    assert [(r.index, r.code) for r in settlement.refused] == [(0, "event_of_other_gateway")]
    assert (settlement.accepted, settlement.duplicates) == (1, 0)


async def test_events_keep_their_body_and_kind(database: Database, store: Store):
    alarm = Event("a", EventKind.ALARM, "pump-07", NOW_US, {"score": 0.93, "words": "Lager läuft heiß"})
    await store.store_batch(Batch("gw-1", (), (alarm,)), gateway_id="gw-1")
    (stored,) = await database.fetch("SELECT kind, subject, body ->> 'words' AS words FROM edge_events")
    assert tuple(stored) == ("alarm", "pump-07", "Lager läuft heiß")
    assert (await store.stats())["events_by_kind"] == {"alarm": 1}


async def test_killing_the_database_loses_no_answered_row(database: Database, store: Store):
    answered: set[int] = set()

    async def send_until_it_dies() -> None:
        for n in range(10_000):
            row = replace(rows(1)[0], time_us=NOW_US + n)
            await store.store_batch(Batch("gw-1", (row,)), gateway_id="gw-1")
            answered.add(n)
            if n == 50:
                await database.server.kill()

    with pytest.raises(DatabaseAwayError):
        await send_until_it_dies()
    await database.server.start()
    stored = {microseconds(row["timestamp"]) - NOW_US for row in await database.fetch("SELECT * FROM sensor_readings")}
    assert len(answered) >= 50
    assert answered <= stored
    assert (await store.store_batch(batch(), gateway_id="gw-1")).refused == ()


async def test_opening_an_up_to_date_database_changes_nothing(database: Database):
    for _ in range(2):
        async with Store(database.url) as store:
            await store.prepare()
    versions = await database.fetch("SELECT version FROM schema_version ORDER BY version")
    assert [row["version"] for row in versions] == list(schema_files())


async def test_a_database_of_the_first_version_is_brought_up_to_date_with_its_rows(bare: Database):
    connection = await asyncpg.connect(bare.url)
    for text in (
        "CREATE TABLE schema_version (version int PRIMARY KEY, applied_at timestamptz DEFAULT now())",
        "INSERT INTO schema_version (version) VALUES (1)",
        schema_files()[1],
        "INSERT INTO sensors (sensor_id, sensor_type, unit, gateway_id) VALUES ('a', 'pump', 'g', 'gw-1')",
        "INSERT INTO sensor_readings (timestamp, sensor_id, value) VALUES ('2026-01-01Z', 'a', 1)",
    ):
        await connection.execute(text)
    await connection.close()
    async with Store(bare.url) as store:
        assert (await store.store_batch(batch(), gateway_id="gw-1")).accepted == 6
    assert await bare.count("sensor_readings") == 1 + 5
    assert await bare.count("adopted_tables") == 0
    pending = await bare.fetch("SELECT DISTINCT gateway_id FROM hourly_pending ORDER BY 1")
    assert [row["gateway_id"] for row in pending] == ["", "gw-1"]


async def test_two_keys_of_one_gateway_are_valid_at_once_until_one_is_revoked(store: Store):
    await store.add_key("the next key", gateway_id="gw-1")
    for key in (API_KEY, "the next key"):
        assert await store.key_holder(key) == KeyHolder("gw-1", revoked=False)
    await store.revoke_key(key_digest(API_KEY).hex())
    assert await store.key_holder(API_KEY) == KeyHolder("gw-1", revoked=True)
    assert await store.key_holder("the next key") == KeyHolder("gw-1", revoked=False)


async def test_centrals_that_start_together_make_the_tables_once(database_server):
    await execute(database_server.url("postgres"), "CREATE DATABASE fresh")
    url = database_server.url("fresh")
    try:
        async with Store(url) as one, Store(url) as two, Store(url) as three:
            await asyncio.gather(one.prepare(), two.prepare(), three.prepare())
            assert (await one.health()).rows == 0
    finally:
        await execute(database_server.url("postgres"), "DROP DATABASE fresh WITH (FORCE)")


async def test_tables_of_a_newer_program_are_not_touched(database: Database):
    await database.fetch("INSERT INTO schema_version (version) VALUES (9999)")
    async with Store(database.url) as store:
        with pytest.raises(SchemaTooNewError, match="9999"):
            await store.prepare()


async def test_a_url_that_is_none_is_a_usage_error():
    with pytest.raises(UsageError, match="database URL"):
        async with Store("mysql://somewhere/else"):
            pass
