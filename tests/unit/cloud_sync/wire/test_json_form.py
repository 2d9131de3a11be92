"""The readable form holds still, and its decoder believes nothing."""

from __future__ import annotations

import json
import math

import pytest
import zstandard

from cloud_sync import wire
from cloud_sync.errors import WireFormatError
from cloud_sync.records import Batch, Event, EventKind, Row, Series
from tests.golden.wire.regenerate import BATCH
from tests.support.blocks import GATEWAY, START_US, gap_event, rows, series
from tests.support.places import TESTS

GOLDEN = TESTS / "golden" / "wire"
SOUND = {
    "schema": 1,
    "gateway_id": "gw-1",
    "series": [{"id": "a", "type": "pump", "unit": "g", "meta": {}}],
    "rows": {"series": [0, 0], "time_us": [START_US, 1], "value": [1.0, 2], "quality": [1.0, 0]},
    "events": [{"id": "e", "kind": "gap", "subject": "a", "time_us": START_US, "body": {}}],
}


def test_schema_1_reads_what_schema_1_wrote():
    assert wire.decode((GOLDEN / "1" / "batch.json.zst").read_bytes()) == BATCH


def test_schema_1_text_is_still_the_same():
    assert wire.decompress(wire.encode_json(BATCH)) == (GOLDEN / "1" / "batch.json").read_bytes()


def test_sound_document_of_the_other_cases_is_read():
    batch = wire.parse(json.dumps(SOUND).encode())
    assert [row.time_us for row in batch.rows] == [START_US, START_US + 1]
    assert len(batch) == 3


def with_(path: str, value: object) -> bytes:
    document = json.loads(json.dumps(SOUND))
    *way, last = path.split(".")
    place = document
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    place[int(last) if last.isdigit() else last] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", 2), ("schema", "1"), ("schema", True), ("schema", None), ("schema", 1.0),
        ("gateway_id", 7), ("gateway_id", None),
        ("series", {}), ("series", "abc"), ("series", [7]), ("series.0.meta", []), ("series.0.id", 7),
        ("series.0.unit", None),
        ("rows", []), ("rows", None), ("rows.series", [0, 1]), ("rows.series", [0, -1]), ("rows.series", [0]),
        ("rows.series", [0, True]), ("rows.series", {}), ("rows.time_us", [START_US]),
        ("rows.time_us", [START_US, 0.5]), ("rows.time_us", "ab"), ("rows.time_us", [START_US, False]),
        ("rows.value", ["1", "2"]), ("rows.value", [1.0, None]), ("rows.value", [1.0, True]),
        ("rows.value", [1.0, 10**400]), ("rows.value", [1.0, math.nan]), ("rows.value", [math.inf, 1.0]),
        ("rows.quality", [1.0]), ("rows.quality", [1.0, -math.inf]),
        ("events", {}), ("events", [[]]), ("events.0.kind", "party"), ("events.0.kind", []),
        ("events.0.body", None), ("events.0.body", {"x": math.nan}), ("events.0.time_us", "now"),
    ],
)  # fmt: skip
def test_malformed_document_is_refused(path: str, value: object):
    with pytest.raises(WireFormatError):
        wire.parse(with_(path, value))


@pytest.mark.parametrize("place", ["value", "quality"])
def test_number_too_large_for_a_double_is_refused(place: str):
    text = with_(f"rows.{place}", [1.0, 77.125]).replace(b"77.125", b"1e999")
    with pytest.raises(WireFormatError, match="not a value"):
        wire.parse(text)


@pytest.mark.parametrize("path", ["series.0.meta", "events.0.body"])
def test_number_too_large_for_a_double_is_refused_at_any_depth(path: str):
    text = with_(path, {"a": [{"b": 77.125}]}).replace(b"77.125", b"1e999")
    with pytest.raises(WireFormatError):
        wire.parse(text)


@pytest.mark.parametrize("missing", ["schema", "gateway_id", "series", "rows", "events"])
def test_missing_part_is_refused(missing: str):
    with pytest.raises(WireFormatError):
        wire.parse(json.dumps({k: v for k, v in SOUND.items() if k != missing}).encode())


@pytest.mark.parametrize("text", [b"", b"[]", b"7", b"null", b"\xff\xfe", b"{", b"[" * 100_000, b'{"schema":' * 50_000])
def test_text_that_is_no_batch_is_refused(text: bytes):
    with pytest.raises(WireFormatError):
        wire.parse(text)


def test_newer_schema_is_named_with_what_is_read_here():
    with pytest.raises(WireFormatError, match=r"version 2 is not known .* reads 1"):
        wire.parse(with_("schema", 2))


def test_every_cut_of_a_body_is_refused():
    body = wire.encode_json(Batch(GATEWAY, tuple(rows(20)), (gap_event(),)))
    for length in range(len(body)):
        with pytest.raises(WireFormatError):
            wire.decode(body[:length])


def test_decompression_bomb_is_refused():
    bomb = zstandard.ZstdCompressor().compress(b" " * (wire.MAX_DECODED_BYTES + 1))
    assert len(bomb) < 10_000
    with pytest.raises(WireFormatError, match="larger than"):
        wire.decode(bomb)


def test_body_that_asks_for_a_huge_window_is_refused():
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    large = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = large.compress(bytes(1 << 25)) + large.flush()
    with pytest.raises(WireFormatError, match="not zstd"):
        wire.decode(body)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_row_without_a_value_cannot_be_made(value: float):
    with pytest.raises(ValueError, match="a missing value is a gap"):
        Row(series(), START_US, value, 1.0)


@pytest.mark.parametrize(
    "batch",
    [
        Batch(GATEWAY, (Row(series(), START_US, 1.0, math.nan),)),
        Batch(GATEWAY, (Row(Series("a", "pump", "g", {"limit": math.inf}), START_US, 1.0, 1.0),)),
        Batch(GATEWAY, events=(Event("e", EventKind.GAP, "a", START_US, {"at": object()}),)),
    ],
    ids=["quality", "metadata", "body"],
)
def test_what_json_cannot_say_is_not_sent(batch: Batch):
    with pytest.raises(WireFormatError, match="cannot be written"):
        wire.encode_json(batch)


def test_sensor_whose_unit_changed_keeps_both_units():
    metric, imperial = Series("a", "pump", "mm/s", {}), Series("a", "pump", "in/s", {})
    batch = Batch(GATEWAY, (Row(metric, 1, 25.4, 1.0), Row(imperial, 2, 1.0, 1.0), Row(metric, 3, 25.4, 1.0)))
    assert wire.decode(wire.encode_json(batch)) == batch


def test_equal_series_travel_once():
    batch = Batch(GATEWAY, tuple(Row(series(), START_US + n, 1.0, 1.0) for n in range(50)))
    document = json.loads(wire.decompress(wire.encode_json(batch)))
    assert len(document["series"]) == 1
