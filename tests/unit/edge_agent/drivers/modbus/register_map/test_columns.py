"""A column is known by the names vendors give it."""

from __future__ import annotations

from edge_agent.drivers.modbus.register_map.columns import columns_of, is_header


def test_names_are_compared_without_case_marks_and_brackets():
    header = ["Tag-Name", "Register Address [dec]", "Data Type", "Unit [SI]", "Scale_Factor", "Größe", "R/W"]
    assert columns_of(header) == {"name": 0, "address": 1, "data_type": 2, "unit": 3, "scale": 4, "access": 6}


def test_a_type_beside_a_data_type_is_the_table():
    assert columns_of(["Name", "Addr", "Type", "Data type"]) == {"name": 0, "address": 1, "table": 2, "data_type": 3}


def test_an_offset_alone_is_the_address_and_beside_one_it_is_added():
    assert columns_of(["Offset", "Name"]) == {"address": 0, "name": 1}
    assert columns_of(["Offset", "Name", "Register"]) == {"offset": 0, "name": 1, "address": 2}


def test_a_hexadecimal_column_says_so():
    assert columns_of(["Description", "Address (hex)"]) == {"description": 0, "hex_address": 1}


def test_a_header_needs_an_address_and_a_name():
    assert is_header(columns_of(["Register", "Description"]))
    assert not is_header(columns_of(["Register", "Unit"]))
    assert not is_header(columns_of(["Name", "Unit"]))
