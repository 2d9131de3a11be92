"""The compact form of a batch: columns of exact numbers, grouped by series, in any order of rows. Version 1.

docs/WIRE_FORMAT.md describes every byte. What is compressed is the document, as a row of zstd frames, so that
columns do not share their statistics and the catalogue's frame can be used again; to a reader they are one
stream. The frames' boundaries mean nothing. `binary_reader` reads it back.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from cloud_sync.columns import ColumnBatch, RowColumns
from cloud_sync.errors import WireFormatError
from cloud_sync.wire.byte_planes import Counts, Words, deltas, planes_of, zigzag
from cloud_sync.wire.json_form import event_fields
from cloud_sync.wire.series_catalogue import EMPTY, Catalogue, CatalogueCache, Positions
from cloud_sync.wire.values import Groups, write_values

MAGIC: Final = b"SMEB"
VERSION: Final = 1
MAX_RECORDS: Final = 1_000_000
"""A column of zeros takes one byte however long it is, so the count alone must be bounded."""

HEADER: Final = struct.Struct("<4sHHIIII")  # magic, version, gateway id bytes, series, rows, events, events bytes
CRC_BYTES: Final = 4
_LEVEL: Final = 1  # planes hold no repeats that a longer search would find
_OWN_FRAME_BYTES: Final = 256
"""A frame costs about ten bytes; from here on statistics of its own save more."""

_catalogues = CatalogueCache()


def encode(batch: ColumnBatch) -> bytes:
    """Return the compressed document. Raises WireFormatError for what it cannot hold (NaN, other objects)."""
    try:
        catalogue, pieces = _row_pieces(batch.rows) if len(batch.rows) else (EMPTY, [])
        gateway_id = batch.gateway_id.encode()
        events = _events_text(batch)
        counts = len(catalogue.series), len(batch.rows), len(batch.events), len(events)
        head = HEADER.pack(MAGIC, VERSION, len(gateway_id), *counts) + gateway_id
        pieces.append(events)
    except (TypeError, ValueError, OverflowError, RecursionError, struct.error) as exc:
        raise WireFormatError(f"the batch cannot be written: {exc}") from exc
    crc = zlib.crc32(b"".join([head, catalogue.document, *pieces]))
    pieces.append(crc.to_bytes(CRC_BYTES, "little"))
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    return b"".join([compressor.compress(head), catalogue.compressed, *_frames(pieces, compressor)])


def _events_text(batch: ColumnBatch) -> bytes:
    if not batch.events:
        return b""
    fields = [event_fields(event) for event in batch.events]
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()


def _row_pieces(rows: RowColumns) -> tuple[Catalogue, list[bytes]]:
    catalogue, of_series = _catalogues.place(rows)
    series_count = len(catalogue.series)
    if not (np.isfinite(rows.value).all() and np.isfinite(rows.quality).all()):
        raise ValueError("a value or a quality is not a number")
    order = by_series(of_series, series_count)
    groups = Groups.of(np.bincount(of_series, minlength=series_count))
    is_first = groups.is_first
    turns = deltas(of_series.view(np.uint64)).view(np.int64)
    turns[turns < 0] += series_count
    return catalogue, [
        *planes_of(turns.view(np.uint64)),
        *_write_times(rows.time_us.view(np.uint64)[order], is_first),
        *_write_palette(rows.quality),
        *write_values(rows.value[order], groups, is_first),
    ]


def by_series(of_series: Positions, series_count: int) -> Counts:
    """Return the rows' places, grouped by series; 16 bits are sorted by counting."""
    return np.argsort(of_series.astype(np.uint16) if series_count <= 1 << 16 else of_series, kind="stable")


def _write_times(times: Words, is_first: NDArray[np.bool_]) -> list[bytes]:
    """Each series' first against that of the series before; the others against the time before and the usual step."""
    others = deltas(times)[~is_first]
    middle = len(others) // 2
    step = np.partition(others.view(np.int64), middle)[middle].view(np.uint64) if len(others) else np.uint64(0)
    return [
        step.astype("<u8").tobytes(),
        *planes_of(zigzag(deltas(times[is_first]))),
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
