"""Read the compact form of a batch back, exactly as `binary_writer` wrote it; nothing of it is believed unchecked."""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud_sync.columns import ColumnBatch, RowColumns
from cloud_sync.errors import WireFormatError
from cloud_sync.records import Batch, Series
from cloud_sync.wire.binary_writer import CRC_BYTES, HEADER, MAGIC, MAX_RECORDS, VERSION, by_series
from cloud_sync.wire.byte_planes import Counts, Reader, Words, running_sums, unzigzag
from cloud_sync.wire.json_form import events_of, malformed, parsed
from cloud_sync.wire.series_catalogue import read_catalogue
from cloud_sync.wire.values import Groups, read_values

KEPT_CATALOGUE_BYTES: Final = 400_000
"""Texts of catalogues that were read, and their objects take five times that. On a gateway, which reads its own blocks
to join them: 40 of 200 sensors. Its blocks name many sets of its sensors, so that any bound is filled in time."""


class RowKeys(NamedTuple):
    """Row n is of sensor `sensor_ids[of_row[n]]` (which may stand there twice) at `times_us[n]`."""

    sensor_ids: tuple[str, ...]
    of_row: Counts
    times_us: Counts


class KnownCatalogues:
    """Catalogues that were read, since a gateway sends the same one every time; two thirds of a read are theirs.

    The same bytes give the same tuple again. Bounded by what the texts take, least recently used first. Threads may
    share it.
    """

    def __init__(self, max_bytes: int = KEPT_CATALOGUE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, tuple[bytes, tuple[Series, ...]]] = OrderedDict()
        self._bytes = 0

    def keep(self, max_bytes: int) -> None:
        """Set another bound from now on, for whoever reads what many send."""
        with self._lock:
            self._max_bytes = max_bytes

    def read(self, reader: Reader, count: int) -> tuple[Series, ...]:
        """Read `count` series. Raises WireFormatError."""
        text = reader.take(reader.number("I"))
        with self._lock:
            places, series = self._known.get(text, (b"", ()))
            if series:
                self._known.move_to_end(text)
        if len(series) == count and reader.skip(places):
            return series
        begin = reader.at
        series = tuple(read_catalogue(text, reader, count))
        self._keep(text, reader.since(begin), series)
        return series

    def _keep(self, text: bytes, places: bytes, series: tuple[Series, ...]) -> None:
        if len(text) > self._max_bytes // 2:
            return  # one gateway shall not push out what all the others send
        with self._lock:
            self._forget(text)
            self._known[text] = (places, series)
            self._bytes += len(text) + len(places)
            while self._bytes > self._max_bytes:
                self._forget(next(iter(self._known)))

    def _forget(self, text: bytes) -> None:
        places, _ = self._known.pop(text, (None, ()))
        if places is not None:
            self._bytes -= len(text) + len(places)


known_catalogues: Final = KnownCatalogues()


def record_count(document: bytes) -> int:
    """Return how many rows and events a document claims to hold, without believing it."""
    *_, rows, events, _ = _header(document)
    return rows + events


def read(document: bytes) -> Batch:
    """Return the batch in a document. Raises WireFormatError, naming what is wrong."""
    return read_columns(document).batch()


def read_columns(document: bytes) -> ColumnBatch:
    """Return the batch in a document, its rows as columns. Raises WireFormatError, naming what is wrong."""
    reader, gateway_bytes, series_count, row_count, event_count, events_bytes = _begun(document)
    gateway_id = _text(reader.take(gateway_bytes))
    rows = _read_rows(reader, series_count, row_count) if row_count else RowColumns.of(())
    events = parsed(reader.take(events_bytes)) if event_count else []
    reader.end()
    try:
        batch = ColumnBatch(gateway_id, rows, events_of(events))
    except (KeyError, TypeError, ValueError, RecursionError) as exc:
        raise malformed("an event", exc) from exc
    if len(batch.events) != event_count:
        raise WireFormatError(f"the batch claims {event_count} events and has {len(batch.events)}")
    return batch


def read_keys(document: bytes) -> RowKeys:
    """Return the keys of a document's rows, without making rows. Raises WireFormatError, naming what is wrong."""
    reader, gateway_bytes, series_count, row_count, *_ = _begun(document)
    if not row_count:
        return RowKeys((), np.zeros(0, np.int64), np.zeros(0, np.int64))
    reader.take(gateway_bytes)
    series, of_series, groups = _read_series(reader, series_count, row_count)
    order = by_series(of_series, series_count)
    times = _in_order(_read_times(reader, groups, groups.is_first), order).view(np.int64)
    return RowKeys(tuple(one.sensor_id for one in series), of_series, times)


def _begun(document: bytes) -> tuple[Reader, int, int, int, int, int]:
    """Checked against its checksum and its own claims, and read to the end of its header, whose counts follow."""
    gateway_bytes, series_count, row_count, event_count, events_bytes = _header(document)
    if row_count + event_count > MAX_RECORDS:
        raise WireFormatError(f"the batch claims {row_count + event_count} records; {MAX_RECORDS} is the most")
    if series_count > row_count:
        raise WireFormatError(f"the batch claims {series_count} series for {row_count} rows")
    stop = len(document) - CRC_BYTES
    if zlib.crc32(document[:stop]) != int.from_bytes(document[stop:], "little"):
        raise WireFormatError("the batch does not match its checksum")
    reader = Reader(document, start=HEADER.size, stop=stop)
    return reader, gateway_bytes, series_count, row_count, event_count, events_bytes


def _header(document: bytes) -> tuple[int, int, int, int, int]:
    if len(document) < HEADER.size + CRC_BYTES:
        raise WireFormatError("the batch is cut short in its header")
    magic, version, *counts = HEADER.unpack_from(document)
    if magic != MAGIC:
        raise WireFormatError("the document is not a binary batch")
    if version != VERSION:
        raise WireFormatError(f"binary version {version} is not known here (this program reads {VERSION})")
    gateway_bytes, series, rows, events, events_bytes = counts
    return gateway_bytes, series, rows, events, events_bytes


def _read_rows(reader: Reader, series_count: int, count: int) -> RowColumns:
    series, of_series, groups = _read_series(reader, series_count, count)
    is_first = groups.is_first
    order = by_series(of_series, series_count)
    times = _in_order(_read_times(reader, groups, is_first), order).view(np.int64)
    qualities = _read_palette(reader, count)
    values = _in_order(read_values(reader, groups), order)
    return RowColumns(series, of_series, times, values, qualities)


def _read_series(reader: Reader, series_count: int, count: int) -> tuple[tuple[Series, ...], Counts, Groups]:
    """The catalogue, and which of it each row belongs to."""
    if not series_count:
        raise WireFormatError("the batch has rows and no series")
    series = known_catalogues.read(reader, series_count)
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
