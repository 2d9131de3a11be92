"""Vendors' register maps become tags with the same names each time, or mistakes with line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.drivers.modbus.data.addresses import ALLOWED
from edge_agent.drivers.modbus.data.types import SHAPES
from edge_agent.drivers.modbus.register_map.rows import MapReading, read_register_map
from edge_agent.drivers.modbus.register_map.table import MapError
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings

READING = MapReading("meter-1")


def tags(tmp_path: Path, text: str, reading: MapReading = READING) -> list[ModbusTagSettings]:
    path = tmp_path / "map.csv"
    path.write_text(text)
    return list(read_register_map(path, reading))


def mistakes(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(MapError) as caught:
        tags(tmp_path, text)
    return [line.removeprefix(f"{tmp_path}/map.csv") for line in str(caught.value).splitlines()]


def test_a_map_with_semicolons_and_decimal_commas(tmp_path):
    (one, two) = tags(
        tmp_path,
        "Register;Bezeichnung;Datentyp;Einheit;Faktor;Offset\n[dec];;;;;\n"
        "40001;Öl-Temperatur;INT16;°C;0,1;-40\n30010-30011;Drehzahl;UINT;1/min;;\n",
    )
    assert (one.name, one.table, one.address, one.data_type) == ("meter-1.oel-temperatur", "holding", 0, "int16")
    assert (one.unit, one.scale, one.offset) == ("°C", 0.1, -40)
    assert (two.name, two.table, two.address, two.data_type) == ("meter-1.drehzahl", "input", 9, "uint32")


def test_a_map_with_commas_hex_addresses_function_codes_and_orders(tmp_path):
    found = tags(
        tmp_path,
        "name,address,fc,type,byte order,gain\n"
        "Motor.Speed,0x0A,4,float,CDAB,1\nRunning,0x10,1,,,\nTotal,0x20,03,u64,little endian,/1000\n",
        MapReading("meter-1", order="BADC"),
    )
    assert [(tag.name, tag.table, tag.address, tag.data_type, tag.order) for tag in found] == [
        ("motor.speed", "input", 10, "float32", "CDAB"),
        ("meter-1.running", "coil", 16, "bool", "BADC"),
        ("meter-1.total", "holding", 32, "uint64", "DCBA"),
    ]
    assert found[2].scale == 0.001


def test_bits_words_texts_and_no_values(tmp_path):
    found = tags(
        tmp_path,
        "Address\tName\tType\tLength\tBit\tValues\tInvalid\n"
        "1\tMode\tuint16\t1\t4..7\t0=off; 1=auto\t\n2.3\tFault\tbool\t\t\t\t\n3\tLevel\tint16\t16\t\t\t0x8000\n"
        "10\tSerial\tstring\t8\t\t\t\n30\tMaker\tstring(5)\t\t\t\t\n",
    )
    mode, fault, level, serial, maker = found
    assert (mode.bits, mode.words) == ("4..7", {0: "off", 1: "auto"})
    assert (fault.address, fault.bit) == (2, 3)
    assert level.invalid_values == ("0x8000",)
    assert (serial.length, maker.length) == (16, 5)


def test_what_only_writes_headings_and_units_are_left_out(tmp_path):
    found = tags(
        tmp_path,
        "Address,Name,Type,Access,FC\n(dec),,,,\nMeasurements,,,,\n1,Flow,u16,R/W,3\n2,Reset,u16,W,3\n3,Start,u16,,6\n",
    )
    assert [tag.name for tag in found] == ["meter-1.flow"]


@pytest.mark.parametrize("turned", [False, True])
def test_rows_called_the_same_get_their_place_whatever_their_order(tmp_path, turned):
    rows = ["1,Alarm", "2,Alarm", "3,温度", "4,Flow"]
    found = tags(tmp_path, "Address,Name\n" + "\n".join(rows[::-1] if turned else rows) + "\n")
    names = sorted(tag.name for tag in found)
    assert names == ["meter-1.alarm_holding_1", "meter-1.alarm_holding_2", "meter-1.flow", "meter-1.holding_3"]


def test_the_settings_say_how_a_map_counts_when_it_cannot(tmp_path):
    text = "Address,Name\n40001,A\n12,B\n"
    assert mistakes(tmp_path, text)[0].startswith(": some of its addresses are as manuals number registers (40001)")
    found = tags(tmp_path, text, MapReading("meter-1", counting="from_0"))
    assert [(tag.table, tag.address) for tag in found] == [("holding", 40_001), ("holding", 12)]


def test_every_mistake_has_its_line_and_column(tmp_path):
    found = mistakes(
        tmp_path,
        "Register,Tag,Format,Factor,Function,Size\n"
        "1,A,flot,1,3,1\n2,B,u16,ten,3,1\n3,C,u16,0,3,1\n4,D,u16,1,9,1\n5,E,u32,1,3,7\nD5,F,u16,1,3,1\n6,G,string,1,3,\n"
        "7,H,float,1,3,2\n7,H,float,1,3,2\n",
    )
    assert found == [
        f":2, column 'Format': no type is called 'flot'; types are {', '.join(SHAPES)}, and what vendors call them",
        ":3, column 'Factor': 'ten' is no number, like 0.1 or 0,1",
        ":5, column 'Function': no table is called '9': holding, input, coil, discrete, or a function code 1 to 4",
        ":6, column 'Size': a uint32 takes 2 registers, and 7 stands here",
        f":7, column 'Register': 'D5' is no address: {ALLOWED}",
        ":8, column 'Format': a string needs its length: a column with its registers or bytes",
        ":4: scale: must not be 0: it would turn every measurement into a zero that looks real",
        ":10: it is the same as line 9: meter-1.h_holding_7",
    ]


def test_a_table_that_is_not_the_addresss_is_a_mistake(tmp_path):
    (found,) = mistakes(tmp_path, "Register,Name,FC\n40001,A,4\n")
    assert found == ":2, column 'FC': '4' is input, and the address 40001 is holding"


def test_many_mistakes_are_shortened(tmp_path):
    found = mistakes(tmp_path, "Address,Name,Type\n" + "".join(f"{n},A{n},x\n" for n in range(30)))
    assert len(found) == 21
    assert found[-1] == ": and 10 more mistakes"


def test_a_map_without_registers_is_said(tmp_path):
    assert mistakes(tmp_path, "Address,Name\n") == [": there is no row with an address under its header"]
