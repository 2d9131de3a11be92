"""Registers become the number the device meant, in every type and order."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.quality import Quality
from edge_agent.core.tags import Tag
from edge_agent.drivers.modbus.codec import decode, reading
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings

ORDERS_64 = {"ABCD": "ABCDEFGH", "CDAB": "GHEFCDAB", "BADC": "BADCFEHG", "DCBA": "HGFEDCBA"}
FORMATS = {"uint32": ">I", "int32": ">i", "float32": ">f", "uint64": ">Q", "int64": ">q", "float64": ">d"}
RANGES = {"uint32": (0, 2**32 - 1), "int32": (-(2**31), 2**31 - 1), "uint64": (0, 2**53), "int64": (-(2**53), 2**53)}


def tag(data_type: str, order: str = "ABCD", scale: float = 1.0, offset: float = 0.0) -> ModbusTagSettings:
    table = "coil" if data_type == "bool" else "holding"
    return ModbusTagSettings(
        name="a.b", unit="", table=table, address=0, data_type=data_type, order=order, scale=scale, offset=offset
    )


def as_sent(big_endian: bytes, order: str) -> list[int]:
    """The registers of a device that sends the number's bytes in `order`, letter by letter."""
    letters = order if len(big_endian) == 4 else ORDERS_64[order]
    moved = bytes(big_endian["ABCDEFGH".index(letter)] for letter in letters)
    return list(struct.unpack(f">{len(moved) // 2}H", moved))


@pytest.mark.parametrize("order", sorted(ORDERS_64))
@pytest.mark.parametrize("data_type", ["float32", "float64"])
@given(value=st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_float_is_read_back_in_every_order(data_type, order, value):
    assert decode(tag(data_type, order), as_sent(struct.pack(FORMATS[data_type], value), order)) == value


@pytest.mark.parametrize("order", sorted(ORDERS_64))
@pytest.mark.parametrize("data_type", sorted(RANGES))
@given(data=st.data())
def test_an_integer_is_read_back_in_every_order(data_type, order, data):
    value = data.draw(st.integers(*RANGES[data_type]))
    assert decode(tag(data_type, order), as_sent(struct.pack(FORMATS[data_type], value), order)) == value


@pytest.mark.parametrize(
    ("order", "registers"),
    [
        ("ABCD", [0x4148, 0x0000]),
        ("CDAB", [0x0000, 0x4148]),
        ("BADC", [0x4841, 0x0000]),
        ("DCBA", [0x0000, 0x4841]),
    ],
)
def test_the_four_orders_of_twelve_and_a_half(order, registers):
    assert decode(tag("float32", order), registers) == 12.5


@pytest.mark.parametrize("order", sorted(ORDERS_64))
@pytest.mark.parametrize(("data_type", "register", "value"), [("uint16", 0xFF38, 65_336), ("int16", 0xFF38, -200)])
def test_one_register_is_big_endian_whatever_the_order(order, data_type, register, value):
    assert decode(tag(data_type, order), [register]) == value


@pytest.mark.parametrize(("bit", "value"), [(0, 0.0), (1, 1.0)])
def test_a_bit_is_zero_or_one(bit, value):
    assert decode(tag("bool"), [bit]) == value


def test_scale_comes_before_offset():
    assert decode(tag("int16", scale=0.1, offset=-40.0), [250]) == pytest.approx(-15.0)


@pytest.mark.parametrize(("registers", "word"), [([0x7FC0, 0], "nan"), ([0x7F80, 0], "inf"), ([0xFF80, 0], "-inf")])
def test_a_float_that_is_no_number_is_a_bad_reading_that_says_so(registers, word):
    value = decode(tag("float32"), registers)
    got = reading(Tag("a.b", "", "general"), value, 17)
    assert (got.value, got.quality, got.received_time_ns) == (None, Quality.BAD, 17)
    assert word in got.status


def test_a_scale_that_overflows_is_a_bad_reading():
    registers = as_sent(struct.pack(">d", 1e308), "ABCD")
    value = decode(tag("float64", scale=1e10), registers)
    assert math.isinf(value)
    assert reading(Tag("a.b", "", "general"), value, 0).quality is Quality.BAD
