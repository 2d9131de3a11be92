"""Retention and the hourly roll-up as our own jobs, on plain PostgreSQL and on TimescaleDB's Apache build."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloud_sync.central.database.maintenance import Maintenance, Outcome, maintaining
from cloud_sync.central.database.store import Store
from cloud_sync.central.database.upkeep import Job, Upkeep
from cloud_sync.central.errors import DatabaseAwayError
from cloud_sync.central.metrics import Metrics
from cloud_sync.records import Batch, Row
from cloud_sync.row_rules import EPOCH, timestamp
from tests.central.test_cli import edge_central
from tests.contract.check_transport import rms
from tests.support.central import Database
from tests.support.platform_tables import PLATFORM, make

NOW = datetime(2026, 6, 15, 12, 34, 56, tzinfo=UTC)
HOUR = timedelta(hours=1)
RECOMPUTED = """
    SELECT sensor_id, date_trunc('hour', timestamp, 'UTC') AS hour, count(*), min(value), max(value),
           sum(value) / count(*) AS mean, sum(value) AS sum
    FROM sensor_readings GROUP BY 1, 2 ORDER BY 1, 2"""
HOURLY = "SELECT * FROM sensor_readings_hourly ORDER BY sensor_id, hour"
SMALL_STEPS = Upkeep(rows_per_step=7, hours_per_step=2)
DEADLINE_S = 20.0


def row_at(moment: datetime, value: float = 1.0, name: str = "pump-07.de-x.rms") -> Row:
    return Row(rms(name), (moment - EPOCH) // timedelta(microseconds=1), value, 1.0)


def spread(hours: int, *, per_hour: int = 3, name: str = "pump-07.de-x.rms") -> tuple[Row, ...]:
    """Rows of the last `hours` hours, with values that tell them apart."""
    step = HOUR / per_hour
    return tuple(row_at(NOW - n * step, float(n % 17), name) for n in range(hours * per_hour))


def at(
    store: Store, moment: datetime = NOW, upkeep: Upkeep = SMALL_STEPS, metrics: Metrics | None = None
) -> Maintenance:
    return Maintenance(store, upkeep, metrics=metrics, now=lambda: moment)


async def send(store: Store, *offered: Row, gateway_id: str = "gw-1") -> None:
    settlement = await store.store_batch(Batch(gateway_id, offered), gateway_id=gateway_id)
    assert settlement.refused == ()


async def changed(maintenance: Maintenance) -> dict[Job, int]:
    return {ran.job: ran.changed for ran in await maintenance.run_once() if ran.outcome is Outcome.DONE}


async def same(database: Database) -> list[Any]:
    """The roll-up, once it is what a fresh aggregation of all rows gives."""
    hourly = await database.fetch(HOURLY)
    assert [tuple(hour) for hour in hourly] == [tuple(hour) for hour in await database.fetch(RECOMPUTED)]
    return hourly


@pytest.fixture
async def store(database: Database):
    async with Store(database.url, now=lambda: NOW) as store:
        yield store


async def test_hours_are_what_a_fresh_aggregation_gives(database: Database, store: Store):
    await send(store, *spread(30), *spread(5, name="pump-08.rms"))
    assert (await changed(at(store)))[Job.HOURLY] == 31 + 6
    assert len(await same(database)) == 31 + 6
    assert await database.count("hourly_pending") == 0


async def test_late_rows_repair_their_hour_and_no_other(database: Database, store: Store):
    await send(store, *spread(30))
    await changed(at(store))
    await send(store, row_at(NOW - 20 * HOUR + timedelta(seconds=1), -500.0))
    assert (await changed(at(store)))[Job.HOURLY] == 1
    assert min(hour["min"] for hour in await same(database)) == -500.0


async def test_a_repeated_batch_changes_no_hour(store: Store):
    for expected in (31, 0):
        await send(store, *spread(30))
        assert (await changed(at(store))).get(Job.HOURLY, 0) == expected


async def test_rows_of_a_transaction_still_open_are_found_by_a_later_run(database: Database, store: Store):
    await send(store, row_at(NOW - 2 * HOUR))
    async with store.reached() as (connection, _):
        transaction = connection.transaction()
        await transaction.start()
        for statement in (
            "INSERT INTO sensor_readings (timestamp, sensor_id, value) VALUES ($1, 'pump-07.de-x.rms', 99)",
            "INSERT INTO hourly_pending (hour, gateway_id) VALUES (date_trunc('hour', $1::timestamptz, 'UTC'), 'gw-1')",
        ):
            await connection.execute(statement, NOW - 2 * HOUR + timedelta(seconds=1))
        await changed(at(store))
        assert [hour["count"] for hour in await database.fetch(HOURLY)] == [1]
        await transaction.commit()
    await changed(at(store))
    assert [hour["count"] for hour in await same(database)] == [2]


async def test_values_at_the_edge_of_a_double_do_not_stop_the_job(database: Database, store: Store):
    largest = [row_at(NOW - timedelta(seconds=n), 1.7e308) for n in range(3)]
    await send(store, *largest, row_at(NOW - timedelta(seconds=9), 2.0), row_at(NOW - 5 * HOUR, -1.7e308))
    await changed(at(store))
    older, newer = await database.fetch(HOURLY)
    assert (newer["count"], newer["max"], newer["mean"], newer["sum"]) == (4, 1.7e308, 2.0, 2.0)
    assert (older["count"], older["min"], older["mean"], older["sum"]) == (1, -1.7e308, None, None)


async def test_rows_beyond_180_days_go_and_their_hours_stay(database: Database, store: Store):
    old = [row_at(NOW - timedelta(days=200) + n * timedelta(minutes=1)) for n in range(50)]
    await send(store, *old, *spread(3))
    await changed(at(store, NOW - timedelta(days=100)))  # rolled up while they were young
    hours = await database.count("sensor_readings_hourly")
    assert (await changed(at(store)))[Job.RETENTION] == (1 if database.server.has_timescaledb else 50)
    assert await database.count("sensor_readings") == 9
    await send(store, old[0])  # a row that comes 200 days late
    await changed(at(store))
    assert await database.count("sensor_readings_hourly") == hours


async def test_what_would_be_deleted_at_once_is_refused_by_name(database: Database):
    old, kept = row_at(NOW - timedelta(days=200)), row_at(NOW - timedelta(days=179))
    for upkeep, refused in ((Upkeep(), 1), (Upkeep(retention_days=30), 2), (Upkeep(retention_days=0), 0), (None, 0)):
        async with Store(database.url, upkeep=upkeep, now=lambda: NOW) as store:
            settlement = await store.store_batch(Batch("gw-1", (old, kept)), gateway_id="gw-1")
            assert [refusal.code for refusal in settlement.refused] == ["older_than_retention"] * refused
            if upkeep == Upkeep():
                assert "begins at" in settlement.refused[0].detail
                assert (await changed(at(store))).get(Job.RETENTION, 0) == 0


async def test_rows_of_an_adopted_table_are_kept_and_taken_however_old(database: Database):
    await database.fetch("INSERT INTO adopted_tables (table_name) VALUES ('sensor_readings')")
    async with Store(database.url, upkeep=Upkeep(), now=lambda: NOW) as store:
        offered = Batch("gw-1", (row_at(NOW - timedelta(days=2_000)),))
        assert (await store.store_batch(offered, gateway_id="gw-1")).accepted == 1


async def test_days_are_as_asked_and_zero_keeps_everything(database: Database, store: Store):
    await send(store, row_at(NOW - timedelta(days=60)), row_at(NOW))
    assert Job.RETENTION not in await changed(at(store, upkeep=Upkeep(retention_days=0)))
    assert await database.count("sensor_readings") == 2
    assert (await changed(at(store, upkeep=Upkeep(retention_days=30))))[Job.RETENTION] == 1
    assert await database.count("sensor_readings") == 1


async def test_rows_younger_than_the_limit_stay(database: Database, store: Store):
    await send(store, row_at(NOW - timedelta(days=179, hours=23)))
    await changed(at(store))
    assert await database.count("sensor_readings") == 1


async def test_an_instance_leaves_a_job_that_another_is_at(database: Database, store: Store):
    async with store.reached() as (connection, _):
        for number in range(len(Job)):
            await connection.execute("SELECT pg_advisory_lock($1::int, $2::int)", 0x5345_4447, number)
        assert {ran.outcome for ran in await at(store).run_once()} == {Outcome.ELSEWHERE}
    assert {ran.outcome for ran in await at(store).run_once()} == {Outcome.DONE}


async def test_many_instances_on_a_schedule_share_the_runs(database: Database, store: Store):
    metrics = Metrics()
    upkeep = replace(SMALL_STEPS, pause_s=0.01, every_s=((Job.HOURLY, 3_600.0),))
    await send(store, *spread(10))
    async with asyncio.timeout(DEADLINE_S):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(at(store, upkeep=upkeep, metrics=metrics).run()) for _ in range(4)]
            while 'outcome="not_due"} 4' not in metrics.text(database_up=True):
                await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
    (job,) = await database.fetch("SELECT job, runs, last_outcome, changed FROM central_jobs")
    assert tuple(job) == ("hourly", 1, "done", 11)
    await same(database)


async def test_the_schedule_outlives_a_database_that_goes_away(database: Database, store: Store):
    metrics = Metrics()
    upkeep = Upkeep(pause_s=0.01, every_s=((Job.HOURLY, 0.0),))
    await send(store, *spread(3))
    async with asyncio.timeout(DEADLINE_S), maintaining(at(store, upkeep=upkeep, metrics=metrics)):
        await database.server.stop()
        while 'outcome="failed"' not in metrics.text(database_up=False):
            await asyncio.sleep(0.01)
        await database.server.start()
        await send_until_it_is_back(store, row_at(NOW + HOUR))
        while await database.count("hourly_pending"):
            await asyncio.sleep(0.01)
    await same(database)


async def send_until_it_is_back(store: Store, row: Row) -> None:
    while True:
        try:
            return await send(store, row)
        except DatabaseAwayError:
            await asyncio.sleep(0.01)


async def test_jobs_that_break_are_said_and_do_not_take_the_service_along(store: Store, caplog):
    def broken_clock() -> datetime:
        raise ValueError("the clock fell off the wall")

    maintenance = Maintenance(store, Upkeep(), now=broken_clock)
    async with asyncio.timeout(DEADLINE_S), maintaining(maintenance):
        while "maintenance broke" not in caplog.text:
            await asyncio.sleep(0.01)
        await send(store, *spread(1))
    assert "fell off the wall" in caplog.text


async def test_old_rows_of_an_adopted_table_stay_unless_asked_for(bare: Database):
    await make(bare, *PLATFORM)
    later = datetime(2027, 6, 1, tzinfo=UTC)
    async with Store(bare.url) as store:
        await changed(at(store, later, Upkeep()))
        assert await bare.count("sensor_readings") == 154
        assert len(await same(bare)) == 154
        await changed(at(store, later, Upkeep(retention_days=180)))
    assert await bare.count("sensor_readings") == 0
    assert await bare.count("sensor_readings_hourly") == 154


async def test_hours_that_others_write_into_an_adopted_table_are_followed(bare: Database):
    await make(bare, *PLATFORM)
    theirs = "INSERT INTO sensor_readings (timestamp, sensor_id, value) VALUES ($1, 'theirs.only', 7)"
    async with Store(bare.url) as store:
        await changed(at(store))
        await bare.fetch(theirs, NOW - HOUR)
        assert (await changed(at(store)))[Job.HOURLY] == 1
        await bare.fetch(theirs, NOW - 50 * HOUR)
        await at(store).mark_hours(NOW - 60 * HOUR)
        assert (await changed(at(store)))[Job.HOURLY] == 1
    await same(bare)


async def test_rows_from_before_the_roll_up_existed_are_rolled_up(bare: Database):
    await make(bare, *PLATFORM)
    async with Store(bare.url) as store:
        await changed(at(store, timestamp(0)))
    assert len(await same(bare)) == 154


def test_maintain_runs_every_job_once_and_prints_what_each_did(database: Database):
    done = edge_central("maintain", "--database-url", database.url, "--hours-since", "2026-01-01")
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["job"], one["outcome"]) for one in printed] == [
        ("retention", "done"), ("hourly", "done"), ("reading_index", "done"),
    ]  # fmt: skip
    assert '"changed": 0' in done.stdout.splitlines()[2]
    assert done.returncode == 0
