"""A scan finds what can be read, with a bound on what it asks, and says what it left."""

from __future__ import annotations

import asyncio

import pytest

from edge_agent.core.clock import FakeClock, SystemClock
from edge_agent.drivers.modbus.probe import connection_settings
from edge_agent.drivers.modbus.scan import SILENCES, DeviceScan, Range, Scanner
from edge_agent.drivers.modbus.transport.connection import DeviceConnection
from tests.peers.scripted_modbus import Memory, Request, exception, register_answer, scripted_device
from tests.support.sockets import listening


def connection(port: int, **more: object) -> DeviceConnection:
    settings = connection_settings({"host": "127.0.0.1", "port": port, "timeout_s": 0.2, **more})
    return DeviceConnection(settings, SystemClock())


async def scanned(
    script, *, tables=("holding",), up_to: int = 200, max_requests: int = 500
) -> tuple[DeviceScan, list[Request]]:
    async with scripted_device(script) as device:
        scanner = Scanner(FakeClock(), max_requests=max_requests)
        one = connection(device.port)
        await one.open()
        await scanner.ranges(one, tables, up_to=up_to)
        await one.close()
        return scanner.found, device.requests


async def test_ranges_are_found_to_the_register():
    memory = Memory(dict.fromkeys([*range(10), *range(64, 150)], 1), dict.fromkeys(range(5), True))
    found, requests = await scanned(memory, tables=("holding", "coil"))
    assert found.ranges == [Range("holding", 0, 9), Range("holding", 64, 149), Range("coil", 0, 4)]
    assert found.left == []
    assert found.requests_total == len(requests)
    assert {request.function for request in requests} == {1, 3}


async def test_a_table_whose_function_is_refused_is_asked_once():
    found, requests = await scanned(lambda request: exception(request.function, 1))
    assert (found.ranges, len(requests)) == ([], 1)


async def test_requests_are_bounded_and_what_is_left_is_said():
    found, requests = await scanned(Memory({}), max_requests=7)
    assert len(requests) == 7
    assert found.left == ["holding from 16: 7 requests were made (--max-requests)"]


@pytest.mark.parametrize("most", range(1, 12))
@pytest.mark.parametrize("is_damaged", [False, True])
async def test_never_more_requests_are_made_than_were_allowed(most: int, is_damaged: bool):
    def damaged(request: Request) -> bytes:
        return register_answer(request.function, [1] * (request.count + 1))

    found, requests = await scanned(damaged if is_damaged else Memory({}), max_requests=most)
    assert len(requests) == found.requests_total <= most
    assert len(found.left) == 1


async def test_silence_is_left_after_some_requests():
    found, requests = await scanned(lambda request: None)
    assert len(requests) == SILENCES
    assert found.left == [f"holding from 192: {SILENCES} requests in a row were not answered"]


async def test_units_that_answer_are_found_and_a_gateways_answer_for_others_is_none():
    codes = iter((None, 2, 11, 10))

    def script(request: Request) -> bytes | None:
        code = next(codes)
        return exception(request.function, code) if code else None

    async with scripted_device(script) as device:
        scanner = Scanner(FakeClock(), max_requests=500)
        units = ((unit, connection(device.port, unit_id=unit)) for unit in (1, 2, 3, 4))
        await scanner.units(units, "holding", 0)
    assert scanner.found.units == [2]


async def test_a_gateway_that_closes_the_connection_for_a_unit_it_does_not_have_is_asked_for_the_others():
    async with listening(answer_unit_3) as port:
        scanner = Scanner(FakeClock(), max_requests=500)
        units = ((unit, connection(port, unit_id=unit)) for unit in (1, 2, 3, 4))
        await scanner.units(units, "holding", 0)
    assert scanner.found.units == [3]


async def answer_unit_3(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.read(12)
    if request[6:7] == b"\x03":
        writer.write(request[:2] + b"\0\0\0\5\3\3\2\0\7")
        await reader.read(12)
    writer.close()


async def test_a_damaged_answer_is_asked_for_again_and_leaves_no_hole():
    memory = Memory(dict.fromkeys(range(200), 1))
    numbers = iter(range(10_000))

    def script(request: Request) -> bytes:
        is_damaged = next(numbers) % 3 == 2
        return register_answer(request.function, [1]) + b"x" if is_damaged else memory(request)

    found, _ = await scanned(script)
    assert found.ranges == [Range("holding", 0, 199)]
    assert found.left == []


async def test_a_unit_whose_answers_are_wrong_is_named():
    async with scripted_device(lambda request: register_answer(request.function, [1, 2])) as device:
        scanner = Scanner(FakeClock(), max_requests=500)
        await scanner.units([(7, connection(device.port, unit_id=7))], "holding", 0)
        place = f"127.0.0.1:{device.port}"
    said = f"{place}: asked unit 7 for 1 holding register from 0: the answer has 4 bytes of data, expected 2"
    assert (scanner.found.units, scanner.found.left) == ([], [said])
