"""The compact form of a batch: columns of exact numbers, grouped by series, in any order of rows. Version 1.

docs/WIRE_FORMAT.md describes every byte. What is compressed is the document, as a row of zstd frames, so that
columns do not share their statistics and the catalogue's frame can be used again; to a reader they are one
stream. The frames' boundaries mean nothing.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray

from cloud_sync.errors import WireFormatError
from cloud_sync.records import Batch, Row, Series
from cloud_sync.wire_catalogue import EMPTY, Catalogue, CatalogueCache, Positions, read_catalogue
from cloud_sync.wire_columns import Counts, Reader, Words, differences, planes_of, running_sums, unzigzag, zigzag
from cloud_sync.wire_json import event_fields, events_of, parsed
from cloud_sync.wire_values import Groups, read_values, write_values

MAGIC: Final = b"SMEB"
VERSION: Final = 1
MAX_RECORDS: Final = 1_000_000
"""A column of zeros takes one byte however long it is, so the count alone must be bounded."""

_HEADER: Final = struct.Struct("<4sHHIIII")  # magic, version, gateway id bytes, series, rows, events, events bytes
_CRC_BYTES: Final = 4
_LEVEL: Final = 1  # planes hold no repeats worth a longer search
_OWN_FRAME_BYTES: Final = 256
"""A frame costs about ten bytes; from here on statistics of its own are worth more."""

_catalogues = CatalogueCache()


class RowKeys(NamedTuple):
    """Row n is of sensor `sensor_ids[of_row[n]]` (which may stand there twice) at `times_us[n]`."""

    sensor_ids: tuple[str, ...]
    of_row: Counts
    times_us: Counts


def encode(batch: Batch) -> bytes:
    """The compressed document. Raises WireFormatError for what cannot be said (NaN, objects that are not JSON)."""
    try:
        catalogue, pieces = _row_pieces(batch.rows) if batch.rows else (EMPTY, [])
        gateway_id = batch.gateway_id.encode()
        events = _events_text(batch)
        counts = len(catalogue.series), len(batch.rows), len(batch.events), len(events)
        head = _HEADER.pack(MAGIC, VERSION, len(gateway_id), *counts) + gateway_id
        pieces.append(events)
    except (TypeError, ValueError, OverflowError, RecursionError, struct.error) as exc:
        raise WireFormatError(f"the batch cannot be written: {exc}") from exc
    crc = zlib.crc32(b"".join([head, catalogue.document, *pieces]))
    pieces.append(crc.to_bytes(_CRC_BYTES, "little"))
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    return b"".join([compressor.compress(head), catalogue.compressed, *_frames(pieces, compressor)])


def record_count(document: bytes) -> int:
    """Rows and events a document claims to hold, without believing it."""
    *_, rows, events, _ = _header(document)
    return rows + events


def read(document: bytes) -> Batch:
    """The batch in a document. Raises WireFormatError, naming what is wrong."""
    reader, gateway_bytes, series_count, row_count, event_count, events_bytes = _begun(document)
    gateway_id = _text(reader.take(gateway_bytes))
    rows = _read_rows(reader, series_count, row_count) if row_count else ()
    events = parsed(reader.take(events_bytes)) if event_count else []
    reader.end()
    try:
        batch = Batch(gateway_id, rows, events_of(events))
    except (KeyError, TypeError, ValueError, RecursionError) as exc:
        raise WireFormatError(f"an event is malformed: {type(exc).__name__}: {exc}") from exc
    if len(batch.events) != event_count:
        raise WireFormatError(f"the batch claims {event_count} events and has {len(batch.events)}")
    return batch


def read_keys(document: bytes) -> RowKeys:
    """The keys of a document's rows, without making rows. Raises WireFormatError, naming what is wrong."""
    reader, gateway_bytes, series_count, row_count, *_ = _begun(document)
    if not row_count:
        return RowKeys((), np.zeros(0, np.int64), np.zeros(0, np.int64))
    reader.take(gateway_bytes)
    series, of_series, groups = _read_series(reader, series_count, row_count)
    order = _by_series(of_series, series_count)
    times = _in_order(_read_times(reader, groups, groups.is_first), order).view(np.int64)
    return RowKeys(tuple(one.sensor_id for one in series), of_series, times)


