"""The number in a value, or why there is none, in OPC UA's words."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.quality import EXACT_MAX
from edge_agent.drivers.opcua.decoding.number import number_in


class StatusCode:
    """What a library calls such a value."""


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "the value is empty"),
        ("twelve", 'the value is a String "twelve", not a number'),
        ("12.5", 'the value is a String "12.5", not a number: parse = true at its node takes the number in it'),
        (b"\x01\x02", "the value is a ByteString of 2 bytes"),
        (datetime(2026, 1, 1, tzinfo=UTC), "the value is a DateTime"),
        (UUID(int=5), "the value is a Guid"),
        (StatusCode(), "the value is a StatusCode, not a number"),
        (float("nan"), "the value is nan, not a finite number"),
        (float("-inf"), "the value is -inf, not a finite number"),
        ([1.0, 2.0], "the value is an array of 2 values: choose one with index = 0 to 1"),
        ([], "the value is an array of 0 values"),
        (10**400, "beyond what a number holds"),
    ],
)
def test_what_is_no_number_is_said_in_words(value, words) -> None:
    number = number_in(value)
    assert number.value is None
    assert words in number.detail


@pytest.mark.parametrize(("value", "expected"), [(True, 1.0), (False, 0.0), (200, 200.0), (-2.5, -2.5), ([1.5], 1.5)])
def test_numbers_booleans_and_arrays_of_one_are_numbers(value, expected) -> None:
    assert number_in(value).value == expected


def test_a_scaled_number() -> None:
    assert number_in(125, scale=0.1, offset=-10.0).value == pytest.approx(2.5)
    assert number_in(1e308, scale=1e10).value is None


@pytest.mark.parametrize(
    ("value", "index", "expected"),
    [([4, 5, 6], (0,), 4.0), ([4, 5, 6], (2,), 6.0), ([[1, 2], [3, 4]], (1, 0), 3.0), (b"\x07\x09", (1,), 9.0)],
)
def test_an_element_of_an_array(value, index, expected) -> None:
    assert number_in(value, index=index).value == expected


@pytest.mark.parametrize(
    ("value", "index", "words"),
    [
        ([4, 5, 6], (3,), "an array of 3 values: it has no element 3, the first is 0"),
        ([], (0,), "an array of 0 values: it has no element 0"),
        (7.0, (0,), "a float: it has no element 0"),
        (None, (0,), "empty: it has no element 0"),
        ([[1, 2], [3, 4]], (1,), "an array of 2 values: choose one"),
        ([[1, 2], [3, 4]], (1, 5), "no element [1, 5]"),
    ],
)
def test_an_element_that_is_not_there_is_said_in_words(value, index, words) -> None:
    number = number_in(value, index=index)
    assert number.value is None
    assert words in number.detail


@pytest.mark.parametrize(
    ("text", "expected"),
    [("42.5", 42.5), ("42,5", 42.5), (" -7 ", -7.0), ("+.5", 0.5), ("1,5e3", 1500.0), ("9", 9.0), ("5.", 5.0)],
)
def test_a_text_that_holds_a_number_is_one_when_asked_for(text, expected) -> None:
    assert number_in(text, parse=True).value == expected


@pytest.mark.parametrize(
    "text", ["", "1.234,5", "1,234,567", "42.5 C", "0x10", "nan", "inf", "1_000", "٣", "--1", "e5"]
)
def test_a_text_that_holds_no_plain_number_is_refused_by_its_words(text) -> None:
    number = number_in(text, parse=True)
    assert number.value is None
    assert f'a String "{text}"' in number.detail


@given(st.integers(-(2**64), 2**64))
def test_an_integer_is_exact_or_said_with_all_digits(value) -> None:
    for number in (number_in(value), number_in(str(value), parse=True)):
        assert number.value == float(value)
        assert number.is_exact is (abs(value) <= EXACT_MAX)
        assert number.is_exact or str(value) in number.detail


@given(st.one_of(st.text(), st.lists(st.floats(), max_size=3), st.binary(max_size=3), st.floats()), st.booleans())
def test_any_value_is_a_finite_number_or_has_a_reason(value, parse) -> None:
    number = number_in(value, parse=parse)
    assert (number.value is None) == bool(number.detail) or not number.is_exact
