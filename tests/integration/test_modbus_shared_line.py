"""Modbus sources on one line: one connection, turns, and late answers that are never the next one's."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager, suppress

import pytest

from edge_agent.core.clock import SystemClock
from edge_agent.core.tags import Scan
from edge_agent.drivers.modbus.driver import ModbusDriver
from edge_agent.drivers.modbus.plan import RegisterBlock
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.modbus.transport import bus
from edge_agent.drivers.modbus.transport.answers import ConnectionLost, NoAnswer, StrangeAnswer
from edge_agent.drivers.modbus.transport.connection import DeviceConnection
from tests.peers.rtu_device import UnitRequest, rtu_server
from tests.peers.rtu_frames import rtu_frame
from tests.peers.scripted_modbus import Request, mbap_frame, register_answer, scripted_device

DEADLINE_S = 20.0
FOR_LONG_S = 600.0


def settings_of(port: int, unit: int = 1, **more) -> ModbusSettings:
    tags = [{"name": f"m{unit}.value", "unit": "", "address": 0}]
    place = {"type": "modbus", "name": f"unit-{unit}", "host": "127.0.0.1", "port": port, "unit_id": unit}
    groups = [{"interval_s": 0.02, "tags": tags}]
    return ModbusSettings.model_validate({"timeout_s": 1.0, **place, "poll_groups": groups, **more})


def rtu_settings(port: int, unit: int = 1, **more) -> ModbusSettings:
    return settings_of(port, unit, transport="rtu_over_tcp", **{"timeout_s": 0.5, "late_answer_s": FOR_LONG_S, **more})


def register(address: int) -> RegisterBlock:
    return RegisterBlock("holding", address, 1, ())


@asynccontextmanager
async def connected(*settings: ModbusSettings):
    connections = [DeviceConnection(each, SystemClock()) for each in settings]
    async with asyncio.timeout(DEADLINE_S):
        for connection in connections:
            await connection.open()
        yield connections
        for connection in connections:
            await connection.close()


def own_address(request: UnitRequest | Request) -> bytes:
    return register_answer(request.function, [request.address + 1_000 * request.unit] * request.count)


def but_not_40(request: UnitRequest | Request) -> bytes | None:
    return None if request.address == 40 else own_address(request)


async def until(device, count: int) -> None:
    while len(device.requests) < count:
        await asyncio.sleep(0.001)


async def test_a_late_answer_on_a_serial_line_is_never_the_next_ones():
    """Asked for 70, the value of 40 came: the device answers 40 after its time-out."""
    async with rtu_server(but_not_40) as device, connected(rtu_settings(device.port)) as (line,):
        with pytest.raises(NoAnswer):
            await line.read(register(40))
        next_read = asyncio.create_task(line.read(register(70)))
        await asyncio.sleep(0.05)
        assert [request.address for request in device.requests] == [40], "70 is asked for before 40 is out of the way"
        device.send(rtu_frame(1, register_answer(3, [1_040])))
        assert await next_read == [1_070]
    assert [request.address for request in device.requests] == [40, 70]


async def test_a_late_answer_is_waited_for_also_after_a_cancelled_request_and_over_a_new_connection():
    async with rtu_server(but_not_40) as device, connected(rtu_settings(device.port)) as (line,):
        reading = asyncio.create_task(line.read(register(40)))
        await until(device, 1)
        reading.cancel()
        await asyncio.wait([reading])
        await line.close()
        await line.open()
        next_read = asyncio.create_task(line.read(register(70)))
        await asyncio.sleep(0.05)
        assert len(device.requests) == 1
        assert device.connections_total == 2
        device.send(rtu_frame(1, register_answer(3, [1_040])))
        assert await next_read == [1_070]


async def test_a_late_answer_is_waited_for_also_when_the_connection_ended_under_its_request():
    """The serial server closes while 40 is on its way; asked again, the device answers it twice."""
    async with rtu_server(own_address) as device, connected(rtu_settings(device.port)) as (line,):

        def close_under_it(request: UnitRequest) -> None:
            device.script = own_address
            device.hang_up()

        device.script = close_under_it
        assert await line.read(register(40)) == [1_040]
        next_read = asyncio.create_task(line.read(register(70)))
        await asyncio.sleep(0.05)
        assert [request.address for request in device.requests] == [40, 40]
        assert device.connections_total == 2
        device.send(rtu_frame(1, register_answer(3, [1_040])))
        assert await next_read == [1_070]


async def test_a_serial_server_that_closes_after_each_answer_owes_none():
    async with rtu_server(own_address) as device, connected(rtu_settings(device.port)) as (line,):
        send = device.send

        def close_after(data: bytes) -> None:
            send(data)
            device.hang_up()

        device.send = close_after
        assert [await line.read(register(address)) for address in (40, 70, 71)] == [[1_040], [1_070], [1_071]]
        assert device.connections_total == 3


async def test_while_one_unit_owes_an_answer_the_others_are_read_and_its_answer_is_not_theirs():
    async with (
        rtu_server(but_not_40) as device,
        connected(rtu_settings(device.port, 1), rtu_settings(device.port, 2)) as (first, second),
    ):
        with pytest.raises(NoAnswer):
            await first.read(register(40))
        assert await second.read(register(70)) == [2_070]
        device.script = lambda request: None
        reading = asyncio.create_task(second.read(register(71)))
        await until(device, 3)
        device.send(rtu_frame(1, register_answer(3, [1_040])) + rtu_frame(2, register_answer(3, [2_071])))
        assert await reading == [2_071]
        device.script = own_address
        assert await first.read(register(70)) == [1_070]


async def test_a_doubled_answer_on_a_serial_line_is_not_the_next_ones():
    async with rtu_server(own_address) as device, connected(rtu_settings(device.port)) as (line,):
        send = device.send
        device.send = lambda data: send(data * 2)
        assert [await line.read(register(address)) for address in (40, 70, 71)] == [[1_040], [1_070], [1_071]]


async def test_without_a_late_answer_the_unit_is_asked_again_after_a_while():
    async with rtu_server(but_not_40) as device:
        settings = rtu_settings(device.port, late_answer_s=0.05)
        async with connected(settings) as (line,):
            with pytest.raises(NoAnswer):
                await line.read(register(40))
            assert await line.read(register(70)) == [1_070]


@asynccontextmanager
async def gateway_for_one():
    """A gateway that takes one connection, and closes every further one at once."""
    async with scripted_device(own_address) as device:
        open_connections: list[asyncio.StreamWriter] = []

        async def serve(reader, writer) -> None:
            if open_connections:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.close()
                return
            open_connections.append(writer)
            await device.serve(reader, writer)
            open_connections.remove(writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        device.port = server.sockets[0].getsockname()[1]
        yield device
        server.close()


async def scans_of(driver: ModbusDriver, count: int) -> list[Scan]:
    await driver.open()
    items = []
    async for item in driver.stream():
        items.append(item)
        if len(items) == count:
            break
    await driver.close()
    return items


async def test_three_units_behind_a_gateway_that_takes_one_connection_are_all_read():
    async with gateway_for_one() as device, asyncio.timeout(DEADLINE_S):
        drivers = [ModbusDriver(settings_of(device.port, unit), SystemClock()) for unit in (1, 2, 3)]
        scans = await asyncio.gather(*(scans_of(driver, 5) for driver in drivers))
        await device.hung_up.wait()
    values = [{reading.value for scan in of_unit for reading in scan.readings} for of_unit in scans]
    assert values == [{1_000.0}, {2_000.0}, {3_000.0}]
    assert device.connections_total == 1


async def test_a_dead_unit_leaves_the_others_their_turns():
    async with (
        scripted_device(lambda request: None if request.unit == 2 else own_address(request)) as device,
        connected(*(settings_of(device.port, unit, timeout_s=0.1) for unit in (1, 2, 3))) as connections,
    ):

        async def read_for_ever(connection: DeviceConnection) -> None:
            while True:
                with suppress(NoAnswer, ConnectionLost):
                    await connection.read(register(0))

        readers = [asyncio.create_task(read_for_ever(connection)) for connection in connections]
        while [request.unit for request in device.requests].count(2) < 5:
            await asyncio.sleep(0.01)
        for reader in readers:
            reader.cancel()
        await asyncio.wait(readers)
    asked = "".join(str(request.unit) for request in device.requests)
    between = asked.split("2")[1:-1]
    assert all("1" in turns and "3" in turns for turns in between), asked


async def test_the_last_source_that_leaves_closes_the_connection():
    async with scripted_device(own_address) as device:
        first, second = (DeviceConnection(settings_of(device.port, unit), SystemClock()) for unit in (1, 2))
        async with asyncio.timeout(DEADLINE_S):
            await first.open()
            await second.open()
            reading = asyncio.create_task(first.read(register(7)))
            reading.cancel()
            await first.close()
            assert await second.read(register(7)) == [2_007]
            assert not device.hung_up.is_set()
            await second.close()
            await device.hung_up.wait()
    assert device.connections_total == 1


async def test_a_late_answer_over_tcp_is_told_by_its_transaction_id():
    """The connection stays, also for the others; the late answer comes right before the next one."""
    late = mbap_frame(1, 1, register_answer(3, [1_040]))

    async with scripted_device(but_not_40) as device, connected(settings_of(device.port, timeout_s=0.5)) as (line,):
        with pytest.raises(NoAnswer):
            await line.read(register(40))
        device.before_answer = late
        assert await line.read(register(70)) == [1_070]
    assert device.connections_total == 1


async def test_a_device_that_closes_after_each_answer_is_read_without_a_loss():
    async with scripted_device(own_address) as device:
        device.closes_after_answer = True
        async with connected(settings_of(device.port)) as (line,):
            assert [await line.read(register(address)) for address in range(5)] == [[1_000 + a] for a in range(5)]
    assert device.connections_total == 5
    assert line.figures()["timeouts_total"] == 0


async def test_a_connection_that_was_forgotten_while_it_was_idle_is_made_anew(monkeypatch):
    """A firewall between drops what comes over it, and says nothing."""
    monkeypatch.setattr(bus, "IDLE_S", 0.0)
    async with scripted_device(own_address) as device, connected(settings_of(device.port, timeout_s=0.5)) as (line,):
        assert await line.read(register(5)) == [1_005]
        device.script = lambda request: None if request.connection == 1 else own_address(request)
        assert await line.read(register(6)) == [1_006]
    assert device.connections_total == 2


async def test_nothing_that_a_device_sends_reaches_the_log(caplog):
    """A frame that cannot be read is named to who asked; no callback of the event loop fails."""
    answers = [b"\x03\x20\x00\x01", b"\x83", b"\x03", b"\x2b\x0e\x01", bytes(200), b"\xff" * 250, b""]
    async with (
        scripted_device(lambda request: answers[request.address]) as device,
        connected(settings_of(device.port, timeout_s=0.5)) as (line,),
    ):
        for address in range(len(answers)):
            with pytest.raises(StrangeAnswer, match="asked unit 1 for 1 holding register from"):
                await line.read(register(address))
    assert not caplog.records


async def test_a_line_that_is_closed_after_reading_is_opened_for_the_next_pass():
    async with scripted_device(own_address) as device, asyncio.timeout(DEADLINE_S):
        scans = await scans_of(ModbusDriver(settings_of(device.port, close_after_read=True), SystemClock()), 3)
    assert [scan.readings[0].value for scan in scans] == [1_000.0] * 3
    assert device.connections_total == 3


async def test_a_device_that_is_not_ready_at_once_is_given_its_pauses():
    """It answers nothing that comes within 30 ms of the connection, or of its own last answer."""
    ready_s = 0.0
    loop = asyncio.get_running_loop()

    def script(request: Request) -> bytes | None:
        nonlocal ready_s
        if len(device.requests) == 1:
            ready_s = device.connected_s + 0.03
        is_ready, ready_s = loop.time() >= ready_s, loop.time() + 0.03
        return own_address(request) if is_ready else None

    async with scripted_device(script) as device:
        settings = settings_of(device.port, connect_delay_ms=60, request_pause_ms=60)
        async with connected(settings) as (line,):
            assert [await line.read(register(address)) for address in range(3)] == [[1_000], [1_001], [1_002]]
