"""The index by sensor on a table with rows: built by a job, beside the batches, and never left half done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from cloud_sync.central.database.maintenance import JobRun, Maintenance, Outcome
from cloud_sync.central.database.reading_index import build_index
from cloud_sync.central.database.store import Store
from cloud_sync.central.database.upkeep import Job, Upkeep
from cloud_sync.central.errors import ReadingIndexError
from tests.contract.check_transport import batch
from tests.support.central import Database
from tests.support.databases import DatabaseServer, execute
from tests.support.platform_tables import PLATFORM, READINGS, SENSORS, make

WITH_ROWS = tuple(statement for statement in PLATFORM if "ix_theirs" not in statement)
INDEXES = """
    SELECT i.indexrelid::regclass::text AS name, i.indisvalid AS valid FROM pg_index i
    WHERE i.indrelid = 'sensor_readings'::regclass AND NOT i.indisprimary"""
BUILT = {"sensor_readings_by_sensor": True}
ONLY_THE_INDEX = Upkeep(pause_s=0.01, every_s=((Job.READING_INDEX, 0.0),))
POOL_LIMIT_S = 1.0
DEADLINE_S = 60.0


async def indexes(database: Database) -> dict[str, bool]:
    """Every index but the key, and whether it is valid."""
    return {row["name"]: row["valid"] for row in await database.fetch(INDEXES)}


async def run_job(store: Store) -> JobRun:
    (ran,) = await Maintenance(store, ONLY_THE_INDEX).run_once()
    return ran


@asynccontextmanager
async def old_snapshot(database: Database) -> AsyncIterator[None]:
    """A long question of somebody else's: PostgreSQL ends no concurrent build before it."""
    connection = await asyncpg.connect(database.url)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            await connection.fetchval("SELECT count(*) FROM sensors")
            yield
    finally:
        await connection.close()


async def until_it_waits_for_the_snapshot(database: Database) -> None:
    waits = "SELECT FROM pg_stat_progress_create_index WHERE phase = 'waiting for old snapshots'"
    while not await database.fetch(waits):
        await asyncio.sleep(0.01)


async def adopt(database: Database, *statements: str) -> None:
    await make(database, *statements)
    async with Store(database.url) as store:
        await store.prepare()


async def test_a_build_longer_than_the_limit_of_other_statements_ends_with_the_index(bare: Database, caplog):
    await adopt(bare, *WITH_ROWS)
    assert await indexes(bare) == {}
    caplog.set_level(logging.INFO)
    async with asyncio.timeout(DEADLINE_S), Store(bare.url, statement_timeout_s=POOL_LIMIT_S) as store:
        async with old_snapshot(bare):
            job = asyncio.create_task(run_job(store))
            await until_it_waits_for_the_snapshot(bare)
            async with Store(bare.url) as beside:
                assert (await beside.store_batch(batch(), gateway_id="gw-1")).accepted == 6
            await asyncio.sleep(1.2 * POOL_LIMIT_S)
            assert not job.done()
        ran = await job
    assert (ran.outcome, ran.changed) == (Outcome.DONE, 1)
    assert await indexes(bare) == BUILT
    assert "building the index sensor_readings_by_sensor on sensor_readings (" in caplog.text


async def test_the_index_is_built_once(bare: Database):
    await adopt(bare, *WITH_ROWS)
    async with Store(bare.url) as store:
        assert [(await run_job(store)).changed for _ in range(2)] == [1, 0]


async def test_an_index_of_theirs_is_enough(bare: Database):
    await adopt(bare, *PLATFORM)
    async with Store(bare.url) as store:
        assert (await run_job(store)).changed == 0
    assert await indexes(bare) == {"ix_theirs": True}


async def test_an_invalid_index_that_a_killed_server_left_is_built_again(bare: Database):
    await adopt(bare, *WITH_ROWS)
    await bare.fetch("CREATE INDEX sensor_readings_by_sensor ON sensor_readings (sensor_id, timestamp DESC)")
    await bare.fetch("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'sensor_readings_by_sensor'::regclass")
    async with Store(bare.url) as store:
        assert (await run_job(store)).changed == 1
    assert await indexes(bare) == BUILT


async def test_a_build_that_is_told_to_end_leaves_nothing_half_done(bare: Database):
    await adopt(bare, *WITH_ROWS)
    async with asyncio.timeout(DEADLINE_S), Store(bare.url) as store, old_snapshot(bare):
        job = asyncio.create_task(run_job(store))
        await until_it_waits_for_the_snapshot(bare)
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
        assert await indexes(bare) == {}


async def test_a_build_that_takes_too_long_names_the_index_and_what_to_do(bare: Database):
    await adopt(bare, *WITH_ROWS)
    async with asyncio.timeout(DEADLINE_S), Store(bare.url) as store, old_snapshot(bare):
        async with store.reached() as (connection, _):
            with pytest.raises(ReadingIndexError) as caught:
                await build_index(connection, store.reached, hypertable=False, limit_s=0.5)
        assert await indexes(bare) == {}
    assert "the index sensor_readings_by_sensor on sensor_readings (" in caught.value.message
    assert "by hand: CREATE INDEX CONCURRENTLY sensor_readings_by_sensor" in str(caught.value.hint)


async def test_an_index_of_our_name_that_serves_nobody_is_named_and_kept(bare: Database):
    await adopt(bare, *WITH_ROWS)
    await bare.fetch("CREATE INDEX sensor_readings_by_sensor ON sensor_readings (value)")
    async with Store(bare.url) as store:
        with pytest.raises(ReadingIndexError, match='relation "sensor_readings_by_sensor" already exists'):
            await run_job(store)
    assert await indexes(bare) == BUILT


async def test_a_table_that_postgresql_partitions_gets_the_index_on_every_part(bare: Database):
    partitioned = READINGS + " PARTITION BY RANGE (timestamp)"
    part = "CREATE TABLE readings_2026 PARTITION OF sensor_readings FOR VALUES FROM ('2026-01-01Z') TO ('2027-01-01Z')"
    row = "INSERT INTO sensor_readings (timestamp, sensor_id, value) VALUES ('2026-02-01Z', 'theirs.only', 1)"
    await adopt(bare, SENSORS, partitioned, part, row)
    async with Store(bare.url) as store:
        assert (await run_job(store)).changed == 1
    assert await indexes(bare) == BUILT


@pytest.mark.root
async def test_a_hypertable_gets_the_index_on_every_chunk(timescale_server: DatabaseServer):
    await execute(timescale_server.url("postgres"), "CREATE DATABASE indexed_hyper")
    database = Database(timescale_server, "indexed_hyper")
    hypertable = "SELECT create_hypertable('sensor_readings', by_range('timestamp'), migrate_data => true)"
    indexed = (
        "SELECT count(DISTINCT tablename) AS n FROM pg_indexes WHERE indexdef LIKE '%(sensor_id, %timestamp% DESC)'"
    )
    try:
        await adopt(database, "CREATE EXTENSION IF NOT EXISTS timescaledb", *WITH_ROWS, hypertable)
        (chunks,) = await database.fetch("SELECT count(*) AS n FROM show_chunks('sensor_readings')")
        async with Store(database.url) as store:
            assert (await run_job(store)).changed == 1
        assert (await indexes(database))["sensor_readings_by_sensor"]
        assert (await database.fetch(indexed))[0]["n"] == 1 + chunks["n"]
    finally:
        await execute(timescale_server.url("postgres"), "DROP DATABASE indexed_hyper WITH (FORCE)")
