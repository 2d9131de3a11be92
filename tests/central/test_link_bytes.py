"""What the meter counts is what a relay on the way carried, over HTTPS and MQTT with TLS, to a real central."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest

from cloud_sync import wire
from cloud_sync.central.database.store import Store
from cloud_sync.central.ingress.http import create_app
from cloud_sync.central.ingress.mqtt import MqttConsumer
from cloud_sync.central.server import Listen, running
from cloud_sync.errors import TransientSyncError
from cloud_sync.records import Batch, Settlement
from cloud_sync.transports.base import Transport
from cloud_sync.transports.connection import ConnectionOptions, LinkUse
from cloud_sync.transports.https import HttpsTransport
from cloud_sync.transports.link_meter import LinkMeter
from cloud_sync.transports.mqtt.broker import Broker, Tls
from cloud_sync.transports.mqtt.transport import MqttTransport
from tests.contract.check_transport import GATEWAY
from tests.soak.link_bytes import API_KEY as SOAK_KEY
from tests.soak.link_bytes import Case, measured
from tests.support.authority import Authority
from tests.support.blocks import rows
from tests.support.central import API_KEY
from tests.support.counting_relay import CountingRelay, counting_relay
from tests.support.databases import DatabaseServer, remove, short_folder
from tests.support.mosquitto import mosquitto
from tests.support.writing import until

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    folder = short_folder()
    yield Authority(folder)
    remove(folder)


@pytest.fixture
def database_server(plain_server: DatabaseServer) -> DatabaseServer:
    return plain_server


@contextlib.asynccontextmanager
async def over_https(
    store: Store, authority: Authority, use: LinkUse
) -> AsyncIterator[tuple[Transport, CountingRelay]]:
    certificate, key = authority.issue(name="central")
    async with (
        running(create_app(store), Listen(tls_cert=certificate, tls_key=key)) as url,
        counting_relay("127.0.0.1", urlsplit(url).port or 0) as relay,
    ):
        where = f"https://127.0.0.1:{relay.port}"
        transport = HttpsTransport(
            where, gateway_id=GATEWAY, api_key=API_KEY, connection=ConnectionOptions(authority.ca_file, use=use)
        )
        async with closing(transport):
            yield transport, relay


@contextlib.asynccontextmanager
async def over_mqtt(store: Store, authority: Authority, use: LinkUse) -> AsyncIterator[tuple[Transport, CountingRelay]]:
    certificate, key = authority.issue(name="broker")
    for path in (authority.ca_file, certificate, key):
        path.chmod(0o644)  # the broker reads them as the user it becomes
    with mosquitto(lines=(f"certfile {certificate}", f"keyfile {key}")) as server:
        consumer = MqttConsumer(Broker("127.0.0.1", server.port, Tls(authority.ca_file)), store)
        task = asyncio.create_task(consumer.run())
        try:
            async with asyncio.timeout(DEADLINE_S), counting_relay("127.0.0.1", server.port) as relay:
                await consumer.listening.wait()
                broker = Broker("127.0.0.1", relay.port, Tls(authority.ca_file))
                transport = MqttTransport(broker, gateway_id=GATEWAY, connection=ConnectionOptions(use=use))
                async with closing(transport):
                    yield transport, relay
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=DEADLINE_S)


@contextlib.asynccontextmanager
async def closing(transport: Transport) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await transport.close()


WAYS = {"https": over_https, "mqtt": over_mqtt}


@pytest.mark.parametrize("way", WAYS)
async def test_meter_counts_what_a_relay_carried(way: str, store: Store, authority: Authority):
    meter = LinkMeter()
    bodies = [wire.encode(Batch(GATEWAY, tuple(rows(20, first=20 * n)))) for n in range(3)]
    async with WAYS[way](store, authority, LinkUse(meter)) as (transport, relay):
        for number, body in enumerate(bodies):
            assert await transport.send(body, batch_id=f"b{number}") == Settlement(20, 0)
        await until(lambda: meter.total.wire == relay.carried)  # the last PUBACK goes out after the answer
        total = meter.total
    assert relay.connections == 1
    assert total.payload == sum(map(len, bodies))
    assert total.wire == total.payload + total.headers + total.tls
    assert total.headers > 3 * 100
    assert total.tls > 1_000  # a handshake
    assert total.tcp_ip >= 52 * 2 * 3


@pytest.mark.parametrize("way", WAYS)
async def test_sparing_link_carries_less_around_the_same_batch(way: str, store: Store, authority: Authority):
    body = wire.encode(Batch(GATEWAY, tuple(rows(20))))
    headers = []
    for is_sparing in (False, True):
        meter = LinkMeter()
        async with WAYS[way](store, authority, LinkUse(meter, is_sparing=is_sparing)) as (transport, _):
            await transport.send(body, batch_id="b1")
        headers.append(meter.total.headers)  # closed: every acknowledgement has gone out
    assert headers[1] <= headers[0] - 40


async def test_failed_handshake_is_counted(store: Store, authority: Authority):
    meter = LinkMeter()
    async with over_https(store, authority, LinkUse()) as (_, relay):
        where = f"https://127.0.0.1:{relay.port}"
        stranger = HttpsTransport(
            where, gateway_id=GATEWAY, api_key=API_KEY, connection=ConnectionOptions(use=LinkUse(meter))
        )
        async with closing(stranger):
            with pytest.raises(TransientSyncError):
                await stranger.send(b"", batch_id="b1")
        assert meter.total.carried == meter.total.payload == 0
        assert meter.total.tls >= 500


@pytest.mark.parametrize("way", WAYS)
async def test_idle_gateway_on_a_metered_link_stays_under_30_bytes_a_reading_and_10_kb_an_hour(
    way: str, store: Store, authority: Authority
):
    await store.add_key(SOAK_KEY, gateway_id=GATEWAY)
    _, hour = await measured(Case(way, "metered", 1, 60.0), store, authority)
    assert hour.readings == 180
    assert hour.each < 30
    assert hour.bytes < 10_000
    assert hour.connections == 0
