"""Numbers in texts, as plants write them."""

from __future__ import annotations

import math

import pytest

from edge_agent.drivers.number_text import number_in_text


@pytest.mark.parametrize(
    ("text", "number"),
    [("42.5", 42.5), (" -42,5\r\n", -42.5), ("+7", 7), (".5", 0.5), ("1e3", 1000.0), ("9007199254740993", 2**53 + 1)],
)
def test_a_number_is_read(text: str, number: float) -> None:
    assert number_in_text(text) == number


@pytest.mark.parametrize("text", ["", "hot", "1_000", "1.000,5", "nan", "infinity", "0x10", "4 2", "\u0664\u0662"])
def test_another_text_holds_none(text: str) -> None:
    assert number_in_text(text) is None


def test_an_integer_of_any_length_is_converted_in_no_time() -> None:
    assert number_in_text("1" * 100_000) == math.inf
