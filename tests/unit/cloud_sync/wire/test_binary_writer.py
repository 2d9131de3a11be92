"""The compact form holds still, gives back every bit, and its decoder believes nothing."""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np
import pytest
import zstandard

from cloud_sync import wire
from cloud_sync.errors import WireFormatError
from cloud_sync.records import Batch, Event, EventKind, Row, Series
from cloud_sync.wire import binary_writer
from tests.golden.wire.regenerate import BATCH
from tests.support.blocks import GATEWAY, START_US, gap_event, rows, series
from tests.support.places import REPOSITORY, TESTS

GOLDEN = TESTS / "golden" / "wire" / "1"
CRC_BYTES = 4


def document_of(batch: Batch) -> bytes:
    return wire.decompress(wire.encode(batch))


def signed(document: bytes) -> bytes:
    """With the checksum that belongs to it, so that a test meets the check behind it."""
    body = document[:-CRC_BYTES]
    return body + zlib.crc32(body).to_bytes(CRC_BYTES, "little")


def of_values(*values: float, one: Series | None = None) -> Batch:
    one = one or series()
    return Batch(GATEWAY, tuple(Row(one, START_US + n, value, 1.0) for n, value in enumerate(values)))


def bits(values: tuple[float, ...]) -> list[bytes]:
    return [struct.pack("<d", value) for value in values]


def test_version_1_reads_what_version_1_wrote():
    assert wire.decode((GOLDEN / "batch.bin.zst").read_bytes()) == BATCH


def test_version_1_document_is_still_the_same():
    assert document_of(BATCH) == (GOLDEN / "batch.bin").read_bytes()


@pytest.mark.parametrize(
    "values",
    [
        (0.0, -0.0, 0.0),
        (20.5, 20.6, 20.7),
        (0.1 + 0.2, 0.3),
        (1e15 + 0.3, 1e15 + 0.4),
        (2.0**53, 2.0**53 + 2.0, -(2.0**53)),
        (5e-324, -5e-324, 1.7976931348623157e308, -1.7976931348623157e308),
        tuple(float(np.float32(math.sin(n))) for n in range(9)),
        tuple(math.sin(n) for n in range(9)),
        (3.4028234663852886e38, 1e-45),
        (float(np.float32(1e-45)), -0.0),
        (1e300, 1e-300),
        (123_456.789012, -0.000001),
    ],
)  # fmt: skip
def test_values_come_back_bit_for_bit(values: tuple[float, ...]):
    decoded = wire.decode(wire.encode(of_values(*values)))
    assert bits(tuple(row.value for row in decoded.rows)) == bits(values)


def test_rows_keep_their_order_however_series_are_mixed():
    names = [series(name) for name in ("c", "a", "b")]
    mixed = tuple(Row(names[(n * n) % 3], START_US - n * 17, float(n), 1.0) for n in range(40))
    assert wire.decode(wire.encode(Batch(GATEWAY, mixed))).rows == mixed


def test_equal_series_travel_once():
    batch = Batch(GATEWAY, tuple(Row(series(), START_US + n, 1.0, 1.0) for n in range(50)))
    assert document_of(batch).count(b"pump-07.de-x.rms") == 1


def test_sensor_whose_unit_changed_keeps_both_units():
    metric, imperial = Series("a", "pump", "mm/s", {}), Series("a", "pump", "in/s", {})
    batch = Batch(GATEWAY, (Row(metric, 1, 25.4, 1.0), Row(imperial, 2, 1.0, 1.0), Row(metric, 3, 25.4, 1.0)))
    assert wire.decode(wire.encode(batch)) == batch


def test_more_series_than_the_cache_keeps_are_written_right():
    for n in range(50):
        batch = of_values(1.0, 2.0, one=series(f"s-{n}"))
        assert wire.decode(wire.encode(batch)) == batch


def test_extreme_times_come_back():
    last = 2**63 - 1
    batch = Batch(GATEWAY, tuple(Row(series(), t, 1.0, 1.0) for t in (-last - 1, last, 0, -1, last)))
    assert wire.decode(wire.encode(batch)) == batch


def test_empty_batch_and_events_alone_come_back():
    for batch in (Batch(GATEWAY), Batch(GATEWAY, events=(gap_event(),)), Batch("", tuple(rows(1)))):
        assert wire.decode(wire.encode(batch)) == batch


def test_body_from_before_is_still_read_and_named():
    body = wire.encode_json(BATCH)
    assert wire.decode(body) == BATCH
    assert wire.content_type(body) == wire.JSON_CONTENT_TYPE
    assert wire.content_type(wire.encode(BATCH)) == wire.CONTENT_TYPE
    assert wire.content_type(b"not a batch") == wire.JSON_CONTENT_TYPE


