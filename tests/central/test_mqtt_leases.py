"""Two boxes with one gateway id at one broker: the central holds one back over MQTT as it does over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from cloud_sync.central.database.leases import LeaseTerms
from cloud_sync.central.database.store import Store
from cloud_sync.central.ingress.mqtt import MqttConsumer
from cloud_sync.errors import GatewayIdInUseError, TransientSyncError
from cloud_sync.presence import Presence
from cloud_sync.records import Settlement
from cloud_sync.transports.mqtt.transport import MqttTransport
from cloud_sync.twins import About, Notice, Sender
from tests.support.boxes import GATEWAY, ORIGINAL, STRANGER, Box
from tests.support.central import Database
from tests.support.databases import DatabaseServer
from tests.support.mosquitto import Mosquitto, mosquitto

DEADLINE_S = 20.0
TRIES = 20


@pytest.fixture
def database_server(plain_server: DatabaseServer) -> DatabaseServer:
    return plain_server


@pytest.fixture(scope="module")
def server() -> Iterator[Mosquitto]:
    with mosquitto(users={GATEWAY: "right", "central": "also-right"}) as server:
        yield server


@pytest.fixture
async def consumer(server: Mosquitto, database: Database) -> AsyncIterator[None]:
    async with Store(database.url, lease=LeaseTerms(refresh_s=0.0)) as store:
        consumer = MqttConsumer(server.broker("central", "also-right"), store)
        running = asyncio.create_task(consumer.run())
        await asyncio.wait_for(consumer.listening.wait(), DEADLINE_S)
        yield
        running.cancel()
        await asyncio.wait([running])


def mqtt_box(server: Mosquitto, sender: Sender) -> Box:
    presence = Presence()
    presence.begin(sender)
    transport = MqttTransport(server.broker(GATEWAY, "right"), gateway_id=GATEWAY, presence=presence)
    return Box(transport, presence, [])


async def settled(box: Box) -> Settlement:
    """Send again while the two put each other out at the broker: both have the client id of their gateway."""
    for _ in range(TRIES):
        try:
            return await box.send()
        except TransientSyncError:
            await asyncio.sleep(0.05)
    raise AssertionError("it did not get through")


async def held_back(box: Box) -> Notice:
    for _ in range(TRIES):
        try:
            await box.send()
        except TransientSyncError:
            await asyncio.sleep(0.05)
        except GatewayIdInUseError as held:
            return held.notice
    raise AssertionError("it was not held back")


@pytest.mark.usefixtures("consumer")
async def test_the_other_box_is_held_back_and_both_are_told(server: Mosquitto, database: Database):
    first, second = mqtt_box(server, ORIGINAL), mqtt_box(server, STRANGER)
    await settled(first)
    for _ in range(2):
        notice = await held_back(second)
        assert (notice.about, notice.kind, notice.other.run) == (About.HELD, "duplicate", ORIGINAL.run)
        assert notice.other.address == "over MQTT"
    await settled(first)
    twin = first.presence.twin
    assert twin is not None
    assert (twin.notice.about, twin.notice.other.run) == (About.TWIN, STRANGER.run)
    assert await database.count("sensor_readings") == len(first.taken)
    await second.transport.close()
    await first.transport.close()