def _begun(document: bytes) -> tuple[Reader, int, int, int, int, int]:
    """Checked against its checksum and its own claims, and read to the end of its header, whose counts follow."""
    gateway_bytes, series_count, row_count, event_count, events_bytes = _header(document)
    if row_count + event_count > MAX_RECORDS:
        raise WireFormatError(f"the batch claims {row_count + event_count} records; {MAX_RECORDS} is the most")
    if series_count > row_count:
        raise WireFormatError(f"the batch claims {series_count} series for {row_count} rows")
    stop = len(document) - _CRC_BYTES
    if zlib.crc32(document[:stop]) != int.from_bytes(document[stop:], "little"):
        raise WireFormatError("the batch does not match its checksum")
    reader = Reader(document, start=_HEADER.size, stop=stop)
    return reader, gateway_bytes, series_count, row_count, event_count, events_bytes


def _events_text(batch: Batch) -> bytes:
    if not batch.events:
        return b""
    fields = [event_fields(event) for event in batch.events]
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()


def _row_pieces(rows: Sequence[Row]) -> tuple[Catalogue, list[bytes]]:
    catalogue, of_series = _catalogues.place(rows)
    count, series_count = len(rows), len(catalogue.series)
    # `struct` refuses what is no integer or needs more than 64 bits; NumPy would cut it.
    times = np.frombuffer(struct.pack(f"{count}q", *[row.time_us for row in rows]), np.uint64)
    values = np.frombuffer(struct.pack(f"{count}d", *[row.value for row in rows]))
    qualities = np.frombuffer(struct.pack(f"{count}d", *[row.quality for row in rows]))
    if not (np.isfinite(values).all() and np.isfinite(qualities).all()):
        raise ValueError("a value or a quality is not a number")
    order = _by_series(of_series, series_count)
    groups = Groups.of(np.bincount(of_series, minlength=series_count))
    is_first = groups.is_first
    turns = differences(of_series.view(np.uint64)).view(np.int64)
    turns[turns < 0] += series_count
    return catalogue, [
        *planes_of(turns.view(np.uint64)),
        *_write_times(times[order], is_first),
        *_write_palette(qualities),
        *write_values(values[order], groups, is_first),
    ]


def _by_series(of_series: Positions, series_count: int) -> Counts:
    """The rows' places, grouped by series; 16 bits are sorted by counting."""
    return np.argsort(of_series.astype(np.uint16) if series_count <= 1 << 16 else of_series, kind="stable")


def _write_times(times: Words, is_first: NDArray[np.bool_]) -> list[bytes]:
    """Each series' first against that of the series before; the others against the time before and the usual step."""
    others = differences(times)[~is_first]
    middle = len(others) // 2
    step = np.partition(others.view(np.int64), middle)[middle].view(np.uint64) if len(others) else np.uint64(0)
    return [
        step.astype("<u8").tobytes(),
        *planes_of(zigzag(differences(times[is_first]))),
        *planes_of(zigzag(others - step)),
    ]


def _write_palette(numbers: NDArray[np.float64]) -> list[bytes]:
    bits = numbers.view(np.uint64)
    if (bits == bits[0]).all():
        return [b"\x01\0\0\0", bits[:1].astype("<u8").tobytes(), b"\0"]
    differs = bits != bits[0]
    others, places = np.unique(bits[differs], return_inverse=True)
    of_row = np.zeros(len(bits), np.uint64)
    of_row[differs] = places + 1
    return [
        (len(others) + 1).to_bytes(4, "little"),
        bits[:1].astype("<u8").tobytes(),
        others.astype("<u8").tobytes(),
        *planes_of(of_row),
    ]