@pytest.mark.parametrize(
    "batch",
    [
        Batch(GATEWAY, (Row(series(), START_US, 1.0, math.nan),)),
        Batch(GATEWAY, (Row(series(), START_US, 1.0, math.inf),)),
        Batch(GATEWAY, (Row(series(), 2**63, 1.0, 1.0),)),
        Batch(GATEWAY, (Row(series(), 0.5, 1.0, 1.0),)),  # type: ignore[arg-type]
        Batch(GATEWAY, (Row(Series("a", "pump", "g", {"limit": math.inf}), START_US, 1.0, 1.0),)),
        Batch(GATEWAY, (Row(Series("a", "pump", "g", {"limit": object()}), START_US, 1.0, 1.0),)),
        Batch(GATEWAY, events=(Event("e", EventKind.GAP, "a", START_US, {"at": object()}),)),
        Batch("\ud800"),
        Batch("x" * 70_000),
    ],
    ids=["nan", "inf", "late", "no integer", "metadata inf", "metadata object", "body", "surrogate", "long id"],
)
def test_what_cannot_be_said_is_not_sent(batch: Batch):
    with pytest.raises(WireFormatError, match="cannot be written"):
        wire.encode(batch)


def test_every_cut_of_a_body_is_refused():
    body = wire.encode(Batch(GATEWAY, tuple(rows(300)), (gap_event(),)))
    for length in range(len(body)):
        with pytest.raises(WireFormatError):
            wire.decode(body[:length])


def test_every_cut_of_a_document_is_refused_also_with_a_matching_checksum():
    document = document_of(BATCH)
    for length in range(len(document)):
        with pytest.raises(WireFormatError):
            wire.parse(document[:length])
        if length > CRC_BYTES:
            with pytest.raises(WireFormatError):
                wire.parse(signed(document[:length]))


def test_every_flipped_byte_of_a_document_is_refused():
    document = document_of(BATCH)
    for place in range(len(document)):
        for change in (0x01, 0x80, 0xFF):
            damaged = bytearray(document)
            damaged[place] ^= change
            with pytest.raises(WireFormatError):
                wire.parse(bytes(damaged))


def test_bytes_after_the_end_are_refused():
    document = document_of(BATCH)
    with pytest.raises(WireFormatError, match="checksum"):
        wire.parse(document + b"\0")
    with pytest.raises(WireFormatError, match="follow the end"):
        wire.parse(signed(document[:-CRC_BYTES] + b"\0" + bytes(CRC_BYTES)))


@pytest.mark.parametrize(
    ("offset", "format_", "value", "words"),
    [
        (4, "<H", 2, "version 2 is not known .* reads 1"),
        (8, "<I", 0, "no series"),
        (8, "<I", 2**32 - 1, "series for"),
        (12, "<I", 2**32 - 1, "records"),
        (12, "<I", 900_000, "cut short"),
        (16, "<I", 2**32 - 1, "records"),
        (16, "<I", 3, "claims 3 events"),
        (20, "<I", 2**32 - 1, "cut short"),
    ],
)
def test_header_that_lies_is_refused_before_anything_is_allocated(offset: int, format_: str, value: int, words: str):
    document = bytearray(document_of(BATCH))
    struct.pack_into(format_, document, offset, value)
    with pytest.raises(WireFormatError, match=words):
        wire.parse(signed(bytes(document)))


def test_count_of_records_is_known_before_they_are_read():
    document = document_of(BATCH)
    assert wire.record_count(document) == len(BATCH)
    assert wire.record_count((GOLDEN / "batch.json").read_bytes()) is None
    with pytest.raises(WireFormatError, match="cut short"):
        wire.record_count(document[:10])


def test_value_that_is_not_a_number_is_refused():
    document = document_of(of_values(math.pi))
    for hidden in (math.nan, math.inf):
        zigzagged = int.from_bytes(struct.pack("<d", hidden), "little") << 1
        plain = int.from_bytes(struct.pack("<d", math.pi), "little") << 1
        damaged = document.replace(plain.to_bytes(8, "little"), zigzagged.to_bytes(8, "little"))
        assert damaged != document
        with pytest.raises(WireFormatError, match="a missing value is a gap"):
            wire.parse(signed(damaged))


def test_decompression_bomb_is_refused():
    bomb = zstandard.ZstdCompressor().compress(binary_writer.MAGIC + bytes(wire.MAX_DECODED_BYTES + 1))
    assert len(bomb) < 10_000
    with pytest.raises(WireFormatError, match="larger than"):
        wire.decode(bomb)


def test_bomb_in_many_frames_is_refused():
    frame = zstandard.ZstdCompressor().compress(bytes(1 << 20))
    with pytest.raises(WireFormatError, match="larger than"):
        wire.decode(frame * 70)


def example() -> Batch:
    degrees, vibration = Series("t1", "temperature", "degC", {}), Series("v1", "vibration", "g", {"asset": "p"})
    return Batch(
        "gw-1",
        (
            Row(degrees, START_US, 20.5, 1.0),
            Row(vibration, START_US + 10, float(np.float32(0.3)), 1.0),
            Row(degrees, START_US + 1_000_000, 20.6, 0.5),
        ),
    )


def test_example_on_the_page_is_what_is_written_and_read():
    page = (REPOSITORY / "docs" / "WIRE_FORMAT.md").read_text(encoding="utf-8")
    block = page.split("```hex\n")[1].split("```")[0]
    document = bytes.fromhex("".join(line.partition("#")[0] for line in block.splitlines()))
    assert document_of(example()) == document
    assert wire.parse(document) == example()
