"""The transport contract in every version of MQTT that is spoken, and between ends that speak different ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Literal

import pytest

from cloud_sync.central.database.store import Store
from cloud_sync.errors import BatchRefusedError
from cloud_sync.transports.mqtt.options import ProtocolOptions, ProtocolVersion
from tests.central.test_mqtt_contract import MqttBench, benched
from tests.contract.check_transport import CHECKS, GATEWAY, check_same_batch_twice_counts_once
from tests.support.central import Database
from tests.support.databases import DatabaseServer
from tests.support.mosquitto import Mosquitto, mosquitto


def speaking(version: ProtocolVersion, qos: Literal[1, 2] = 1, prefix: str = "") -> ProtocolOptions:
    return ProtocolOptions(version, qos, topic_prefix=prefix)


SPOKEN = {
    "5 QoS 2": speaking("5", 2),
    "3.1.1": speaking("3.1.1"),
    "3.1.1 QoS 2 below a prefix": speaking("3.1.1", 2, "plant/a"),
}
MIXED = {  # the gateway's, the central's
    "5 to 3.1.1": (speaking("5"), speaking("3.1.1")),
    "3.1.1 to 5": (speaking("3.1.1"), speaking("5")),
}


@pytest.fixture
def database_server(plain_server: DatabaseServer) -> DatabaseServer:
    return plain_server


@pytest.fixture(scope="module")
def server() -> Iterator[Mosquitto]:
    with mosquitto(users={GATEWAY: "right", "central": "also-right"}) as server:
        yield server


@pytest.fixture(params=SPOKEN.values(), ids=SPOKEN)
async def bench(
    request: pytest.FixtureRequest, server: Mosquitto, store: Store, database: Database
) -> AsyncIterator[MqttBench]:
    async with benched(server, store, database, request.param, request.param) as bench:
        yield bench


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_every_version_keeps_the_contract(check, bench: MqttBench) -> None:
    await check(bench)


@pytest.mark.parametrize("spoken", MIXED.values(), ids=MIXED)
async def test_the_two_ends_need_not_speak_one_version(
    server: Mosquitto, store: Store, database: Database, spoken: tuple[ProtocolOptions, ProtocolOptions]
) -> None:
    async with benched(server, store, database, *spoken) as bench:
        await check_same_batch_twice_counts_once(bench)
        with pytest.raises(BatchRefusedError):
            await bench.transport.send(b"nonsense", batch_id="b3")
        assert bench.transport.unexpected_total == 0
