"""An OPC UA value becomes a reading that claims no more than the server said."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading, Tag
from edge_agent.drivers.opcua.decoding.mapping import quality_of, says_overflow, to_reading, utc_ns
from edge_agent.drivers.opcua.decoding.number import number_in
from edge_agent.drivers.row_time import RowStamp, TimeOf

TAG = Tag("pump-2.flow", "m3/h", "pump")
AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
NOW_NS = 1_772_366_401_000_000_000
BELIEVED = RowStamp(NOW_NS - 876_544_000, TimeOf.SOURCE)
OURS = RowStamp(NOW_NS, TimeOf.GATEWAY, "the source's time is 3 h ahead")


def read(value: object, code: int = 0, stamp: RowStamp = BELIEVED) -> Reading:
    status = f"0x{code:08X} Name"
    return to_reading(
        TAG, number=number_in(value), status_code=code, status=status, stamp=stamp, received_time_ns=NOW_NS
    )


@given(st.integers(0, 2**30 - 1), st.integers(0, 3))
def test_severity_is_the_two_highest_bits_and_the_reserved_one_is_bad(rest, severity):
    expected = [Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD][severity]
    assert quality_of(severity << 30 | rest) is expected


@pytest.mark.parametrize(("value", "number"), [(True, 1.0), (False, 0.0), (7, 7.0), (-2.5, -2.5), (2**53, 2.0**53)])
def test_a_number_or_bool_is_kept(value, number):
    reading = read(value)
    assert (reading.value, reading.quality, reading.status) == (number, Quality.GOOD, "0x00000000 Name")


def test_an_uncertain_value_is_kept_as_uncertain():
    reading = read(3.0, code=0x40930000)
    assert (reading.value, reading.quality) == (3.0, Quality.UNCERTAIN)


def test_a_bad_value_is_dropped_and_its_status_kept():
    reading = read(3.0, code=0x808C0000)
    assert (reading.value, reading.quality, reading.status) == (None, Quality.BAD, "0x808C0000 Name")


@pytest.mark.parametrize("value", [float("nan"), "12.5", None, [1.0, 2.0]])
def test_what_is_no_finite_number_is_bad_and_says_why(value):
    reading = read(value)
    assert (reading.value, reading.quality) == (None, Quality.BAD)
    assert reading.status == f"0x00000000 Name, but {number_in(value).detail}"


def test_an_integer_that_a_double_does_not_hold_is_uncertain_and_its_digits_are_kept():
    reading = read(2**53 + 1)
    assert (reading.value, reading.quality) == (2.0**53, Quality.UNCERTAIN)
    assert "exactly 9007199254740993" in reading.status


def test_a_time_that_is_believed_is_the_readings():
    assert read(1.0).time_ns == BELIEVED.time_ns


def test_a_time_that_is_not_believed_is_not_the_readings_and_says_why():
    reading = read(1.0, stamp=OURS)
    assert (reading.source_time_ns, reading.time_ns, reading.quality) == (None, NOW_NS, Quality.GOOD)
    assert reading.status == "0x00000000 Name; the source's time is 3 h ahead: the row has the gateway's"


def test_a_row_that_stands_later_than_its_value_came_is_uncertain():
    ahead = RowStamp(NOW_NS + 3_600_000_000_000, TimeOf.SOURCE, is_ahead=True)
    assert read(1.0, stamp=ahead).quality is Quality.UNCERTAIN


def test_a_timestamp_is_utc_to_the_microsecond_with_a_zone_or_without():
    assert utc_ns(AT) == utc_ns(AT.replace(tzinfo=None)) == 1_772_366_400_123_456_000


def test_the_zero_of_the_protocol_is_no_time():
    assert utc_ns(None) is utc_ns(datetime(1601, 1, 1, tzinfo=UTC)) is None
    assert utc_ns(datetime(1601, 1, 1, microsecond=1, tzinfo=UTC)) == -11_644_473_600_000_000_000 + 1_000


@pytest.mark.parametrize(
    ("code", "overflows"),
    [(0x00000480, True), (0x40930480, True), (0x00000400, False), (0x00000080, False), (0, False)],
)
def test_overflow_is_the_flag_of_a_data_value_only(code, overflows):
    assert says_overflow(code) is overflows
