"""The transport contract over a real broker, the consumer and a real database, as usual: MQTT 5, QoS 1."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from cloud_sync.central.database.store import Store
from cloud_sync.central.ingress.bodies import BodyLimits
from cloud_sync.central.ingress.mqtt import MqttConsumer
from cloud_sync.transports.mqtt.broker import Broker
from cloud_sync.transports.mqtt.options import ProtocolOptions
from cloud_sync.transports.mqtt.transport import MqttTransport
from tests.contract.check_transport import CHECKS, GATEWAY
from tests.support.central import MAX_BODY_BYTES, Database
from tests.support.mosquitto import BrokerRelay, Mosquitto, mosquitto, relaying_broker
from tests.support.relay import page

DEADLINE_S = 20.0


class MqttBench:
    max_body_bytes = MAX_BODY_BYTES

    def __init__(self, relay: BrokerRelay, broker: Broker, database: Database) -> None:
        self._relay = relay
        self._database = database
        self.transport = MqttTransport(replace(broker, port=relay.port), gateway_id=GATEWAY)
        self.stranger = MqttTransport(replace(broker, password="wrong"), gateway_id=GATEWAY)  # noqa: S106 (invented)

    async def keys(self) -> set[tuple[str, int] | str]:
        return await self._database.keys()

    async def lose_next_answer(self) -> None:
        self._relay.drop_next_answer = True

    async def go_down(self) -> None:
        await self._database.server.kill()

    async def come_up(self) -> None:
        await self._database.server.start()

    async def put_somebody_between(self, status: int) -> None:
        self._relay.answer_instead(lambda _: page(status))

    async def let_through(self) -> None:
        self._relay.answer_instead(None)

    async def fall_silent(self) -> asyncio.Event:
        self._relay.silent = True
        return self._relay.heard


@pytest.fixture(scope="module")
def server() -> Iterator[Mosquitto]:
    with mosquitto(users={GATEWAY: "right", "central": "also-right"}) as server:
        yield server


@contextlib.asynccontextmanager
async def benched(
    server: Mosquitto, store: Store, database: Database, ours: ProtocolOptions, the_centrals: ProtocolOptions
) -> AsyncIterator[MqttBench]:
    limits = BodyLimits(body_bytes=MAX_BODY_BYTES, decoded_bytes=1_000_000, rows=1_000)
    broker = replace(server.broker("central", "also-right"), options=the_centrals)
    consumer = MqttConsumer(broker, store, limits=limits)
    running = asyncio.create_task(consumer.run())
    async with relaying_broker(server.port) as relay:
        await asyncio.wait_for(consumer.listening.wait(), DEADLINE_S)
        bench = MqttBench(relay, replace(server.broker(GATEWAY, "right"), options=ours), database)
        yield bench
        await bench.transport.close()
        await bench.stranger.close()
    running.cancel()
    await asyncio.wait([running])


@pytest.fixture
async def bench(server: Mosquitto, store: Store, database: Database) -> AsyncIterator[MqttBench]:
    async with benched(server, store, database, ProtocolOptions(), ProtocolOptions()) as bench:
        yield bench


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_mqtt_transport_keeps_the_contract(check, bench: MqttBench) -> None:
    await check(bench)
