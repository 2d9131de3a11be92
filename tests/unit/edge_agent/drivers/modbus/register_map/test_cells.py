"""Vendors' words for types, orders, tables and factors are understood, or refused with what is allowed."""

from __future__ import annotations

import pytest

from edge_agent.drivers.modbus.register_map import cells


@pytest.mark.parametrize(
    ("cell", "registers", "expected"),
    [
        ("UINT16", None, ("uint16", None, None)),
        ("Unsigned Int 16", None, ("uint16", None, None)),
        ("u32", None, ("uint32", None, None)),
        ("DINT", None, ("int32", None, None)),
        ("Float (CDAB)", None, ("float32", "CDAB", None)),
        ("REAL", None, ("float32", None, None)),
        ("float", 4, ("float64", None, None)),
        ("int", 1, ("int16", None, None)),
        ("unsigned integer", 4, ("uint64", None, None)),
        ("signed", None, ("int16", None, None)),
        ("BCD", 2, ("bcd32", None, None)),
        ("string(16)", None, ("string", None, 16)),
        ("ASCII", 8, ("string", None, None)),
        ("bitfield16", None, ("uint16", None, None)),
        ("acc32", None, ("uint32", None, None)),
        ("Boolean", None, ("bool", None, None)),
    ],
)
def test_a_type_is_known_by_what_vendors_call_it(cell, registers, expected):
    assert cells.data_type_of(cell, registers) == expected


@pytest.mark.parametrize(
    ("cell", "is_of_words", "order"),
    [
        ("cdab", False, "CDAB"),
        ("big-endian", False, "ABCD"),
        ("Little Endian", False, "DCBA"),
        ("little", True, "CDAB"),
        ("LSW first", False, "CDAB"),
        ("byte swap", False, "BADC"),
    ],
)
def test_an_order_is_known_by_what_vendors_call_it(cell, is_of_words, order):
    assert cells.order_of(cell, is_of_words=is_of_words) == order


@pytest.mark.parametrize(
    ("cell", "table"),
    [
        ("Holding Register", "holding"),
        ("3", "holding"),
        ("03/06/16", "holding"),
        ("0x04", "input"),
        ("FC 02", "discrete"),
        ("Coil", "coil"),
        ("06, 16", None),
    ],
)
def test_a_table_is_known_by_its_words_and_its_function_codes(cell, table):
    assert cells.table_of(cell) == table


@pytest.mark.parametrize(
    ("cell", "factor"),
    [
        ("0.1", 0.1),
        ("0,1", 0.1),
        ("x10", 10),
        ("* 0,01", 0.01),
        ("1/10", 0.1),
        ("/100", 0.01),
        ("10^-2", 0.01),
        ("1E-1", 0.1),
    ],
)
def test_a_factor_has_many_forms(cell, factor):
    assert cells.factor_of(cell) == pytest.approx(factor)


def test_words_and_no_values_are_lists():
    assert cells.words_of("0=off; 1 = auto, 0x10: local | -1 - none") == {0: "off", 1: "auto", 16: "local", -1: "none"}
    assert cells.invalid_of("0x8000; 65535") == ["0x8000", "65535"]


@pytest.mark.parametrize("cell", ["w", "WO", "Write-only", "write"])
def test_what_is_only_written_is_not_read(cell):
    assert not cells.is_readable(cell)
    assert cells.is_readable("R/W")


@pytest.mark.parametrize(
    ("read", "cell", "why"),
    [
        (lambda cell: cells.data_type_of(cell, None), "flot", "no type is called 'flot'; types are uint8"),
        (lambda cell: cells.data_type_of(cell, 7), "int", "no type is called 'int'"),
        (cells.order_of, "sideways", "no order is called 'sideways': ABCD, CDAB"),
        (cells.table_of, "memory", "no table is called 'memory'"),
        (cells.factor_of, "1/0", "divides by 0"),
        (cells.factor_of, "1.234,5", "is no number"),
        (cells.number_of, "ten", "is no number, like 0.1 or 0,1"),
        (cells.count_of, "0", "is no count"),
        (cells.words_of, "off, on", "is no list of words"),
    ],
)
def test_what_is_not_understood_is_refused_with_what_is_allowed(read, cell, why):
    with pytest.raises(ValueError, match=why):
        read(cell)