def _frames(pieces: Sequence[bytes], compressor: zstandard.ZstdCompressor) -> list[bytes]:
    """Large pieces on their own, small neighbours together."""
    frames: list[bytes] = []
    small: list[bytes] = []
    for piece in pieces:
        if len(piece) < _OWN_FRAME_BYTES:
            small.append(piece)
            continue
        if small:
            frames.append(compressor.compress(b"".join(small)))
            small = []
        frames.append(compressor.compress(piece))
    if small:
        frames.append(compressor.compress(b"".join(small)))
    return frames


def _header(document: bytes) -> tuple[int, int, int, int, int]:
    if len(document) < _HEADER.size + _CRC_BYTES:
        raise WireFormatError("the batch is cut short in its header")
    magic, version, *counts = _HEADER.unpack_from(document)
    if magic != MAGIC:
        raise WireFormatError("the document is not a binary batch")
    if version != VERSION:
        raise WireFormatError(f"binary version {version} is not known here (this program reads {VERSION})")
    gateway_bytes, series, rows, events, events_bytes = counts
    return gateway_bytes, series, rows, events, events_bytes


def _read_rows(reader: Reader, series_count: int, count: int) -> tuple[Row, ...]:
    series, of_series, groups = _read_series(reader, series_count, count)
    is_first = groups.is_first
    order = _by_series(of_series, series_count)
    times = _in_order(_read_times(reader, groups, is_first), order).view(np.int64)
    qualities = _read_palette(reader, count)
    values = _in_order(read_values(reader, groups), order)
    return tuple(map(Row, [series[p] for p in of_series.tolist()], times.tolist(), values.tolist(), qualities.tolist()))


def _read_series(reader: Reader, series_count: int, count: int) -> tuple[Sequence[Series], Counts, Groups]:
    """The catalogue, and which of it each row belongs to."""
    if not series_count:
        raise WireFormatError("the batch has rows and no series")
    series = read_catalogue(reader.take(reader.number("I")), reader, series_count)
    of_series = _read_positions(reader, series_count, count)
    groups = Groups.of(np.bincount(of_series, minlength=series_count))
    if not groups.counts.all():
        raise WireFormatError("a series of the catalogue has no row")
    return series, of_series, groups


def _read_positions(reader: Reader, series_count: int, count: int) -> Counts:
    turns = reader.column(count)
    if int(turns.max()) >= series_count:
        raise WireFormatError("a row points past the end of the catalogue")
    return np.cumsum(turns.view(np.int64)) % series_count


def _read_times(reader: Reader, groups: Groups, is_first: NDArray[np.bool_]) -> Words:
    step = np.uint64(reader.number("Q"))
    first = np.cumsum(unzigzag(reader.column(len(groups.counts))), dtype=np.uint64)
    steps = np.empty(len(is_first), np.uint64)
    steps[is_first] = first
    steps[~is_first] = unzigzag(reader.column(len(is_first) - len(first))) + step
    return running_sums(steps, groups.starts, groups.counts)


def _read_palette(reader: Reader, count: int) -> NDArray[np.float64]:
    size = reader.number("I")
    if not 0 < size <= count:
        raise WireFormatError(f"the batch claims {size} different qualities for {count} rows")
    choice = np.frombuffer(reader.take(8 * size), "<f8").astype(np.float64, copy=False)
    places = reader.column(count)
    if int(places.max()) >= size:
        raise WireFormatError("a row points past the end of the qualities")
    if not np.isfinite(choice).all():
        raise WireFormatError("a quality is not a number")
    return choice[places.view(np.int64)]


def _in_order(grouped: NDArray[Any], order: Counts) -> NDArray[Any]:
    rows = np.empty_like(grouped)
    rows[order] = grouped
    return rows


def _text(encoded: bytes) -> str:
    try:
        return encoded.decode()
    except UnicodeDecodeError as exc:
        raise WireFormatError(f"the gateway id is not UTF-8: {exc}") from exc
