"""The gateway's ledger against a real central with a real database, over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cloud_sync.central.database.corrections import Correction, correct
from cloud_sync.central.database.store import Store
from cloud_sync.digest import HOUR_US, HourDigest, HourKey, hour_of
from cloud_sync.errors import TransientSyncError
from cloud_sync.outbox.retention_policy import Loss, LossCause, loss_event
from cloud_sync.outbox.store import Outbox
from cloud_sync.reconcile.compare import Cause, Comparison, HourSpan, ask_central, reconcile
from cloud_sync.reconcile.hourly import HourlyReconciliation
from cloud_sync.records import Row
from cloud_sync.row_rules import timestamp
from cloud_sync.transports.https import HttpsTransport
from cloud_sync.uplink.sender import Uplink
from edge_agent.app import Agent
from edge_agent.cli.status import read_status
from edge_agent.core.clock import SystemClock
from edge_agent.settings.load import load_settings
from edge_agent.status.central import reconcile_problem
from tests.support.blocks import block_of, series
from tests.support.central import API_KEY, Database
from tests.support.writing import writer_to

NOW_US = time.time_ns() // 1000
HOUR = hour_of(NOW_US) - HOUR_US
PUMP, FAN = "pump-07.de-x.rms", "fan-01.rms"
FIRST_DELIVERY_NS = (HOUR - 10 * HOUR_US) * 1000
DEADLINE_S = 30.0


def rows_of(sensor_id: str, *, hour_us: int = HOUR, count: int = 60) -> list[Row]:
    return [Row(series(sensor_id), hour_us + n * 1_000_000, n / 8, 1.0) for n in range(count)]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db", max_bytes=10_000_000) as outbox:
        yield outbox


@pytest.fixture
async def delivered(outbox: Outbox, service_url: str) -> Outbox:
    """Two sensors, three sensor hours, in the ledger and at the central."""
    for rows in (rows_of(PUMP), rows_of(FAN), rows_of(PUMP, hour_us=HOUR - HOUR_US)):
        outbox.append([block_of(rows)])
    await deliver(outbox, service_url)
    return outbox


async def deliver(outbox: Outbox, url: str) -> None:
    transport = HttpsTransport(url, gateway_id="gw-1", api_key=API_KEY)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await Uplink(outbox, transport, now_ns=lambda: FIRST_DELIVERY_NS).drain()
    finally:
        await transport.close()
    assert outbox.depth().records == 0


async def compared(outbox: Outbox, url: str) -> Comparison:
    async def ask(span: HourSpan) -> Mapping[HourKey, HourDigest]:
        return await ask_central(url, span, gateway_id="gw-1", api_key=API_KEY)

    found = await reconcile(outbox.path, 24, ask, now_us=NOW_US)
    assert found is not None
    return found


def counts(found: Comparison) -> list[tuple[str, int, int, int, Cause]]:
    return [
        (
            one.difference.sensor_id,
            one.difference.hour_us,
            one.difference.ours.count if one.difference.ours else 0,
            one.difference.theirs.count if one.difference.theirs else 0,
            one.cause,
        )
        for one in found.findings
    ]


async def change(database: Database, statement: str, sensor_id: str, time_us: int) -> None:
    moment = "to_timestamp(0) + $2::bigint * interval '1 microsecond'"
    await database.fetch(statement.format(moment=moment), sensor_id, time_us)


async def test_sides_are_equal_after_delivery(delivered: Outbox, service_url: str):
    found = await compared(delivered, service_url)
    assert (found.is_equal, found.findings) == (True, ())
    assert (found.compared, found.sensors, found.rows) == (3, 2, 180)


async def test_row_deleted_at_the_central_is_listed(delivered: Outbox, service_url: str, database: Database):
    gone = "DELETE FROM sensor_readings WHERE sensor_id = $1 AND timestamp = {moment}"
    await change(database, gone, PUMP, HOUR + 7_000_000)
    found = await compared(delivered, service_url)
    assert counts(found) == [(PUMP, HOUR, 60, 59, Cause.LOST)]
    assert not found.is_equal
    (finding,) = found.findings
    assert (finding.missing, finding.waiting, finding.gap) == (1, 0, None)


async def test_whole_sensor_hour_that_is_gone_is_listed(delivered: Outbox, service_url: str, database: Database):
    await database.fetch("DELETE FROM sensor_readings WHERE sensor_id = $1", FAN)
    assert counts(await compared(delivered, service_url)) == [(FAN, HOUR, 60, 0, Cause.LOST)]


async def test_a_value_that_was_written_over_is_named_and_a_correction_is_none(
    delivered: Outbox, service_url: str, database: Database, store: Store
):
    change_one = "UPDATE sensor_readings SET value = {} WHERE sensor_id = $1 AND timestamp = {{moment}}"
    await change(database, change_one.format("value + 1"), PUMP, HOUR + 7_000_000)
    assert counts(await compared(delivered, service_url)) == [(PUMP, HOUR, 60, 60, Cause.CHANGED)]
    await change(database, change_one.format("value - 1"), PUMP, HOUR + 7_000_000)
    await correct(store, [Correction(PUMP, timestamp(HOUR + 7_000_000), 99.0)], reason="probe", by="meier")
    assert (await compared(delivered, service_url)).is_equal


async def test_a_changed_time_is_a_lost_row(delivered: Outbox, service_url: str, database: Database):
    moved = "UPDATE sensor_readings SET timestamp = timestamp + interval '1 us' WHERE sensor_id = $1"
    await change(database, moved + " AND timestamp = {moment}", PUMP, HOUR + 7_000_000)
    assert counts(await compared(delivered, service_url)) == [(PUMP, HOUR, 60, 60, Cause.LOST)]


async def test_extra_row_at_the_central_is_listed(delivered: Outbox, service_url: str, database: Database):
    extra = "INSERT INTO sensor_readings (sensor_id, timestamp, value, quality) VALUES ($1, {moment}, 1, 1)"
    await change(database, extra, FAN, HOUR + 3_000_500_000)
    found = await compared(delivered, service_url)
    assert counts(found) == [(FAN, HOUR, 60, 61, Cause.UNKNOWN_ROWS)]
    assert found.findings[0].missing == 0


async def test_what_waits_and_the_gap_that_waits_are_named(delivered: Outbox, service_url: str, database: Database):
    gone = "DELETE FROM sensor_readings WHERE sensor_id = $1 AND timestamp = {moment}"
    await change(database, gone, PUMP, HOUR)
    await change(database, gone, FAN, HOUR)
    delivered.append([block_of([*rows_of(PUMP, count=100)[60:], *rows_of("late.rms", count=3)])])
    writer = writer_to(delivered)
    loss = Loss(HOUR - 3 * HOUR_US, HOUR + 5, 12)
    await writer.put([loss_event(LossCause.EVICTED, loss, subject="gw-1", now_us=NOW_US, detail="no room")])
    await writer.flush()
    found = {one.difference.sensor_id: one for one in (await compared(delivered, service_url)).findings}
    assert {name: (one.waiting, one.gap) for name, one in found.items()} == {
        PUMP: (40, LossCause.EVICTED),
        FAN: (0, LossCause.EVICTED),
    }


# ---- every hour


class Hours:
    """Sleeps that a test lets pass one by one; the service has done its work when it sleeps again."""

    def __init__(self) -> None:
        self.slept: asyncio.Queue[float] = asyncio.Queue()
        self.wakes: asyncio.Queue[None] = asyncio.Queue()

    async def sleep(self, seconds: float) -> None:
        await self.slept.put(seconds)
        await self.wakes.get()

    async def pass_one(self) -> float:
        """Let it work once. Returns how long it sleeps then."""
        await self.wakes.put(None)
        return await self.slept.get()


async def test_service_compares_every_hour_while_it_may(delivered: Outbox, service_url: str, database: Database):
    async def ask(span: HourSpan) -> Mapping[HourKey, HourDigest]:
        if is_away:
            raise TransientSyncError("away")
        return await ask_central(service_url, span, gateway_id="gw-1", api_key=API_KEY)

    may_ask, is_away = False, False
    hours = Hours()
    service = HourlyReconciliation(
        delivered.path,
        ask,
        every_s=3_600,
        may_ask=lambda: may_ask,
        now_ns=lambda: NOW_US * 1000,
        sleep=hours.sleep,
    )
    running = asyncio.create_task(service.run())
    async with asyncio.timeout(DEADLINE_S):
        assert await hours.slept.get() == 90
        assert await hours.pass_one() == 90  # offline: looked again soon
        assert service.state.checked_at_ns is None
        may_ask = True
        assert await hours.pass_one() == 3_600
        assert (service.state.checked_at_ns, service.state.sensors, service.state.differences) == (NOW_US * 1000, 2, 0)
        assert reconcile_problem(service.state) is None
        await database.fetch("DELETE FROM sensor_readings WHERE sensor_id = $1 AND value < 1.5", FAN)
        await hours.pass_one()
        assert reconcile_problem(service.state) == (
            "the central misses 12 rows it had acknowledged in 1 sensor hour",
            "run edge-agent reconcile",
        )
        is_away = True
        await hours.pass_one()
        assert (service.state.error, service.state.missing_rows) == ("away", 12)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


async def test_service_that_is_switched_off_asks_nothing(outbox: Outbox):
    async def ask(span: HourSpan) -> Mapping[HourKey, HourDigest]:
        raise AssertionError(span)

    service = HourlyReconciliation(outbox.path, ask, every_s=0, may_ask=lambda: True)
    async with asyncio.timeout(DEADLINE_S):
        await service.run()
    assert service.state.checked_at_ns is None


async def test_service_waits_for_the_ledgers_first_hour(outbox: Outbox):
    async def ask(span: HourSpan) -> Mapping[HourKey, HourDigest]:
        raise AssertionError(span)

    service = HourlyReconciliation(outbox.path, ask, every_s=3_600, may_ask=lambda: True)
    assert not await service.check()


async def test_running_agent_says_what_the_central_misses(
    tmp_path: Path, delivered: Outbox, service_url: str, database: Database
):
    delivered.close()
    (tmp_path / "key").write_text(API_KEY)
    (tmp_path / "edge.toml").write_text(
        f"""\
