"""Registers become the number or text the device meant, in every type and order; what is no value is bad, in words."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading, TextReading
from edge_agent.drivers.modbus.codec import Decoder, TagDecoder
from edge_agent.drivers.modbus.plan import plan_blocks
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings

LETTERS = {
    "ABCD": {4: "ABCD", 6: "ABCDEF", 8: "ABCDEFGH"},
    "CDAB": {4: "CDAB", 6: "EFCDAB", 8: "GHEFCDAB"},
    "BADC": {4: "BADC", 6: "BADCFE", 8: "BADCFEHG"},
    "DCBA": {4: "DCBA", 6: "FEDCBA", 8: "HGFEDCBA"},
}
FLOATS = {"float16": ">e", "float32": ">f", "float64": ">d"}
BITS = {"uint24": 24, "int24": 24, "uint32": 32, "int32": 32, "uint48": 48, "int48": 48, "uint64": 64, "int64": 64}
NOW = 17


def tag(data_type: str = "uint16", **fields: object) -> ModbusTagSettings:
    return ModbusTagSettings.model_validate(
        {"name": "a.b", "unit": "", "table": "holding", "address": 0, "data_type": data_type, **fields}
    )


def value(registers: list[int], data_type: str = "uint16", **fields: object) -> float:
    return TagDecoder(tag(data_type, **fields)).value(registers)


def read(registers: list[int], data_type: str = "uint16", **fields: object) -> Reading:
    reading = TagDecoder(tag(data_type, **fields)).read(registers, NOW)
    assert isinstance(reading, Reading)
    return reading


def as_sent(big_endian: bytes, order: str) -> list[int]:
    """The registers of a device that sends the number's bytes in `order`, letter by letter."""
    letters = LETTERS[order].get(len(big_endian), "AB")
    moved = bytes(big_endian["ABCDEFGH".index(letter)] for letter in letters)
    return list(struct.unpack(f">{len(moved) // 2}H", moved))


@pytest.mark.parametrize("order", sorted(LETTERS))
@pytest.mark.parametrize("data_type", sorted(FLOATS))
@given(given=st.floats(allow_nan=False, allow_infinity=False, width=16))
def test_a_float_is_read_back_in_every_order(data_type, order, given):
    assert value(as_sent(struct.pack(FLOATS[data_type], given), order), data_type, order=order) == given


@pytest.mark.parametrize("order", sorted(LETTERS))
@pytest.mark.parametrize("data_type", sorted(BITS))
@given(data=st.data())
def test_an_integer_is_read_back_in_every_order(data_type, order, data):
    bits = BITS[data_type]
    is_signed = not data_type.startswith("u")
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed else (0, (1 << bits) - 1)
    number = data.draw(st.integers(low, high))
    content = number.to_bytes(8 if bits == 64 else 6 if bits == 48 else 4, "big", signed=is_signed)
    assert TagDecoder(tag(data_type, order=order)).raw(as_sent(content, order)) == number


def test_the_top_byte_beside_24_bits_is_not_theirs():
    assert value([0xAA12, 0x3456], "uint24") == 0x123456
    assert value([0x00FF, 0xFFFE], "int24") == -2


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
    assert value(registers, "float32", order=order) == 12.5


@pytest.mark.parametrize("order", sorted(LETTERS))
@pytest.mark.parametrize(("data_type", "expected"), [("uint16", 65_336), ("int16", -200), ("float16", -0.0)])
def test_one_register_is_big_endian_whatever_the_order(order, data_type, expected):
    register = 0x8000 if data_type == "float16" else 0xFF38
    assert value([register], data_type, order=order) == expected


@pytest.mark.parametrize(
    ("data_type", "byte", "expected"), [("uint8", "high", 0xFE), ("uint8", "low", 3), ("int8", "high", -2)]
)
def test_eight_bits_are_one_half_of_a_register(data_type, byte, expected):
    assert value([0xFE03], data_type, byte=byte) == expected


@pytest.mark.parametrize("cell", [0, 1])
def test_a_coil_is_zero_or_one(cell):
    assert TagDecoder(tag("bool", table="coil")).value([cell]) == cell


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"bit": 3}, 1),
        ({"bit": 0}, 0),
        ({"bit": 15, "data_type": "bool"}, 1),
        ({"bits": "4..7"}, 0xA),
        ({"bits": "4+4"}, 0xA),
        ({"bits": "4..7", "data_type": "int16"}, 0xA - 16),
        ({"bits": "15..15"}, 1),
    ],
)
def test_bits_are_taken_from_a_register(fields, expected):
    assert TagDecoder(tag(**{"data_type": "uint16", **fields})).value([0b1000_0000_1010_1000]) == expected


def test_bits_of_a_wide_number_are_taken_after_its_order():
    assert value([0x0000, 0x8001], "uint32", order="CDAB", bit=31) == 1
    assert value([0x0000, 0x8001], "uint32", order="CDAB", bits="16..31") == 0x8001


def test_bcd_is_read_digit_by_digit():
    assert value([0x1234], "bcd16") == 1_234
    assert value([0x5678, 0x1234], "bcd32", order="CDAB") == 12_345_678


def test_a_nibble_that_is_no_digit_is_a_bad_reading():
    bad = read([0x12A4], "bcd16")
    assert (bad.value, bad.quality) == (None, Quality.BAD)
    assert bad.status == "the device sent 0x12A4, which is no BCD: a digit above 9"


