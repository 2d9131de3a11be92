"""What is refused, with which words, and which of several rows of one key is kept."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from cloud_sync.columns import ColumnBatch, RowColumns
from cloud_sync.errors import BatchTooLargeError
from cloud_sync.records import Batch, Event, EventKind, Refusal, Row, Series
from cloud_sync.row_rules import MAX_DETAIL_CHARS, MAX_METADATA_BYTES, columns_of, judge, judge_columns

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW_US = 1_777_636_800_000_000
DAY_US = 86_400_000_000
SERIES = Series("pump-07.de-x.rms", "vibration", "g", {"asset": "pump-07"})


def rows(count: int, series: Series = SERIES) -> list[Row]:
    return [Row(series, NOW_US + n, n / 8, 1.0) for n in range(count)]


def refused(*offered: Row) -> list[Refusal]:
    return list(judge(Batch("gw-1", offered), now=NOW).refused)


def of_value(value: float, quality: float = 1.0, time_us: int = NOW_US) -> ColumnBatch:
    columns = RowColumns(
        (SERIES,), np.zeros(1, np.int64), np.array([time_us]), np.array([value]), np.array([quality])
    )  # fmt: skip
    return ColumnBatch("gw-1", columns)


def test_an_empty_batch_is_nothing():
    found = judge_columns(ColumnBatch("gw-1", RowColumns.of(())), now=NOW)
    assert (len(found.rows), found.events, found.duplicates, found.refused) == (0, (), 0, ())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_refused(value: float):
    found = judge_columns(of_value(value), now=NOW)
    detail = f"value {value} is not a number; a missing value is a gap"
    assert found.refused == (Refusal(0, "value_not_finite", detail),)
    assert len(found.rows) == 0


@pytest.mark.parametrize("quality", [-0.1, 1.1, math.nan, math.inf])
def test_quality_outside_zero_to_one_is_refused(quality: float):
    found = judge_columns(of_value(1.0, quality), now=NOW)
    assert found.refused == (Refusal(0, "quality_out_of_range", f"quality {quality} is not within 0 to 1"),)


@pytest.mark.parametrize("quality", [0.0, -0.0, 1.0])
def test_both_ends_of_quality_are_taken(quality: float):
    assert judge_columns(of_value(1.0, quality), now=NOW).rows.tolist() == [0]


@pytest.mark.parametrize(
    ("time_us", "expected"),
    [
        (946_684_800_000_000, None),
        (
            946_684_799_999_999,
            Refusal(
                0, "timestamp_too_old", "1999-12-31T23:59:59.999999+00:00 is before 2000-01-01: was the clock set?"
            ),
        ),
        (NOW_US + DAY_US, None),
        (
            NOW_US + DAY_US + 1,
            Refusal(
                0,
                "timestamp_in_future",
                "2026-05-02T12:00:00.000001+00:00 is more than a day ahead of the central's clock",
            ),
        ),
    ],
)
def test_time_is_bounded_to_the_microsecond(time_us: int, expected: Refusal | None):
    assert refused(Row(SERIES, time_us, 1.0, 1.0)) == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("time_us", "code", "shown"),
    [
        (2**63 - 1, "timestamp_in_future", "9223372036854775807 us"),
        (10**30, "timestamp_in_future", "9223372036854775807 us"),
        (-(10**30), "timestamp_too_old", "-9223372036854775808 us"),
    ],
)
def test_a_time_beyond_64_bits_is_refused_and_costs_no_neighbour(time_us: int, code: str, shown: str):
    (refusal,) = refused(*rows(2), replace(rows(1)[0], time_us=time_us))
    assert (refusal.index, refusal.code) == (2, code)
    assert refusal.detail.startswith(shown)


def test_a_value_is_named_before_quality_and_time():
    found = judge_columns(of_value(math.nan, quality=7.0, time_us=0), now=NOW)
    assert [refusal.code for refusal in found.refused] == ["value_not_finite"]


def test_a_sensor_is_named_before_its_rows():
    series = replace(SERIES, sensor_type="mood")
    assert [refusal.code for refusal in refused(Row(series, 0, 1.0, 7.0))] == ["unknown_sensor_type"]


@pytest.mark.parametrize(
    ("series", "code", "words"),
    [
        (replace(SERIES, sensor_id=""), "text_length", "sensor_id has 0 characters"),
        (replace(SERIES, sensor_id="ä" * 256), "text_length", "sensor_id has 256 characters"),
        (replace(SERIES, sensor_id="a\0"), "text_not_storable", "sensor_id: a text with a NUL"),
        (replace(SERIES, sensor_id="ä\udfff"), "text_not_storable", "sensor_id: a text with half a surrogate"),
        (replace(SERIES, unit="x" * 65), "text_length", "unit has 65 characters"),
        (replace(SERIES, sensor_type="z" * 1_000_000), "unknown_sensor_type", "sensor_type 'zzz"),
        (replace(SERIES, metadata={"a": "m" * 8_185}), "text_length", "metadata has 8193 bytes; the limit is 8192"),
        (replace(SERIES, metadata={"m" * 300_000: 1}), "text_length", "metadata has 300006 bytes"),
        (replace(SERIES, metadata={"a": ["\0"]}), "text_not_storable", "metadata: a text with a NUL"),
        (replace(SERIES, metadata={"a": math.nan}), "text_not_storable", "metadata: "),
    ],
)
def test_a_sensor_that_cannot_be_stored_costs_only_its_own_rows(series: Series, code: str, words: str):
    offered = [*rows(2), *rows(2, series), *rows(2, replace(SERIES, sensor_id="pump-08.rms", unit=""))]
    found = judge(Batch("gw-1", tuple(offered)), now=NOW)
    assert [(refusal.index, refusal.code) for refusal in found.refused] == [(2, code), (3, code)]
    assert all(refusal.detail.startswith(words) for refusal in found.refused)
    assert all(len(refusal.detail) <= MAX_DETAIL_CHARS for refusal in found.refused)
    assert [position for position, _ in found.rows] == [0, 1, 4, 5]


def test_metadata_at_the_limit_is_taken():
    assert refused(*rows(1, replace(SERIES, metadata={"a": "m" * (MAX_METADATA_BYTES - 8)}))) == []


def test_rows_whose_texts_come_to_too_much_are_to_be_sent_in_parts():
    heavy = replace(SERIES, metadata={"a": "m" * 8_000})
    with pytest.raises(BatchTooLargeError, match="the limit is 32000000"):
        judge(Batch("gw-1", tuple(rows(4_000, heavy))), now=NOW)
    assert len(judge(Batch("gw-1", tuple(rows(3_900, heavy))), now=NOW).rows) == 3_900


def test_a_refused_series_does_not_make_a_batch_too_large():
    heavy = replace(SERIES, metadata={"a": "m" * 100_000})
    found = judge(Batch("gw-1", (*rows(1_000, heavy), *rows(2, replace(SERIES, sensor_id="ok")))), now=NOW)
    assert (len(found.refused), len(found.rows)) == (1_000, 2)


def test_an_event_with_too_long_a_body_is_refused():
    event = Event("e", EventKind.ANNOTATION, "pump-07", NOW_US, {"a": "x" * 262_144})
    (refusal,) = judge(Batch("gw-1", (), (event,)), now=NOW).refused
    assert (refusal.code, refusal.detail) == ("text_length", "body has 262152 bytes; the limit is 262144")


def test_of_one_key_the_first_wins_wherever_the_others_stand():
    first, other = rows(2)
    renamed = Row(replace(SERIES, unit="m/s2"), first.time_us, first.value, first.quality)
    again = Row(replace(SERIES), first.time_us, first.value, first.quality)
    changed = replace(first, value=7.0)
    found = judge(Batch("gw-1", (first, other, changed, again, renamed, replace(first, quality=0.5), first)), now=NOW)
    detail = "position 0 of the same batch has this key with other contents; that one was kept"
    assert found.refused == tuple(Refusal(index, "conflict_in_batch", detail) for index in (2, 4, 5))
    assert found.duplicates == 2
    assert found.rows == ((0, first), (1, other))


def test_a_refused_row_does_not_stand_in_the_way_of_a_sound_one_of_its_key():
    bad, good = replace(rows(1)[0], quality=7.0), rows(1)[0]
    found = judge(Batch("gw-1", (bad, good)), now=NOW)
    assert [refusal.index for refusal in found.refused] == [0]
    assert found.rows == ((1, good),)


def test_what_may_be_stored_comes_by_sensor_and_time():
    ahead = replace(SERIES, sensor_id="a")
    offered = [*rows(3)[::-1], *rows(2, ahead)[::-1]]
    found = judge_columns(columns_of(Batch("gw-1", tuple(offered))), now=NOW)
    assert found.rows.tolist() == [4, 3, 2, 1, 0]


def test_metadata_is_written_once_and_left_out_where_there_is_none():
    bare = replace(SERIES, sensor_id="a", metadata={})
    wrong = replace(SERIES, sensor_id="b", metadata={"x": "\0"})
    offered = [*rows(1), *rows(1, bare), *rows(1, wrong)]
    batch = columns_of(Batch("gw-1", tuple(offered)))
    found = judge_columns(batch, now=NOW)
    texts = dict(zip((one.sensor_id for one in batch.rows.series), found.metadata, strict=True))
    assert texts == {SERIES.sensor_id: '{"asset":"pump-07"}', "a": None, "b": None}


def test_of_one_event_id_the_first_wins():
    first = Event("a", EventKind.GAP, "pump-07", NOW_US, {})
    changed = replace(first, subject="pump-08")
    bad = replace(first, event_id="b", time_us=0)
    found = judge(Batch("gw-1", tuple(rows(1)), (first, replace(first), changed, bad)), now=NOW)
    assert found.events == ((1, first),)
    assert found.duplicates == 1
    assert [(refusal.index, refusal.code) for refusal in found.refused] == [
        (3, "conflict_in_batch"),
        (4, "timestamp_too_old"),
    ]
    assert found.refused[0].detail.startswith("position 1 of the same batch")
