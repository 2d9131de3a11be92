"""The driver contract on Modbus, over an independent device (libmodbus), and its values and wire."""

from __future__ import annotations

import asyncio
import signal

import pytest

from edge_agent.core.clock import SystemClock
from edge_agent.core.quality import Quality
from edge_agent.core.tags import Scan
from edge_agent.drivers.modbus.driver import ModbusDriver
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.errors import TransientDriverError
from tests.contract.behind_relay import BehindRelay
from tests.contract.check_driver import CHECKS
from tests.peers.processes import build_modbus_server, child, first_line
from tests.peers.relay import relay_to

DEADLINE_S = 10.0
READS = {1, 2, 3, 4}

TAGS = [
    {"name": "m.u16", "address": 7},
    {"name": "m.abcd", "address": 100, "data_type": "float32", "order": "ABCD"},
    {"name": "m.cdab", "address": 102, "data_type": "float32", "order": "CDAB"},
    {"name": "m.badc", "address": 104, "data_type": "float32", "order": "BADC"},
    {"name": "m.dcba", "address": 106, "data_type": "float32", "order": "DCBA"},
    {"name": "m.f64", "address": 108, "data_type": "float64"},
    {"name": "m.input", "address": 5, "table": "input"},
    {"name": "m.coil3", "address": 3, "table": "coil", "data_type": "bool"},
    {"name": "m.coil4", "address": 4, "table": "coil", "data_type": "bool"},
    {"name": "m.discrete3", "address": 3, "table": "discrete", "data_type": "bool"},
    {"name": "m.absent", "address": 5000},
]


def settings(port: int, **more) -> ModbusSettings:
    tags = [{"unit": "", **tag} for tag in TAGS]
    place = {"type": "modbus", "name": "mill", "host": "127.0.0.1", "port": port, "timeout_s": 1.0}
    return ModbusSettings.model_validate({**place, "poll_groups": [{"interval_s": 0.02, "tags": tags}], **more})


@pytest.fixture(scope="module")
def modbus_server(request, tmp_path_factory):
    return build_modbus_server(request, tmp_path_factory.mktemp("modbus_server"))


@pytest.fixture
def device(modbus_server):
    with child([str(modbus_server)]) as process:
        yield process, int(first_line(process))


@pytest.fixture
async def bench(device):
    _, port = device
    async with relay_to(port) as relay:
        yield BehindRelay(relay, lambda port: ModbusDriver(settings(port), SystemClock()))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_driver_contract(check, bench):
    await check(bench)
    assert set(functions_in(bench.relay.sent_by_client)) <= READS


async def test_an_independent_device_is_read_as_it_was_filled(device):
    _, port = device
    driver = ModbusDriver(settings(port), SystemClock())
    await driver.open()
    scan = await anext(driver.stream())
    await driver.close()
    assert isinstance(scan, Scan)
    assert {reading.tag.name: reading.value for reading in scan.readings} == {
        "m.u16": 7.0, "m.abcd": 12.5, "m.cdab": 12.5, "m.badc": 12.5, "m.dcba": 12.5, "m.f64": -2.25,
        "m.input": 1005.0, "m.coil3": 1.0, "m.coil4": 0.0, "m.discrete3": 1.0, "m.absent": None,
    }  # fmt: skip
    assert scan.readings[-1].quality is Quality.BAD
    assert scan.readings[-1].status == "exception 2 illegal data address"


async def test_every_request_on_the_wire_is_a_read(device):
    _, port = device
    async with relay_to(port) as relay:
        driver = ModbusDriver(settings(relay.port), SystemClock())
        await driver.open()
        async with asyncio.timeout(DEADLINE_S):
            stream = driver.stream()
            for _ in range(20):
                await anext(stream)
        await driver.close()
        functions = functions_in(relay.sent_by_client)
    assert set(functions) == READS
    assert len(functions) >= 80


async def test_a_frozen_device_is_lost_and_works_again_when_it_thaws(device):
    process, port = device
    driver = ModbusDriver(settings(port, timeout_s=0.3), SystemClock())
    await driver.open()
    stream = driver.stream()
    await anext(stream)
    process.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(TransientDriverError, match=f"127.0.0.1:{port}"):
            [item async for item in stream]
        process.send_signal(signal.SIGCONT)
        await driver.open()
        scan = await anext(driver.stream())
    await driver.close()
    assert {reading.value for reading in scan.readings if reading.tag.name in ("m.abcd", "m.dcba")} == {12.5}


def functions_in(stream: bytes) -> list[int]:
    """The function codes of the requests in a stream of Modbus TCP frames (MBAP: length at 4, function at 7)."""
    functions = []
    rest = bytes(stream)
    while len(rest) >= 8:
        functions.append(rest[7])
        rest = rest[6 + int.from_bytes(rest[4:6], "big") :]
    return functions
