"""How a map's addresses count is told by all of them together; what could be both is asked."""

from __future__ import annotations

import pytest

from edge_agent.drivers.modbus.data.addresses import RegisterPlace
from edge_agent.drivers.modbus.register_map.address_column import MapAddress, address_of, counting_of, place_in_map


@pytest.mark.parametrize(
    ("cell", "address"),
    [
        ("40001", MapAddress("40001")),
        ("40001-40002", MapAddress("40001", registers=2)),
        ("40001 .. 40004", MapAddress("40001", registers=4)),
        ("30010/30011", MapAddress("30010", registers=2)),
        ("40010.3", MapAddress("40010", bit=3)),
        ("0x1F", MapAddress("0x1F")),
        ("40 001", MapAddress("40 001")),
    ],
)
def test_a_cell_has_a_start_and_perhaps_a_range_or_a_bit(cell, address):
    assert address_of(cell) == address


def test_a_range_that_goes_back_is_refused():
    with pytest.raises(ValueError, match="ends before it begins"):
        address_of("40002-40001")


@pytest.mark.parametrize(
    ("addresses", "counting"),
    [
        (["0", "1", "100"], "from_0"),
        (["40001", "40100", "30001"], "manual"),
        (["400001"], "manual"),
        (["0x10", "0x20"], "from_0"),
        ([], "from_0"),
    ],
)
def test_addresses_tell_how_they_count(addresses, counting):
    assert counting_of(addresses) == counting


@pytest.mark.parametrize("addresses", [["40001", "12"], ["40000", "40001"], ["1", "10001"]])
def test_a_map_that_mixes_both_is_asked(addresses):
    with pytest.raises(ValueError, match="say how they count with map_addresses"):
        counting_of(addresses)


@pytest.mark.parametrize(
    ("text", "counting", "place"),
    [
        ("40011", "manual", RegisterPlace(10, "holding")),
        ("40011", "from_0", RegisterPlace(40_011)),
        ("40011", "from_1", RegisterPlace(40_010)),
        ("11", "manual", RegisterPlace(10)),
        ("0x1F", "manual", RegisterPlace(31)),
        ("4x0001", "from_0", RegisterPlace(0, "holding")),
    ],
)
def test_a_cell_is_placed_as_its_map_counts(text, counting, place):
    assert place_in_map(text, counting) == place


def test_a_hexadecimal_column_needs_no_mark():
    assert place_in_map("1F", "from_0", is_hex=True) == RegisterPlace(31)
    assert place_in_map("10", "from_0", is_hex=True) == RegisterPlace(16)


@pytest.mark.parametrize(("text", "counting"), [("0", "from_1"), ("70000", "from_0"), ("D100", "from_0")])
def test_what_is_no_address_is_refused(text, counting):
    with pytest.raises(ValueError, match="is no address"):
        place_in_map(text, counting)
