"""A gateway that sends too fast over MQTT: what it is told, what it costs, and what is counted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from cloud_sync import wire
from cloud_sync.central.database.shares import FairShare, ShareLimits, Shares
from cloud_sync.central.database.store import Store
from cloud_sync.central.database.upkeep import Upkeep
from cloud_sync.central.ingress.http import create_app
from cloud_sync.central.ingress.mqtt import MqttConsumer
from cloud_sync.central.ingress.rate_limits import RateLimiter, RateLimits
from cloud_sync.central.server import Listen, ServerPolicy, running, serve_database
from cloud_sync.errors import BatchRefusedError, TransientSyncError
from cloud_sync.records import Batch
from cloud_sync.transports.https import HttpsTransport
from cloud_sync.transports.mqtt.transport import MqttTransport
from tests.contract.check_transport import GATEWAY, rms, rows
from tests.support.central import API_KEY, Database
from tests.support.databases import DatabaseServer
from tests.support.mosquitto import Mosquitto, mosquitto

DEADLINE_S = 30.0
BODY = wire.encode(Batch(GATEWAY, rows(20)))
SPENT_BY_ONE = [RateLimits(rows_per_s=0.01, row_burst=10), RateLimits(requests_per_s=0.01, request_burst=1)]


@pytest.fixture
def database_server(plain_server: DatabaseServer) -> DatabaseServer:
    return plain_server


@pytest.fixture(scope="module")
def server() -> Iterator[Mosquitto]:
    with mosquitto(users={GATEWAY: "right", "central": "also-right"}) as server:
        yield server


@contextlib.asynccontextmanager
async def consuming(server: Mosquitto, store: Store, limiter: RateLimiter) -> AsyncIterator[MqttTransport]:
    """A gateway's transport with a consumer behind it."""
    consumer = MqttConsumer(server.broker("central", "also-right"), store, limiter=limiter)
    running = asyncio.create_task(consumer.run())
    transport = MqttTransport(server.broker(GATEWAY, "right"), gateway_id=GATEWAY)
    try:
        await asyncio.wait_for(consumer.listening.wait(), DEADLINE_S)
        yield transport
    finally:
        await transport.close()
        running.cancel()
        await asyncio.wait([running])


@pytest.mark.parametrize("limits", SPENT_BY_ONE)
async def test_who_sends_too_fast_is_told_when_to_come_back(
    server: Mosquitto, store: Store, database: Database, limits: RateLimits
):
    async with consuming(server, store, RateLimiter(limits)) as transport:
        first = await transport.send(BODY, batch_id="b1")
        with pytest.raises(TransientSyncError, match=f"gateway {GATEWAY} sends too fast") as caught:
            await transport.send(BODY, batch_id="b2")
    assert first.accepted == 20
    assert caught.value.retry_after_s is not None
    assert 1 <= caught.value.retry_after_s <= 1_100
    assert await database.count("sensor_readings") == 20
    assert f'edge_central_rate_limited_total{{gateway="{GATEWAY}"}} 1' in store.metrics.text(database_up=True)


async def test_what_cannot_be_read_is_counted_as_a_request(server: Mosquitto, store: Store):
    limiter = RateLimiter(RateLimits(requests_per_s=0.01, request_burst=1))
    async with consuming(server, store, limiter) as transport:
        with pytest.raises(BatchRefusedError):
            await transport.send(b"nonsense", batch_id="b1")
        with pytest.raises(TransientSyncError, match="too fast"):
            await transport.send(BODY, batch_id="b2")


async def test_bytes_are_counted_as_they_came_and_not_those_of_a_batch_turned_away(server: Mosquitto, store: Store):
    limiter = RateLimiter(RateLimits(requests_per_s=0.01, request_burst=2))
    async with consuming(server, store, limiter) as transport:
        await transport.send(BODY, batch_id="b1")
        with pytest.raises(BatchRefusedError):
            await transport.send(b"nonsense", batch_id="b2")
        with pytest.raises(TransientSyncError, match="too fast"):
            await transport.send(BODY, batch_id="b3")
    expected = f'edge_central_received_bytes_total{{gateway="{GATEWAY}"}} {len(BODY) + len(b"nonsense")}'
    assert expected in store.metrics.text(database_up=True).splitlines()


async def test_a_batch_without_a_turn_is_told_to_come_again_and_then_stored(server: Mosquitto, store: Store):
    limits = ShareLimits(at_once=1, each=1, waiting=0, waiting_each=0)
    store.shares = Shares(ingest=FairShare(limits))
    async with consuming(server, store, RateLimiter(RateLimits())) as transport:
        async with store.shares.ingest.turn("another"):
            with pytest.raises(TransientSyncError, match="more to do than it can") as caught:
                await transport.send(BODY, batch_id="b1")
        async with store.shares.ingest.turn(GATEWAY):
            with pytest.raises(TransientSyncError, match=f"gateway {GATEWAY} has too many requests"):
                await transport.send(BODY, batch_id="b1")
        assert caught.value.retry_after_s is not None
        assert (await transport.send(BODY, batch_id="b1")).accepted == 20


async def test_no_answer_over_mqtt_repeats_what_is_too_long(server: Mosquitto, store: Store):
    long = [rms("long.type", "z" * 1_000_000), replace(rms("long.meta"), metadata={"a": "m" * 300_000})]
    async with consuming(server, store, RateLimiter(RateLimits())) as transport:
        for series in long:
            settlement = await transport.send(wire.encode(Batch(GATEWAY, rows(300, series))), batch_id="b1")
            assert len(settlement.refused) == 300
            assert sum(len(refusal.detail) for refusal in settlement.refused) < 50_000


async def test_two_transports_are_no_two_allowances(server: Mosquitto, store: Store):
    limiter = RateLimiter(SPENT_BY_ONE[0])
    async with (
        consuming(server, store, limiter) as over_mqtt,
        running(create_app(store, limiter=limiter), Listen()) as url,
    ):
        await over_mqtt.send(BODY, batch_id="b1")
        over_https = HttpsTransport(url, gateway_id=GATEWAY, api_key=API_KEY)
        with pytest.raises(TransientSyncError, match="429"):
            await over_https.send(BODY, batch_id="b2")
        await over_https.close()


async def test_a_central_that_serves_both_transports_gives_them_one_allowance(
    server: Mosquitto, store: Store, database: Database
):
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve_database(
            database.url,
            Listen(),
            ready=lambda url, _: ready.set_result(url),
            exit_with_parent=False,
            broker=server.broker("central", "also-right"),
            policy=ServerPolicy(SPENT_BY_ONE[0], Upkeep(retention_days=0)),
        )
    )
    over_mqtt = MqttTransport(server.broker(GATEWAY, "right"), gateway_id=GATEWAY)
    over_https = HttpsTransport(await asyncio.wait_for(ready, DEADLINE_S), gateway_id=GATEWAY, api_key=API_KEY)
    try:
        assert (await over_https.send(BODY, batch_id="b1")).accepted == 20
        assert "sends too fast" in await first_words(over_mqtt)
    finally:
        await over_mqtt.close()
        await over_https.close()
        serving.cancel()
        await asyncio.wait([serving])


async def first_words(transport: MqttTransport) -> str:
    """What the central answers, once it listens at the broker."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with pytest.raises(TransientSyncError) as caught:
                await transport.send(BODY, batch_id="b2")
            if "no central listens" not in caught.value.message:
                return caught.value.message
