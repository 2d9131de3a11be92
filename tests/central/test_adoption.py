"""A platform's database with rows in it becomes ours too, without losing or changing anything of theirs."""

from __future__ import annotations

import pytest

from cloud_sync.central.database.migrations import schema_files
from cloud_sync.central.database.store import Store
from cloud_sync.central.errors import SchemaDiffersError
from cloud_sync.records import Batch, Series
from tests.contract.check_transport import batch, rms, rows
from tests.support.central import Database
from tests.support.databases import DatabaseServer, execute
from tests.support.platform_tables import PLATFORM, READINGS, SENSORS, make

HYPERTABLE = "SELECT create_hypertable('sensor_readings', by_range('timestamp'), migrate_data => true)"
THEIRS = "SELECT * FROM sensor_readings WHERE sensor_metadata ? 'theirs' ORDER BY timestamp, sensor_id"
INDEXES = "SELECT indexname FROM pg_indexes WHERE tablename = 'sensor_readings' ORDER BY 1"


async def columns(database: Database, table: str) -> dict[str, str]:
    found = await database.fetch(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = $1", table
    )
    return {row["column_name"]: row["data_type"] for row in found}


async def test_a_platform_database_keeps_every_row_column_and_index(bare: Database):
    await make(bare, *PLATFORM)
    before = await bare.fetch(THEIRS)
    indexes = await bare.fetch(INDEXES)
    types = await columns(bare, "sensors") | await columns(bare, "sensor_readings")
    async with Store(bare.url) as store:
        await store.prepare()
    assert await bare.fetch(THEIRS) == before
    assert len(before) == 154
    assert await bare.fetch(INDEXES) == indexes
    now = await columns(bare, "sensors") | await columns(bare, "sensor_readings")
    assert types.items() <= now.items()
    assert set(now) - set(types) == {"gateway_id", "registered_at", "metadata"}
    adopted = await bare.fetch("SELECT table_name FROM adopted_tables ORDER BY 1")
    assert [row["table_name"] for row in adopted] == ["sensor_readings", "sensors"]


async def test_batches_go_into_an_adopted_database_beside_the_old_rows(bare: Database):
    await make(bare, *PLATFORM)
    async with Store(bare.url) as store:
        first = await store.store_batch(batch(), gateway_id="gw-1")
        again = await store.store_batch(batch(), gateway_id="gw-1")
        other = await store.store_batch(Batch("gw-2", rows(1)), gateway_id="gw-2")
    assert (first.accepted, again.duplicates) == (6, 6)
    assert [refusal.code for refusal in other.refused] == ["sensor_of_other_gateway"]
    assert await bare.count("sensor_readings") == 154 + 5
    owners = await bare.fetch("SELECT sensor_id, gateway_id, location FROM sensors ORDER BY 1")
    assert [tuple(owner) for owner in owners] == [
        ("pump-07.de-x.rms", "gw-1", "hall 3"), ("theirs.only", None, None),
    ]  # fmt: skip


async def test_a_name_too_long_for_an_adopted_column_costs_only_its_own_rows(bare: Database):
    await make(bare, *PLATFORM)
    long = rms("x" * 41)
    offered = Batch("gw-1", (*rows(2), *rows(2, long), *rows(1, Series("pump-08.rms", "pump", "u" * 21))))
    async with Store(bare.url) as store:
        settlement = await store.store_batch(offered, gateway_id="gw-1")
    assert [(r.index, r.code) for r in settlement.refused] == [(n, "database_refused") for n in (2, 3, 4)]
    assert settlement.accepted == 2


async def test_opening_an_adopted_database_again_changes_nothing(bare: Database):
    await make(bare, *PLATFORM)
    for _ in range(2):
        async with Store(bare.url) as store:
            await store.prepare()
    versions = await bare.fetch("SELECT version FROM schema_version ORDER BY version")
    assert [row["version"] for row in versions] == list(schema_files())
    assert await bare.count("adopted_tables") == 2


async def test_an_index_for_reading_by_sensor_is_added_where_none_serves(bare: Database):
    await make(bare, SENSORS, READINGS)
    async with Store(bare.url) as store:
        await store.prepare()
    assert "sensor_readings_by_sensor" in {row["indexname"] for row in await bare.fetch(INDEXES)}


