"""Plain and JSON messages as numbers."""

from __future__ import annotations

import pytest

from edge_agent.drivers.mqtt.plain_payload import FieldValue, find, parse, time_of


@pytest.mark.parametrize(
    ("payload", "field", "number"),
    [
        (b"21.5", "", 21.5),
        (b" -3,5\r\n", "", -3.5),
        (b"\xef\xbb\xbf7", "", 7),
        (b"true", "", 1.0),
        (b'"42.5"', "", 42.5),
        (b'{"a": {"b": [1, 2.5]}}', "a.b.1", 2.5),
        (b'{"t": "1e3"}', "t", 1000.0),
        (b"9007199254740993", "", 9007199254740993),
    ],
)
def test_numbers_are_found(payload: bytes, field: str, number: float) -> None:
    assert find(parse(payload), field, None) == FieldValue(number)


@pytest.mark.parametrize(
    ("payload", "field", "words"),
    [
        (b"ON", "", "'ON'"),
        (b"", "", "not a finite number"),
        (b"NaN", "", "not a finite number"),
        (b"1_000", "", "not a finite number"),
        (b"infinity", "", "not a finite number"),
        (b'{"a": 1}', "b", "the message has no b"),
        (b'{"a": [1]}', "a.1", "the message has no a.1"),
        (b'{"a": null}', "a", "a is null"),
        (b'{"a": {}}', "a", "an object"),
        (b"[" * 100_000, "", "not a finite number"),
        (b"1" + b"0" * 4_000, "", "not a finite number"),
    ],
)
def test_what_is_no_number_says_what_it_is(payload: bytes, field: str, words: str) -> None:
    found = find(parse(payload), field, None)
    assert found.number is None
    assert words in found.why


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="no text"):
        parse(b"\xff\xfe\x00")


@pytest.mark.parametrize(
    ("value", "time_ns"),
    [
        (1_700_000_000, 1_700_000_000_000_000_000),
        (1_700_000_000_123, 1_700_000_000_123_000_000),
        (1_700_000_000_123_456, 1_700_000_000_123_456_000),
        (1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000_000_000_000),
        ("2023-11-14 22:13:20", 1_700_000_000_000_000_000),
    ],
)
def test_times_are_read_by_their_form_and_size(value: object, time_ns: int) -> None:
    assert time_of(value) == time_ns


@pytest.mark.parametrize("value", ["yesterday", -5, True, None, 1e300, [1], float("nan")])
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is no time"):
        time_of(value)