[gateway]
id = "gw-1"
site = "test"
state_dir = "."
runtime_dir = "run"
[central]
url = "{service_url}"
allow_plaintext = true
api_key_file = "key"
reconcile_every_s = 0.05
[[sources]]
type = "synthetic"
name = "shaft"
asset = "rig-1"
channels = [{{ point = "de-x" }}]
"""
    )
    await database.fetch("DELETE FROM sensor_readings WHERE sensor_id = $1 AND value < 1.5", FAN)
    settings = load_settings(tmp_path / "edge.toml")
    transport = HttpsTransport(service_url, gateway_id="gw-1", api_key=API_KEY)
    agent = Agent.build(settings, clock=SystemClock(), transport=transport)
    stop = asyncio.Event()
    running = asyncio.create_task(agent.run(stop))
    try:
        async with asyncio.timeout(DEADLINE_S):
            document = await asyncio.to_thread(read_status, tmp_path / "edge.toml")
            while not (document.get("central") or {}).get("reconcile", {}).get("checked_at"):
                assert not running.done()
                await asyncio.sleep(0.05)
                document = await asyncio.to_thread(read_status, tmp_path / "edge.toml")
    finally:
        stop.set()
        await running
    missing = {"sensors": 2, "differences": 1, "missing_rows": 12, "error": None}
    assert document["central"]["reconcile"] | missing == document["central"]["reconcile"]
    problems = {problem["what"]: problem["do"] for problem in document["problems"]}
    what = "the central misses 12 rows it had acknowledged in 1 sensor hour"
    assert problems[what] == "run edge-agent reconcile"