@pytest.mark.parametrize(
    ("content", "length", "order", "text"),
    [
        (b"PUMP-7\0\0", 8, "ABCD", "PUMP-7"),
        (b"UPPM7-  ", 8, "BADC", "PUMP-7"),
        (b"ABCD", 3, "ABCD", "ABC"),
        ("20 °C".encode("latin-1") + b"\0", 6, "ABCD", "20 °C"),
        ("20 °C".encode(), 6, "ABCD", "20 °C"),
        (b"\x1b[31m\0", 6, "ABCD", "\\x1b[31m"),
        (b"\0\0", 2, "ABCD", ""),
    ],
)
def test_a_string_ends_at_its_first_nul_and_steers_no_terminal(content, length, order, text):
    registers = list(struct.unpack(f">{len(content) // 2}H", content))
    decoded = TagDecoder(tag("string", length=length, order=order)).read(registers, NOW)
    assert isinstance(decoded, TextReading)
    assert (decoded.text, decoded.received_time_ns) == (text, NOW)


def test_a_string_of_one_register_swaps_its_bytes_too():
    decoded = TagDecoder(tag("string", length=2, order="BADC")).read([0x4241], NOW)
    assert isinstance(decoded, TextReading)
    assert decoded.text == "AB"


def test_scale_comes_before_offset():
    assert value([250], "int16", scale=0.1, offset=-40.0) == pytest.approx(-15.0)


@pytest.mark.parametrize(("registers", "word"), [([0x7FC0, 0], "nan"), ([0x7F80, 0], "inf"), ([0xFF80, 0], "-inf")])
def test_a_float_that_is_no_number_is_a_bad_reading_that_says_so(registers, word):
    bad = read(registers, "float32")
    assert (bad.value, bad.quality, bad.received_time_ns) == (None, Quality.BAD, NOW)
    assert f"sent {word}," in bad.status


def test_a_scale_that_overflows_is_a_bad_reading():
    registers = as_sent(struct.pack(">d", 1e308), "ABCD")
    assert math.isinf(value(registers, "float64", scale=1e10))
    assert read(registers, "float64", scale=1e10).status == "the device sent 1e+308, which scale and offset make inf"


@pytest.mark.parametrize(
    ("data_type", "registers", "invalid"),
    [
        ("int16", [0x8000], 0x8000),
        ("int16", [0x8000], -32_768),
        ("uint16", [0xFFFF], "0xFFFF"),
        ("int16", [0xFFFF], 0xFFFF),
        ("int32", [0x7FFF, 0xFFFF], 0x7FFFFFFF),
        ("uint48", [0xFFFF, 0xFFFF, 0xFFFF], "0xffffffffffff"),
        ("uint64", [0xFFFF] * 4, "0xFFFFFFFFFFFFFFFF"),
        ("int24", [0x0080, 0x0000], 0x800000),
        ("uint8", [0x12FF], 255),
        ("bcd16", [0x9999], 9_999),
        ("float32", as_sent(struct.pack(">f", -9_999.9), "ABCD"), -9_999.9),
        ("float32", as_sent(struct.pack(">f", -9_999), "ABCD"), "-9999"),
        ("float32", [0x7FC0, 0], "0x7FC00000"),
        ("float32", [0xC61C, 0x3C00], 0xC61C3C00),
        ("float16", as_sent(struct.pack(">e", -1), "ABCD"), -1),
    ],
)
def test_what_stands_for_no_value_is_bad_and_never_a_number(data_type, registers, invalid):
    assert read(registers, data_type).value is not None or data_type == "float32"
    bad = read(registers, data_type, invalid_values=[invalid], scale=0.1)
    assert (bad.value, bad.quality) == (None, Quality.BAD)
    assert "which means no value (invalid_values)" in bad.status


def test_what_stands_for_no_value_is_compared_in_the_tags_own_bits_and_order():
    assert read([0x00F0], bits="4..7", invalid_values=[15]).quality is Quality.BAD
    assert read([0xFFF0], bits="0..3", invalid_values=[15]).value == 0
    assert read([0x0000, 0x8000], "int32", order="CDAB", invalid_values=["0x80000000"]).quality is Quality.BAD


def test_a_number_keeps_its_word_and_an_unknown_one_is_uncertain():
    words = {0: "off", 1: "auto", -1: "local"}
    known, negative, unknown = (read([cell], "int16", words=words) for cell in (1, 0xFFFF, 7))
    assert (known.value, known.quality, known.word) == (1.0, Quality.GOOD, "auto")
    assert (negative.value, negative.word) == (-1.0, "local")
    assert (unknown.value, unknown.quality, unknown.word) == (7.0, Quality.UNCERTAIN, "")
    assert unknown.status == "7 is none of the numbers this tag has words for"


@pytest.mark.parametrize("exact", [2**53 + 1, 2**64 - 1, 2**53 + 2])
def test_an_integer_beyond_what_a_double_holds_is_uncertain_and_says_its_digits(exact):
    reading = read(as_sent(exact.to_bytes(8, "big"), "ABCD"), "uint64")
    assert (reading.value, reading.quality) == (float(exact), Quality.UNCERTAIN)
    assert f"exactly {exact};" in reading.status


@pytest.mark.parametrize("exact", [2**53, -(2**53)])
def test_an_integer_that_a_double_holds_is_good(exact):
    reading = read(as_sent(exact.to_bytes(8, "big", signed=True), "ABCD"), "int64")
    assert (reading.value, reading.quality, reading.status) == (exact, Quality.GOOD, "")


def test_a_block_is_decoded_tag_by_tag_wherever_it_begins():
    tags = [tag(address=address, name=f"a.t{address}") for address in (10, 12, 11)]
    (block,) = plan_blocks(tags, max_registers=125, max_hole=0)
    readings = Decoder(tags).decode(block, [1, 2, 3], NOW)
    assert {one.tag.name: one.value for one in readings} == {"a.t10": 1, "a.t11": 2, "a.t12": 3}
