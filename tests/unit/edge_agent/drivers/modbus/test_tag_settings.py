"""A tag's settings fit together, or say what does not, in the words of the file."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings


def tag(**fields: object) -> ModbusTagSettings:
    return ModbusTagSettings.model_validate({"name": "a.b", "unit": "", **fields})


def test_an_old_file_reads_the_same_registers():
    assert (tag(address=40_001, table="holding").address, tag(address=12).table) == (40_001, "holding")


def test_a_manuals_number_says_the_table_and_coils_are_bools():
    assert (tag(address="30011").table, tag(address="30011").address) == ("input", 10)
    assert (tag(address="00003").table, tag(address="00003").data_type) == ("coil", "bool")
    assert (tag(address="0x1F", table="input").address, tag(address="40001", table="holding").address) == (31, 0)


def test_its_own_dump_is_the_same_tag():
    one = tag(address="40011", data_type="uint32", words={"0x10": "auto"}, invalid_values=["0xFFFF", -1])
    assert ModbusTagSettings.model_validate(one.model_dump()) == one
    assert one.words == {16: "auto"}


@pytest.mark.parametrize(
    ("fields", "width"),
    [
        ({"data_type": "uint48"}, 3),
        ({"data_type": "string", "length": 7}, 4),
        ({"data_type": "float16"}, 1),
        ({"data_type": "uint8", "byte": "high"}, 1),
        ({"bit": 3}, 1),
        ({"table": "coil"}, 1),
    ],
)
def test_a_tag_is_as_wide_as_its_type_or_its_text(fields, width):
    assert tag(address=0, **fields).width == width


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"address": 40_001}, "can mean two things"),
        ({"address": "40001", "table": "input"}, 'is in the table "holding", and table = "input" stands beside it'),
        ({"address": True, "table": "oil"}, "table"),
        ({"address": 1.5}, "address"),
        ({}, "address"),
        ({"table": "coil", "data_type": "uint16"}, "single bits"),
        ({"table": "coil", "bit": 3}, "single bits"),
        ({"data_type": "bool"}, "needs its bit"),
        ({"bit": 16}, "has the bits 0 to 15, not 16"),
        ({"bits": "12..16"}, "has the bits 0 to 15, not 16"),
        ({"bits": "7..4"}, "is no range of bits"),
        ({"bits": "4+0"}, "is no range of bits"),
        ({"bits": "some"}, "is no range of bits"),
        ({"bit": 1, "bits": "1..2"}, "keep one"),
        ({"bit": 1, "data_type": "float32"}, "bits are taken from whole numbers"),
        ({"byte": "high"}, "byte is for data_type = uint8 and int8"),
        ({"length": 4}, "length is for data_type = string"),
        ({"data_type": "string"}, "needs its length"),
        ({"data_type": "string", "length": 4, "order": "CDAB"}, "a string is read register by register"),
        ({"data_type": "string", "length": 4, "scale": 0.1}, "a string has no scale"),
        ({"data_type": "string", "length": 4, "bit": 0}, "bits are taken from whole numbers"),
        ({"data_type": "float32", "words": {0: "off"}}, "words are for whole numbers"),
        ({"words": {"off": 0}}, "words"),
        ({"bit": 1, "invalid_values": [1]}, "has no invalid_values"),
        ({"invalid_values": [0x10000]}, "does not fit into the 16 bits"),
        ({"invalid_values": ["0x1FFFF"]}, "does not fit into the 16 bits"),
        ({"invalid_values": [1.5]}, "is no whole number"),
        ({"invalid_values": ["n/a"]}, "is no number"),
        ({"invalid_values": ["1e999"]}, "is no whole number"),
        ({"table": ["holding"]}, "Input should be 'holding'"),
        ({"table": {"coil": 1}}, "Input should be 'holding'"),
        ({"data_type": "float32", "invalid_values": [1e300]}, "beyond what a float of 32 bits holds"),
    ],
)
def test_what_does_not_fit_is_said(fields, why):
    with pytest.raises(ValidationError, match=why):
        tag(**{"address": 0, **fields} if fields else fields)
