"""Modbus over a serial line, a serial line behind TCP, and TLS: the driver contract, real values, and the wire."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_agent.core.clock import SystemClock
from edge_agent.drivers.modbus.driver import ModbusDriver
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.errors import TransientDriverError
from tests.contract.behind_relay import BehindRelay
from tests.contract.check_driver import CHECKS
from tests.peers.processes import build_modbus_server, child, first_line
from tests.peers.relay import relay_to
from tests.peers.rtu_device import REQUEST_BYTES, RtuDevice, rtu_server
from tests.peers.scripted_modbus import Memory, Request, scripted_device
from tests.peers.serial_cable import SerialCable
from tests.support.authority import Authority

DEADLINE_S = 20.0
READS = {1, 2, 3, 4}
TAGS = [
    {"name": "m.u16", "address": 7},
    {"name": "m.f64", "address": 108, "data_type": "float64"},
    {"name": "m.input", "address": 5, "table": "input"},
    {"name": "m.coil3", "address": 3, "table": "coil", "data_type": "bool"},
    {"name": "m.discrete4", "address": 4, "table": "discrete", "data_type": "bool"},
    {"name": "m.absent", "address": 5000},
]
FILLED = {"m.u16": 7.0, "m.f64": -2.25, "m.input": 1005.0, "m.coil3": 1.0, "m.discrete4": 0.0, "m.absent": None}
MEMORY = Memory({address: address for address in range(200)}, {address: address % 3 == 0 for address in range(64)})


def driver_of(place: dict, **more) -> ModbusDriver:
    tags = [{"unit": "", **tag} for tag in TAGS]
    source = {"type": "modbus", "name": "mill", "timeout_s": 1.0, "late_answer_s": 0.1, **place, **more}
    settings = ModbusSettings.model_validate({**source, "poll_groups": [{"interval_s": 0.02, "tags": tags}]})
    return ModbusDriver(settings, SystemClock())


def on_serial(cable: SerialCable) -> dict:
    return {"transport": "rtu", "serial_port": str(cable.path), "baud_rate": 19_200}


def on_rtu_server(port: int) -> dict:
    return {"transport": "rtu_over_tcp", "host": "127.0.0.1", "port": port}


def on_tls(port: int, authority: Authority) -> dict:
    certificate, key = authority.issue(name="gateway")
    files = {"ca_file": authority.ca_file, "client_certificate_file": certificate, "client_key_file": key}
    return {"transport": "tls", "host": "127.0.0.1", "port": port, **files}


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def device_tls(authority) -> ssl.SSLContext:
    """A device's side of Modbus/TCP Security: it wants a client's certificate of the plant's CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(name="device"))
    context.load_verify_locations(authority.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def answered(request) -> bytes | None:
    return MEMORY(Request(request.function, request.address, request.count))


@dataclass
class SerialBench:
    """A device on a cable; `where` is its serial port."""

    cable: SerialCable
    where: str

    def driver(self) -> ModbusDriver:
        return driver_of(on_serial(self.cable))

    async def vanish(self) -> None:
        self.cable.unplug()

    async def come_back(self) -> None:
        self.cable.plug_in()

    def mute(self) -> None:
        self.cable.mute()

    def garble(self) -> None:
        self.cable.garble()

    def halve(self) -> None:
        self.cable.halve()

    async def until_read_is_pending(self) -> None:
        await self.cable.swallowed.wait()


@asynccontextmanager
async def serial_bench(folder: Path) -> AsyncIterator[SerialBench]:
    cable = SerialCable(folder / "line")
    cable.device = RtuDevice(answered, cable.send_to_driver).take
    cable.plug_in()
    try:
        yield SerialBench(cable, str(cable.path))
    finally:
        cable.unplug()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_driver_contract_on_a_serial_line(check, tmp_path):
    async with serial_bench(tmp_path) as bench:
        await check(bench)
        assert functions_of_frames(bench.cable.sent_by_client) <= READS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_driver_contract_over_tls(check, authority, device_tls):
    async with scripted_device(answered) as device, relay_to(device.port, device_tls) as relay:
        await check(BehindRelay(relay, lambda port: driver_of({**on_tls(1, authority), "port": port})))
        assert functions_of_headers(relay.sent_by_client) <= READS


def functions_of_frames(sent: bytes) -> set[int]:
    return set(sent[1::REQUEST_BYTES])


def functions_of_headers(sent: bytes) -> set[int]:
    return set(sent[7::12])  # each request has 12 bytes


@pytest.fixture(scope="module")
def modbus_server(request, tmp_path_factory):
    return build_modbus_server(request, tmp_path_factory.mktemp("modbus_server"))


async def test_an_independent_device_on_a_serial_line_is_read_as_it_was_filled(modbus_server, tmp_path):
    cable = SerialCable(tmp_path / "line")
    cable.plug_in()
    try:
        with child([str(modbus_server), cable.far_path]) as process:
            first_line(process)
            assert await values_of(driver_of(on_serial(cable))) == FILLED
        assert functions_of_frames(cable.sent_by_client) == READS
    finally:
        cable.unplug()


async def test_an_independent_device_behind_tls_is_read_as_it_was_filled(modbus_server, authority, device_tls):
    with child([str(modbus_server)]) as process:
        async with relay_to(int(first_line(process)), device_tls) as relay:
            assert await values_of(driver_of(on_tls(relay.port, authority))) == FILLED
            assert functions_of_headers(relay.sent_by_client) == READS


async def test_a_serial_line_behind_tcp_is_read_in_serial_frames():
    async with rtu_server(answered) as device, relay_to(device.port) as relay:
        values = await values_of(driver_of(on_rtu_server(relay.port)))
        assert functions_of_frames(relay.sent_by_client) == READS
    assert (values["m.u16"], values["m.coil3"], values["m.absent"]) == (7.0, 1.0, None)


async def values_of(driver: ModbusDriver) -> dict[str, float | None]:
    async with asyncio.timeout(DEADLINE_S):
        await driver.open()
        scan = await anext(driver.stream())
        await driver.close()
    return {reading.tag.name: reading.value for reading in scan.readings}


async def refusal_of(driver: ModbusDriver) -> TransientDriverError:
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(TransientDriverError) as caught:
            await opened_and_read(driver)
        await driver.close()
    return caught.value


async def opened_and_read(driver: ModbusDriver) -> None:
    await driver.open()
    async for _ in driver.stream():
        pass


async def test_a_device_with_a_certificate_of_another_ca_is_not_asked(authority, device_tls, tmp_path):
    async with scripted_device(answered) as device, relay_to(device.port, device_tls) as relay:
        place = on_tls(relay.port, authority) | {"ca_file": Authority(tmp_path).ca_file}
        refused = await refusal_of(driver_of(place))
        assert "its certificate is not accepted" in refused.message
        assert "ca_file" in refused.hint
        assert not relay.sent_by_client


async def test_a_certificate_for_another_name_is_accepted_under_that_name_alone(authority, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(name="named", dns="press-3.plant"))
    async with scripted_device(answered) as device, relay_to(device.port, context) as relay:
        place = on_tls(relay.port, authority)
        assert "its certificate is not accepted" in (await refusal_of(driver_of(place))).message
        values = await values_of(driver_of(place | {"server_name": "press-3.plant"}))
    assert values["m.u16"] == 7.0


async def test_a_device_that_wants_a_certificate_and_gets_none_is_named(authority, device_tls):
    async with scripted_device(answered) as device, relay_to(device.port, device_tls) as relay:
        place = on_tls(relay.port, authority)
        del place["client_certificate_file"], place["client_key_file"]
        refused = await refusal_of(driver_of(place))
    assert f"127.0.0.1:{relay.port}" in refused.message


async def test_a_device_without_tls_is_named_and_so_is_one_that_wants_it(authority, device_tls):
    async with scripted_device(answered) as device:
        refused = await refusal_of(driver_of(on_tls(device.port, authority), timeout_s=0.5))
        assert f"127.0.0.1:{device.port}" in refused.message
    async with scripted_device(answered) as device, relay_to(device.port, device_tls) as relay:
        refused = await refusal_of(driver_of({"host": "127.0.0.1", "port": relay.port}))
        assert f"127.0.0.1:{relay.port}" in refused.message


async def test_a_serial_port_that_is_not_there_or_in_use_is_named(tmp_path):
    missing = await refusal_of(driver_of({"transport": "rtu", "serial_port": str(tmp_path / "ttyUSB9")}))
    assert missing.message == f"mill: the serial port {tmp_path / 'ttyUSB9'} cannot be opened: there is no such port"
    assert "/dev/serial/by-id" in missing.hint
    async with serial_bench(tmp_path) as bench:
        first = bench.driver()
        await first.open()
        other = driver_of(on_serial(bench.cable), request_pause_ms=5)  # another line, as far as the agent can tell
        assert "cannot be opened: it is in use" in (await refusal_of(other)).message
        await first.close()
