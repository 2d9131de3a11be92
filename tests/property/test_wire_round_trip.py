"""Whatever a batch holds comes back as it was; whatever else arrives is a WireFormatError."""

from __future__ import annotations

import contextlib
import json
import struct
import zlib
from collections.abc import Callable

import numpy as np
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloud_sync import wire
from cloud_sync.columns import ColumnBatch, RowColumns
from cloud_sync.errors import WireFormatError
from cloud_sync.records import Batch, Event, EventKind, Row, Series
from tests.support import wire_reference

text = st.text(max_size=12)
Encode = Callable[[Batch], bytes]
FORMS: list[Encode] = [wire.encode, wire.encode_json]

times_us = st.integers(-(2**62), 2**62)
finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(text, json_values, max_size=3)
series = st.builds(Series, text, text, text, objects)
events = st.builds(Event, text, st.sampled_from(EventKind), text, times_us, objects)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    known = draw(st.lists(series, min_size=1, max_size=4))
    rows = st.builds(Row, st.sampled_from(known), times_us, finite, finite)
    return Batch(draw(text), tuple(draw(st.lists(rows, max_size=20))), tuple(draw(st.lists(events, max_size=4))))


def plant_batch(rng: np.random.Generator, decimals: int, count: int) -> ColumnBatch:
    """Columns over a table that holds every series twice and some without a row; one series is not rounded."""
    table = tuple(Series(f"s-{n % 11}", "pump", "bar", {"n": n % 11 % 3}) for n in range(22))
    of_row = rng.choice([0, 1, 2, 5, 11, 13, 21], count)
    values = rng.normal(50.0, 20.0, count).round(decimals)
    values[of_row == 5] = rng.normal(size=count).astype(np.float32)[of_row == 5]
    times_us = 1_750_000_000_000_000 + np.arange(count) * 10_000 + rng.integers(0, 8_000, count)
    quality = rng.choice([1.0, 0.5, 0.4], count, p=[0.9, 0.05, 0.05])
    return ColumnBatch("gw-1", RowColumns(table, of_row, times_us, values, quality))


def refused_or_a_batch(body: bytes) -> None:
    with contextlib.suppress(WireFormatError):
        assert isinstance(wire.decode(body), Batch)


@settings(max_examples=300, deadline=None)
@given(batches())
def test_decoding_undoes_encoding(batch: Batch):
    assert wire.decode(wire.encode(batch)) == batch
    assert wire.decode(wire.encode_json(batch)) == batch


@settings(max_examples=300, deadline=None)
@given(batches())
def test_every_byte_is_the_one_that_the_description_says(batch: Batch):
    assert wire.decompress(wire.encode(batch)) == wire_reference.document(batch)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(1, 600))
def test_every_byte_of_a_plants_batch_is_the_one_that_the_description_says(seed: int, decimals: int, count: int):
    batch = plant_batch(np.random.default_rng(seed), decimals, count)
    assert wire.decompress(wire.encode_columns(batch)) == wire_reference.document(batch.batch())


@settings(max_examples=100, deadline=None)
@given(st.lists(batches(), min_size=1, max_size=4), st.data())
def test_rows_that_were_joined_are_written_as_rows_that_were_handed_over_together(
    parts: list[Batch], data: st.DataObject
):
    rows = tuple(row for part in parts for row in part.rows)
    joined = RowColumns.joined([RowColumns.of(part.rows) for part in parts])
    assert joined.rows() == rows
    start = data.draw(st.integers(0, len(rows)))
    some = ColumnBatch("gw", joined, parts[0].events).part(start, len(rows) + len(parts[0].events))
    assert wire.encode_columns(some) == wire.encode(Batch("gw", rows[start:], parts[0].events))


@settings(max_examples=300, deadline=None)
@given(batches(), st.sampled_from(FORMS), st.data())
def test_flipped_bits_never_raise_anything_else(batch: Batch, encode: Encode, data: st.DataObject):
    body = bytearray(encode(batch))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    refused_or_a_batch(bytes(body))


@settings(max_examples=300, deadline=None)
@given(batches(), st.sampled_from(FORMS), st.data())
def test_flipped_bits_below_the_compression_never_raise_anything_else(
    batch: Batch, encode: Encode, data: st.DataObject
):
    document = bytearray(wire.decompress(encode(batch)))
    for _ in range(data.draw(st.integers(1, 4))):
        document[data.draw(st.integers(0, len(document) - 1))] = data.draw(st.integers(0, 255))
    refused_or_a_batch(zstandard.compress(bytes(document)))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
@example(b"")
@example(b"\x28\xb5\x2f\xfd")
def test_any_bytes_never_raise_anything_else(body: bytes):
    refused_or_a_batch(body)
    refused_or_a_batch(zstandard.compress(body))


@settings(max_examples=300, deadline=None)
@given(batches(), st.sampled_from(["gateway_id", "series", "rows", "events", "schema"]), json_values)
def test_any_json_in_a_place_never_raises_anything_else(batch: Batch, place: str, value: object):
    document = json.loads(wire.decompress(wire.encode_json(batch)))
    document[place] = value
    refused_or_a_batch(zstandard.compress(json.dumps(document).encode()))
    for part in ("series", "time_us", "value", "quality"):
        document = json.loads(wire.decompress(wire.encode_json(batch)))
        document["rows"][part] = value
        refused_or_a_batch(zstandard.compress(json.dumps(document).encode()))


@settings(max_examples=500, deadline=None)
@given(batches(), st.data())
def test_flipped_bits_behind_a_matching_checksum_never_raise_anything_else(batch: Batch, data: st.DataObject):
    document = bytearray(wire.decompress(wire.encode(batch)))[:-4]
    for _ in range(data.draw(st.integers(1, 4))):
        document[data.draw(st.integers(0, len(document) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(document)) | st.just(len(document)))
    signed = bytes(document[:cut]) + zlib.crc32(document[:cut]).to_bytes(4, "little")
    with contextlib.suppress(WireFormatError):
        assert wire.record_count(signed) in (None, len(wire.parse(signed)))


decimals = st.builds(lambda m, k: m / 10**k, st.integers(-(10**9), 10**9), st.integers(0, 8))
plant_values = decimals | finite | st.floats(width=32, allow_nan=False, allow_infinity=False) | st.just(-0.0)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), plant_values, finite), min_size=1, max_size=40))
def test_values_and_qualities_come_back_bit_for_bit(readings: list[tuple[str, float, float]]):
    known = {name: Series(name, "general", "", {}) for name in "abc"}
    batch = Batch(
        "gw-1", tuple(Row(known[name], n, value, quality) for n, (name, value, quality) in enumerate(readings))
    )
    decoded = wire.decode(wire.encode(batch)).rows
    assert [struct.pack("dd", r.value, r.quality) for r in decoded] == [struct.pack("dd", v, q) for _, v, q in readings]
