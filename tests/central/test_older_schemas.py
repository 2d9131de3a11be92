"""Databases of every schema, filled and dumped by the programs of their time, open with this one and lose nothing.

The dumps are `pg_dump --inserts` of one key, 40 readings and an event stored twice, and a second value for one of them.
"""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest

from cloud_sync.central.database.known_keys import KeyHolder
from cloud_sync.central.database.maintenance import Maintenance, Outcome
from cloud_sync.central.database.migrations import schema_files
from cloud_sync.central.database.store import Store
from cloud_sync.central.database.upkeep import Upkeep
from tests.contract.check_transport import batch
from tests.support.central import Database
from tests.support.places import TESTS

DUMPS = {int(re.findall(r"\d+", path.stem)[0]): path for path in (TESTS / "databases").glob("central-schema-*.sql")}
COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
    WHERE table_schema = 'public' ORDER BY 1, 2"""


def test_there_is_one_of_every_older_schema():
    assert set(DUMPS) >= set(list(schema_files())[:-1])


async def restore(database: Database, dump: Path) -> None:
    connection = await asyncpg.connect(database.url)
    await connection.execute(dump.read_text())
    await connection.close()


@pytest.mark.parametrize("version", sorted(DUMPS))
async def test_an_older_database_opens_twice_and_loses_nothing(bare: Database, database: Database, version: int):
    await restore(bare, DUMPS[version])
    before = await bare.keys()
    assert len(before) == 40 + 1
    for _ in range(2):
        async with Store(bare.url) as store:
            assert (await store.health()).rows == 40
            assert await store.key_holder("key-of-the-dump") == KeyHolder("gw-1", revoked=False)
    assert await bare.keys() == before
    assert await bare.fetch(COLUMNS) == await database.fetch(COLUMNS)


@pytest.mark.parametrize("version", sorted(DUMPS))
async def test_an_older_database_takes_batches_and_its_hours_are_rolled_up(bare: Database, version: int):
    await restore(bare, DUMPS[version])
    async with Store(bare.url) as store:
        settlement = await store.store_batch(batch(), gateway_id="gw-1")  # its event is in the dump
        assert (settlement.accepted, settlement.duplicates, settlement.refused) == (5, 1, ())
        ran = await Maintenance(store, Upkeep(retention_days=0)).run_once()
    assert {one.outcome for one in ran} <= {Outcome.DONE, Outcome.NOT_OURS}
    assert await bare.count("sensor_readings") == 40 + 5
    assert sum(row["count"] for row in await bare.fetch("SELECT count FROM sensor_readings_hourly")) == 40 + 5
