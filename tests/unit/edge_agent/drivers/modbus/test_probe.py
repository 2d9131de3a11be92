"""A place is read in every type, order and address base, and the one that was meant is found."""

from __future__ import annotations

import struct

import pytest

from edge_agent.core.clock import SystemClock
from edge_agent.drivers.modbus.probe import ProbedPlace, ProbeResult, connection_settings, look, readings_of
from edge_agent.drivers.modbus.transport.connection import DeviceConnection
from edge_agent.errors import DeviceRejectedError
from tests.peers.scripted_modbus import Memory, scripted_device

TWENTY_ONE_AND_A_HALF = {
    "ABCD": (0x41AC, 0), "CDAB": (0, 0x41AC), "BADC": (0xAC41, 0), "DCBA": (0, 0xAC41),
}  # fmt: skip


def found(*reads: dict[int, int], address: int = 10, table: str = "holding") -> ProbeResult:
    place = ProbedPlace(1, table, address, 8)
    return ProbeResult(place, reads, tuple(readings_of(place, reads)))


def around(registers: tuple[int, ...], beside: int = 0, at: int = 10) -> dict[int, int]:
    cells = dict.fromkeys(range(9, 18), beside)
    return cells | {at + offset: register for offset, register in enumerate(registers)}


@pytest.mark.parametrize("beside", [0, 7, 321])
@pytest.mark.parametrize("order", sorted(TWENTY_ONE_AND_A_HALF))
def test_a_float_is_found_in_its_order(order, beside):
    best = found(around(TWENTY_ONE_AND_A_HALF[order], beside)).best
    assert (best.data_type, best.order, best.address, best.value) == ("float32", order, 10, 21.5)


def test_orders_side_by_side_do_not_lead_astray():
    cells = dict(enumerate((0x41AC, 0, 0, 0x41AC, 0xAC41, 0, 0, 0xAC41, 0, 0, 0, 0)))
    for address, order in ((0, "ABCD"), (2, "CDAB"), (4, "BADC"), (6, "DCBA")):
        best = found(cells, address=address).best
        assert (best.data_type, best.order, best.address, best.value) == ("float32", order, address, 21.5)


def test_an_address_that_counts_from_1_is_found_one_before():
    registers = struct.unpack(">8H", struct.pack(">4f", 21.537, 48.251, 1480.33, 6.0213))
    best = found(dict(enumerate(registers, start=9)), address=10).best
    assert (best.data_type, best.address) == ("float32", 9)
    assert best.value == pytest.approx(21.537)


@pytest.mark.parametrize(
    ("registers", "data_type", "value"),
    [
        ((1480,), "uint16", 1480),
        ((0xFF06,), "int16", -250),
        (struct.unpack(">4H", struct.pack(">d", -2.25)), "float64", -2.25),
        (struct.unpack(">3H", b"PUMP-7"), "string", "PUMP-7"),
    ],
)
def test_other_types_are_found_too(registers, data_type, value):
    best = found(around(registers)).best
    assert (best.data_type, best.value, best.address) == (data_type, value, 10)


def test_small_steps_tell_a_counter_from_its_halves():
    reads = [around((18, 0xD680 + step)) for step in (0, 3, 5)]
    best = found(*reads).best
    assert (best.data_type, best.value) == ("uint32", 18 * 65_536 + 0xD685)


def test_zeros_and_noise_lead_to_no_best():
    assert found(around((0,))).best is None


def test_every_type_is_there_in_all_four_orders_and_both_bases():
    readings = found(around((1, 2, 3, 4))).readings
    floats = {(one.order, one.address) for one in readings if one.data_type == "float32"}
    assert floats == {(order, address) for order in ("ABCD", "CDAB", "BADC", "DCBA") for address in (10, 9)}
    assert {one.data_type for one in readings} >= {"int8", "uint24", "uint48", "int64", "float16", "bcd32", "string"}


def test_the_first_address_has_no_other_base():
    assert {one.address for one in found({0: 1, 1: 2}, address=0).readings} == {0}


def test_a_coil_is_a_bit():
    best = found({9: 0, 10: 1}, table="coil").best
    assert (best.data_type, best.address, best.value) == ("bool", 10, 1.0)


async def look_at(device, place: ProbedPlace, reads: int = 2) -> ProbeResult:
    settings = connection_settings({"host": "127.0.0.1", "port": device.port, "timeout_s": 1.0})
    connection = DeviceConnection(settings, SystemClock())
    await connection.open()
    try:
        return await look(connection, place, SystemClock(), reads=reads, interval_s=0.0)
    finally:
        await connection.close()


async def test_what_is_refused_beside_it_does_not_matter():
    async with scripted_device(Memory({10: 0, 11: 0x41AC})) as device:
        seen = await look_at(device, ProbedPlace(1, "holding", 10, 8))
        assert sorted(seen.reads[-1]) == [10, 11]
        assert seen.best.value == 21.5
        asked_once = len(device.requests)
        assert asked_once == 1 + 9 + 2  # whole, cell by cell, and the two that can be read again


async def test_a_place_that_is_refused_is_said():
    async with scripted_device(Memory({})) as device:
        with pytest.raises(DeviceRejectedError, match="refuses holding 10: exception 2 illegal data address"):
            await look_at(device, ProbedPlace(1, "holding", 10, 8))
