"""A batch as the body of a request, and back: the door to both forms.

The binary form (docs/WIRE_FORMAT.md) is what is stored and sent; schema 1 JSON is the readable alternative, and
what an outbox from before still holds. Both are zstd-compressed. Decoding tells them apart by their first bytes
and is strict: a decoder that guesses would invent data.
"""

from __future__ import annotations

from typing import Final

import zstandard

from cloud_sync.columns import ColumnBatch, RowColumns
from cloud_sync.errors import WireFormatError
from cloud_sync.records import Batch
from cloud_sync.wire import binary_reader, binary_writer, json_form

CONTENT_TYPE: Final = "application/vnd.smart-maintenance.batch"
JSON_CONTENT_TYPE: Final = "application/vnd.smart-maintenance.batch+json"
CONTENT_ENCODING: Final = "zstd"

SCHEMA_VERSION: Final = json_form.SCHEMA_VERSION

MAX_DECODED_BYTES: Final = 64_000_000
"""A batch of 1,000 rows is about 40 kB of JSON; this only stops a decompression bomb."""
MAX_WINDOW_BYTES: Final = 1 << 23  # RFC 8878's advice for what a decoder should take; level 3 uses a quarter

_JSON_LEVEL: Final = 3  # 9 costs nine times the CPU for under 10 % fewer bytes


def encode(batch: Batch) -> bytes:
    """Return the body of an ingest request, compressed. Raises WireFormatError for NaN and other objects."""
    try:
        rows = RowColumns.of(batch.rows)
    except (TypeError, OverflowError) as exc:
        raise WireFormatError(f"the batch cannot be written: {exc}") from exc
    return encode_columns(ColumnBatch(batch.gateway_id, rows, batch.events))


def encode_columns(batch: ColumnBatch) -> bytes:
    """Encode rows that are columns already: no row is made."""
    return binary_writer.encode(batch)


def encode_json(batch: Batch) -> bytes:
    """Return the same as a JSON document, compressed. Raises WireFormatError for NaN and other objects."""
    return zstandard.ZstdCompressor(level=_JSON_LEVEL).compress(json_form.write(batch))


def decode(body: bytes) -> Batch:
    """Return the batch in a compressed body. Raises WireFormatError, naming what is wrong."""
    return parse(decompress(body))


def decompress(body: bytes) -> bytes:
    """Return the document in a body. Raises WireFormatError when it is not zstd or too large."""
    document = _decompressed(body, MAX_DECODED_BYTES + 1)
    if len(document) > MAX_DECODED_BYTES:
        raise WireFormatError(f"the body is larger than {MAX_DECODED_BYTES} bytes once decompressed")
    return document


def parse(document: bytes) -> Batch:
    """Return the batch in a document that was decompressed. Raises WireFormatError, naming what is wrong."""
    return binary_reader.read(document) if is_binary(document) else json_form.read(document)


def decode_columns(body: bytes) -> ColumnBatch:
    """Return the batch in a compressed body, its rows as columns. Raises WireFormatError, naming what is wrong."""
    return parse_columns(decompress(body))


def parse_columns(document: bytes) -> ColumnBatch:
    """Return the batch in a document, its rows as columns. Raises WireFormatError, naming what is wrong."""
    return binary_reader.read_columns(document) if is_binary(document) else json_form.read_columns(document)


def keep_catalogues(max_bytes: int) -> None:
    """Keep so many bytes of the catalogues that were read in this process."""
    binary_reader.known_catalogues.keep(max_bytes)


def read_keys(body: bytes) -> binary_reader.RowKeys:
    """Return the keys of the rows in a compressed body. Raises WireFormatError, naming what is wrong."""
    document = decompress(body)
    if is_binary(document):
        return binary_reader.read_keys(document)
    rows = json_form.read_columns(document).rows
    return binary_reader.RowKeys(tuple(one.sensor_id for one in rows.series), rows.of_row, rows.time_us)


def is_binary(document: bytes) -> bool:
    return document.startswith(binary_writer.MAGIC)


def record_count(document: bytes) -> int | None:
    """Return how many records a document claims to hold, before any is made; None where only reading it shows."""
    return binary_reader.record_count(document) if is_binary(document) else None


def content_type(body: bytes) -> str:
    """Return the Content-Type of a compressed body."""
    try:
        return CONTENT_TYPE if is_binary(_decompressed(body, len(binary_writer.MAGIC))) else JSON_CONTENT_TYPE
    except WireFormatError:
        return JSON_CONTENT_TYPE


def _decompressed(body: bytes, limit_bytes: int) -> bytes:
    try:
        decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
        return bytes(decompressor.stream_reader(body, read_across_frames=True).read(limit_bytes))
    except zstandard.ZstdError as exc:
        raise WireFormatError(f"the body is not zstd: {exc}") from exc
