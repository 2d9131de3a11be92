"""What manuals and people write for an address means one place, or is an error that says what to write."""

from __future__ import annotations

import pytest

from edge_agent.drivers.modbus.data.addresses import RegisterPlace, manual_number, place_of


@pytest.mark.parametrize(
    ("written", "place"),
    [
        (0, RegisterPlace(0)),
        (9_999, RegisterPlace(9_999)),
        (65_535, RegisterPlace(65_535)),
        ("0x10", RegisterPlace(16)),
        ("1Fh", RegisterPlace(31)),
        (" 0xFFFF ", RegisterPlace(65_535)),
        ("40001", RegisterPlace(0, "holding")),
        ("49999", RegisterPlace(9_998, "holding")),
        ("400001", RegisterPlace(0, "holding")),
        ("465536", RegisterPlace(65_535, "holding")),
        (400_001, RegisterPlace(0, "holding")),
        (300_101, RegisterPlace(100, "input")),
        ("30001", RegisterPlace(0, "input")),
        ("10001", RegisterPlace(0, "discrete")),
        ("00001", RegisterPlace(0, "coil")),
        ("000017", RegisterPlace(16, "coil")),
        ("4x0001", RegisterPlace(0, "holding")),
        ("3X12", RegisterPlace(11, "input")),
    ],
)
def test_each_form_is_one_place(written, place):
    assert place_of(written, is_table_given=False) == place


@pytest.mark.parametrize("written", [40_001, 30_001, 10_001, 49_999])
def test_a_bare_number_that_could_be_both_needs_its_table(written):
    assert place_of(written, is_table_given=True) == RegisterPlace(written)
    with pytest.raises(ValueError, match=rf'can mean two things: .* Write "{written}" in quotes for the first'):
        place_of(written, is_table_given=False)


@pytest.mark.parametrize("written", [20_001, 50_000, 40_000, 30_000, 10_000])
def test_a_bare_number_that_no_manual_has_counts_from_0(written):
    assert place_of(written, is_table_given=False) == RegisterPlace(written)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (-1, "-1 is no address"),
        (65_536, "65536 is no address"),
        (265_536, "265536 is no address"),
        (465_537, "reaches past the last address"),
        ("465537", "reaches past the last address"),
        ("0x10000", "reaches past the last address"),
        ("40000", "manuals count from 1, so the first one is 40001"),
        ("12", "can be counted from 0 or from 1: write 12 without quotes"),
        ("", "is no address"),
        ("D100", "is no address"),
        ("٤٠٠٠١", "is no address"),
    ],
)
def test_what_is_no_address_is_said_in_words(written, why):
    with pytest.raises(ValueError, match=why):
        place_of(written, is_table_given=False)


@pytest.mark.parametrize("table", ["holding", "input", "discrete", "coil"])
@pytest.mark.parametrize("address", [0, 9_998, 9_999, 65_535])
def test_a_manuals_number_leads_back_to_its_place(table, address):
    assert place_of(manual_number(table, address), is_table_given=False) == RegisterPlace(address, table)
