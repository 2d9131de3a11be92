"""An OPC UA value becomes a reading that claims no more than the server said."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.quality import Quality
from edge_agent.core.tags import Tag
from edge_agent.drivers.opcua.mapping import SequenceWatch, quality_of, says_overflow, source_time_ns, to_reading

TAG = Tag("pump-2.flow", "m3/h", "pump")
AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def read(value: object, code: int = 0, source_time: datetime | None = AT):
    return to_reading(
        TAG, value=value, status_code=code, status_name="Name", source_time=source_time, received_time_ns=5
    )


@given(st.integers(0, 2**30 - 1), st.integers(0, 3))
def test_severity_is_the_two_highest_bits_and_the_reserved_one_is_bad(rest, severity):
    expected = [Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD][severity]
    assert quality_of(severity << 30 | rest) is expected


@pytest.mark.parametrize(("value", "number"), [(True, 1.0), (False, 0.0), (7, 7.0), (-2.5, -2.5), (2**64 - 1, 2.0**64)])
def test_a_number_or_bool_is_kept(value, number):
    reading = read(value)
    assert (reading.value, reading.quality, reading.status) == (number, Quality.GOOD, "0x00000000 Name")


def test_an_uncertain_value_is_kept_as_uncertain():
    reading = read(3.0, code=0x40930000)
    assert (reading.value, reading.quality) == (3.0, Quality.UNCERTAIN)


def test_a_bad_value_is_dropped_and_its_status_kept():
    reading = read(3.0, code=0x808C0000)
    assert (reading.value, reading.quality, reading.status) == (None, Quality.BAD, "0x808C0000 Name")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ("12.5", "a str"),
        (None, "empty"),
        ([1.0, 2.0], "a list"),
        (b"\x01", "a bytes"),
    ],
)
def test_what_is_no_finite_number_is_bad_and_says_why(value, words):
    reading = read(value)
    assert (reading.value, reading.quality) == (None, Quality.BAD)
    assert words in reading.status


def test_the_source_timestamp_is_the_readings_time_to_the_microsecond():
    assert read(1.0).time_ns == 1_772_366_400_123_456_000


def test_a_naive_source_timestamp_is_utc():
    assert source_time_ns(AT.replace(tzinfo=None)) == source_time_ns(AT)


@pytest.mark.parametrize("year", [1601, 1970, 1990, 2000])
def test_a_clock_that_was_never_set_says_nothing(year):
    reading = read(1.0, source_time=datetime(year, 1, 1, 0, 5, tzinfo=UTC))
    assert (reading.source_time_ns, reading.time_ns) == (None, 5)


def test_a_bad_reading_keeps_its_source_timestamp():
    assert read(1.0, code=0x80000000).source_time_ns == source_time_ns(AT)


@pytest.mark.parametrize(
    ("code", "overflows"),
    [(0x00000480, True), (0x40930480, True), (0x00000400, False), (0x00000080, False), (0, False)],
)
def test_overflow_is_the_flag_of_a_data_value_only(code, overflows):
    assert says_overflow(code) is overflows


@pytest.mark.parametrize(
    ("numbers", "missed"),
    [
        ([7, 8, 9], [0, 0, 0]),
        ([1, 4, 5], [0, 2, 0]),
        ([5, 5], [0, 0]),
        ([2**32 - 1, 1, 2], [0, 0, 0]),
    ],
    ids=["none", "two", "sent again", "numbers start over"],
)
def test_notifications_that_never_came_are_counted(numbers, missed):
    watch = SequenceWatch()
    assert [watch.missed_before(number) for number in numbers] == missed