async def test_readings_without_a_table_of_sensors_are_adopted_too(bare: Database):
    await make(bare, READINGS)
    async with Store(bare.url) as store:
        assert (await store.store_batch(batch(), gateway_id="gw-1")).accepted == 6


async def test_a_plain_table_that_holds_rows_is_not_converted(bare: Database):
    await make(bare, *PLATFORM)
    async with Store(bare.url) as store:
        await store.prepare()
    (place,) = await bare.fetch("SELECT count(DISTINCT tableoid) AS tables FROM sensor_readings")
    assert place["tables"] == 1


@pytest.mark.root
async def test_a_hypertable_of_the_platform_stays_the_hypertable_it_is(timescale_server: DatabaseServer):
    await execute(timescale_server.url("postgres"), "CREATE DATABASE platform_hyper")
    database = Database(timescale_server, "platform_hyper")
    try:
        await make(database, "CREATE EXTENSION IF NOT EXISTS timescaledb", *PLATFORM, HYPERTABLE)
        before = await database.fetch(THEIRS)
        chunks = await database.fetch("SELECT show_chunks('sensor_readings')::text AS chunk ORDER BY 1")
        indexes = await database.fetch(INDEXES)
        async with Store(database.url) as store:
            assert (await store.store_batch(batch(), gateway_id="gw-1")).accepted == 6
        assert await database.fetch(THEIRS) == before
        now = {row["chunk"] for row in await database.fetch("SELECT show_chunks('sensor_readings')::text AS chunk")}
        assert {row["chunk"] for row in chunks} < now
        assert await database.fetch(INDEXES) == indexes
    finally:
        await execute(timescale_server.url("postgres"), "DROP DATABASE platform_hyper WITH (FORCE)")


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        ([READINGS.replace("timestamp timestamptz", "timestamp timestamp")],
         "sensor_readings.timestamp is timestamp without time zone, not timestamp with time zone"),
        ([READINGS.replace("value double precision", "value numeric")],
         "sensor_readings.value is numeric, not double precision"),
        ([READINGS.replace("(timestamp, sensor_id))", "(timestamp, sensor_id, value))")],
         r"needs the key \(timestamp, sensor_id\); its keys are: \(timestamp, sensor_id, value\)"),
        ([READINGS.replace(", PRIMARY KEY (timestamp, sensor_id)", "")], "its keys are: none"),
        ([READINGS.replace("value double precision", "reading double precision")],
         "sensor_readings.value is missing; sensor_readings.reading must be given a value"),
        ([SENSORS.replace("location text", "location text NOT NULL")], "sensors.location must be given a value"),
        ([SENSORS.replace("sensor_id varchar(40)", "sensor_id uuid")], "sensors.sensor_id is uuid"),
        ([READINGS.replace("sensor_readings", "raw"), "CREATE VIEW sensor_readings AS SELECT * FROM raw"],
         "sensor_readings is a view, not a table"),
        (["CREATE TABLE edge_events (n int)"], "edge_events exists already"),
        (["CREATE TABLE schema_version (version text PRIMARY KEY)"], "schema_version.version is text"),
    ],
)  # fmt: skip
async def test_what_cannot_be_adopted_is_named_and_left_alone(bare: Database, statements: list[str], words: str):
    await make(bare, *statements)
    tables = "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
    before = await bare.fetch(tables)
    async with Store(bare.url) as store:
        with pytest.raises(SchemaDiffersError, match=words):
            await store.prepare()
    assert await bare.fetch(tables) == before


async def test_every_difference_is_named_at_once(bare: Database):
    await make(bare, SENSORS.replace("varchar(50)", "int"), READINGS.replace("value double precision", "value text"))
    async with Store(bare.url) as store:
        with pytest.raises(SchemaDiffersError) as caught:
            await store.prepare()
    assert "sensors.sensor_type is integer" in caught.value.message
    assert "sensor_readings.value is text" in caught.value.message
    assert "nothing was changed" in str(caught.value.hint)
