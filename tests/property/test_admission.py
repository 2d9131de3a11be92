"""Judging columns says of every batch what judging it row by row in the plainest way says."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloud_sync import wire
from cloud_sync.records import Batch, Event, EventKind, Refusal, Row, Series
from cloud_sync.row_rules import SENSOR_TYPES, columns_of, judge, judge_columns

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW_US = 1_777_636_800_000_000
OLDEST_US = 946_684_800_000_000
LATEST_US = NOW_US + 86_400_000_000

texts = st.sampled_from(["a", "b", "B", "ä", "x" * 256, "", "a\0"])
series = st.builds(
    Series, texts, st.sampled_from(["pump", "audio", "mood"]), st.sampled_from(["g", "", "\0"]),
    st.sampled_from([{}, {"n": 1}, {"n": 1.0}, {"n": True}, {"n": "\0"}, {"n": float("inf")}]),
)  # fmt: skip
times_us = st.sampled_from([NOW_US, NOW_US + 1, OLDEST_US, OLDEST_US - 1, LATEST_US, LATEST_US + 1]) | st.integers(
    -(2**63), 2**63 - 1
)
values = st.sampled_from([0.0, -0.0, 1.0, 1e308])
qualities = st.sampled_from([0.0, -0.0, 1.0, 0.5, 1.0000001, -1e-9, float("nan")])
events = st.builds(
    Event, st.sampled_from(["a", "b", "a\0"]), st.sampled_from(EventKind), st.sampled_from(["p", "q"]), times_us,
    st.just({}),
)  # fmt: skip


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    known = draw(st.lists(series, min_size=1, max_size=6))
    sound = st.builds(Row, st.sampled_from(known), st.sampled_from([NOW_US, NOW_US + 1]), values, st.just(1.0))
    rows = sound | st.builds(Row, st.sampled_from(known), times_us, values, qualities)
    return Batch("gw-1", tuple(draw(st.lists(rows, max_size=25))), tuple(draw(st.lists(events, max_size=6))))


def code_of(record: Row | Event) -> str | None:
    """Why a record cannot be stored, whatever stands beside it."""
    if isinstance(record, Row):
        if record.series.sensor_type not in SENSOR_TYPES:
            return "unknown_sensor_type"
        if not 1 <= len(record.series.sensor_id) <= 255:
            return "text_length"
        if any(bad in f"{record.series.sensor_id}{record.series.unit}{record.series.metadata}" for bad in UNSTORABLE):
            return "text_not_storable"
        if not 0 <= record.quality <= 1:
            return "quality_out_of_range"
    elif "\0" in record.event_id:
        return "text_not_storable"
    if record.time_us < OLDEST_US:
        return "timestamp_too_old"
    return "timestamp_in_future" if record.time_us > LATEST_US else None


UNSTORABLE = ("\0", r"\x00", "inf")  # as they are, and as they are shown within metadata


def is_repeat(one: Row | Event, other: Row | Event) -> bool:
    """Equal to the bit: 0.0 and -0.0 are two values."""
    bits = [struct.pack("2d", row.value, row.quality) for row in (one, other) if isinstance(row, Row)]
    return one == other and len(set(bits)) < 2


def plainly(batch: Batch) -> tuple[list[int], int, list[tuple[int, str]]]:
    """The positions that are kept, how many repeats, and the refusals with their codes."""
    kept: dict[object, tuple[int, Row | Event]] = {}
    repeats, refused = 0, []
    for position, record in enumerate([*batch.rows, *batch.events]):
        key = record.key if isinstance(record, Row) else record.event_id
        code = code_of(record)
        if code is not None:
            refused.append((position, code))
        elif key not in kept:
            kept[key] = (position, record)
        elif is_repeat(kept[key][1], record):
            repeats += 1
        else:
            refused.append((position, f"conflict_in_batch with {kept[key][0]}"))
    return sorted(position for position, _ in kept.values()), repeats, refused


def said(refusal: Refusal) -> tuple[int, str]:
    """Its position and code; of a conflict also with whom."""
    with_whom = f" with {refusal.detail.split()[1]}" if refusal.code == "conflict_in_batch" else ""
    return refusal.index, refusal.code + with_whom


@settings(max_examples=500, deadline=None)
@given(batches())
@example(Batch("gw-1", tuple(Row(Series("a", "pump", "g"), NOW_US, zero, 1.0) for zero in (0.0, -0.0))))
def test_columns_are_judged_as_their_rows_are(batch: Batch):
    found = judge(batch, now=NOW)
    placed = [*found.rows, *found.events]
    assert ([position for position, _ in placed], found.duplicates, list(map(said, found.refused))) == plainly(batch)
    records = [*batch.rows, *batch.events]
    assert all(records[position] is record for position, record in placed)


@settings(max_examples=300, deadline=None)
@given(batches())
def test_what_may_be_stored_is_in_the_order_of_its_keys(batch: Batch):
    found = judge_columns(columns_of(batch), now=NOW)
    keys = [batch.rows[position].key for position in found.rows.tolist()]
    assert keys == sorted(set(keys))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.builds(Row, series.filter(lambda one: one.metadata != {"n": float("inf")}), times_us, values,
                          qualities.filter(lambda quality: quality == quality)), max_size=20))  # fmt: skip
def test_both_forms_are_read_as_the_same_columns(rows: list[Row]):
    batch = Batch("gw-1", tuple(rows))
    for body in (wire.encode(batch), wire.encode_json(batch)):
        assert wire.decode_columns(body).batch() == batch
