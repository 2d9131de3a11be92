"""The readable form of a batch: one columnar JSON document. Schema version 1.

    {"schema": 1, "gateway_id": "gw-7",
     "series": [{"id": "pump-07.de-x.rms", "type": "vibration", "unit": "g", "meta": {}}, ...],
     "rows": {"series": [0, 0, 1], "time_us": [1700000000000000, 1000000, 0],
              "value": [0.5, 0.6, 21.3], "quality": [1.0, 1.0, 1.0]},
     "events": [{"id": "...", "kind": "gap", "subject": "pump-07", "time_us": 1700000000000000, "body": {}}]}

`rows.series` are positions in `series`; `rows.time_us` is delta-coded (first absolute, then deltas in
row order). Decoding is strict: a decoder that guesses would invent data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud_sync.columns import ColumnBatch, RowColumns
from cloud_sync.errors import WireFormatError
from cloud_sync.host.printable import MESSAGE_CHARS, printable, quoted
from cloud_sync.records import Batch, Event, EventKind, Row, Series

SCHEMA_VERSION: Final = 1
MAX_VALUES: Final = 1_000_000
"""In one document, by its commas and brackets: 100,000 rows are 400,000. A value of three bytes takes 70 in memory."""

_INT64: Final = np.iinfo(np.int64)


def write(batch: Batch) -> bytes:
    """Return the document of a batch. Raises WireFormatError for what JSON cannot hold (NaN, objects)."""
    series, row_series = catalogue_of(batch.rows)
    times = [row.time_us for row in batch.rows]
    document = {
        "schema": SCHEMA_VERSION,
        "gateway_id": batch.gateway_id,
        "series": [
            {"id": s.sensor_id, "type": s.sensor_type, "unit": s.unit, "meta": dict(s.metadata)} for s in series
        ],
        "rows": {
            "series": row_series,
            "time_us": times[:1] + [later - earlier for earlier, later in pairwise(times)],
            "value": [row.value for row in batch.rows],
            "quality": [row.quality for row in batch.rows],
        },
        "events": [event_fields(event) for event in batch.events],
    }
    try:
        return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise WireFormatError(f"the batch cannot be written as JSON: {exc}") from exc


def read(text: bytes) -> Batch:
    """Return the batch in a document. Raises WireFormatError, naming what is wrong."""
    gateway_id, columns, events = _read(text)
    series = [columns.series[place] for place in columns.of_row]
    rows = tuple(map(Row, series, columns.times_us, columns.values.tolist(), columns.qualities.tolist()))
    return Batch(gateway_id, rows, events)


def read_columns(text: bytes) -> ColumnBatch:
    """Return the same, its rows as columns. A time beyond 64 bits becomes their first or last."""
    gateway_id, columns, events = _read(text)
    of_row = np.array(columns.of_row, np.int64)
    rows = RowColumns(columns.series, of_row, _int64(columns.times_us), columns.values, columns.qualities)
    return ColumnBatch(gateway_id, rows, events)


def parsed(text: bytes) -> Any:
    """Parse any JSON value. Raises WireFormatError; infinities and NaN are not JSON."""
    if sum(map(text.count, (b",", b"{", b"["))) > MAX_VALUES:
        raise WireFormatError(f"the body has more than {MAX_VALUES} JSON values")
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise WireFormatError(f"the body is not JSON: {exc}") from exc


def catalogue_of(rows: Sequence[Row]) -> tuple[list[Series], list[int]]:
    """Return the different series in order of appearance, and each row's position among them.

    A sensor whose unit or metadata changed within a batch appears once for each.
    """
    of_row = [row.series for row in rows]
    objects = list(map(id, of_row))
    series: list[Series] = []
    of_sensor: dict[str, list[int]] = {}
    of_object: dict[int, int] = {}
    for key, one in dict(zip(objects, of_row, strict=True)).items():
        known = of_sensor.setdefault(one.sensor_id, [])
        position = next((p for p in known if series[p] == one), None)
        if position is None:
            position = len(series)
            series.append(one)
            known.append(position)
        of_object[key] = position
    return series, [of_object[key] for key in objects]


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a value")


class _Columns(NamedTuple):
    """Row n is of `series[of_row[n]]`; a time may be any integer."""

    series: tuple[Series, ...]
    of_row: list[int]
    times_us: list[int]
    values: NDArray[np.float64]
    qualities: NDArray[np.float64]


def _read(text: bytes) -> tuple[str, _Columns, tuple[Event, ...]]:
    document = parsed(text)
    if not isinstance(document, dict):
        raise WireFormatError("the body is not a JSON object")
    version = document.get("schema")
    if type(version) is not int or version != SCHEMA_VERSION:  # True is 1 to Python
        known = f"(this program reads {SCHEMA_VERSION})"
        raise WireFormatError(f"schema version {quoted(version)} is not known here {known}")
    try:
        gateway_id = text_of(document["gateway_id"])
        return gateway_id, _columns(document["series"], document["rows"]), events_of(document["events"])
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise malformed("the batch", exc) from exc


def _columns(series: Any, columns: Any) -> _Columns:
    catalogue = tuple(_series(item) for item in _list(series))
    of_row = _integers(columns["series"])
    outside = next((place for place in of_row if not 0 <= place < len(catalogue)), None)
    if outside is not None:
        raise IndexError(f"series {quoted(outside)} of {len(catalogue)}")
    times_us = list(accumulate(_integers(columns["time_us"])))
    values, qualities = _numbers(columns["value"]), _numbers(columns["quality"])
    if not len(of_row) == len(times_us) == len(values) == len(qualities):
        raise ValueError("the columns are not of one length")
    return _Columns(catalogue, of_row, times_us, values, qualities)


def _int64(times_us: Sequence[int]) -> NDArray[np.int64]:
    try:
        return np.array(times_us, np.int64)
    except OverflowError:
        return np.array([min(max(time_us, _INT64.min), _INT64.max) for time_us in times_us], np.int64)


def _series(item: Any) -> Series:
    return Series(text_of(item["id"]), text_of(item["type"]), text_of(item["unit"]), mapping_of(item["meta"]))


def event_fields(event: Event) -> dict[str, Any]:
    return {
        "id": event.event_id,
        "kind": event.kind,
        "subject": event.subject,
        "time_us": event.time_us,
        "body": dict(event.body),
    }


def events_of(items: Any) -> tuple[Event, ...]:
    """Read events. Raises KeyError, TypeError or ValueError, like every reader below."""
    return tuple(_event(item) for item in _list(items))


def _event(item: Any) -> Event:
    return Event(
        text_of(item["id"]),
        _kind(item["kind"]),
        text_of(item["subject"]),
        _integer(item["time_us"]),
        mapping_of(item["body"]),
    )


def _kind(name: Any) -> EventKind:
    try:
        return EventKind(name)
    except ValueError as exc:
        raise ValueError(f"{quoted(name)} is not a kind of event") from exc


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{quoted(value)} is not an integer")
    return value


def _integers(column: Any) -> list[int]:
    if set(map(type, _list(column))) - {int}:  # of all at once: a tenth of the time of one by one
        return [_integer(value) for value in column]
    return list(column)


def _numbers(column: Any) -> NDArray[np.float64]:
    wrong = set(map(type, _list(column))) - {int, float}
    if wrong:
        raise TypeError(f"{quoted(next(value for value in column if type(value) in wrong))} is not a number")
    numbers = np.array(column, np.float64)
    if not np.isfinite(numbers).all():  # 1e999 is JSON, and infinite
        raise ValueError(f"{numbers[~np.isfinite(numbers)][0]} is not a value")
    return numbers


def malformed(what: str, exc: Exception) -> WireFormatError:
    """Return the error of JSON that has not the form it should have; what it quotes is bounded."""
    return WireFormatError(f"{what} is malformed: {type(exc).__name__}: {printable(exc, limit=MESSAGE_CHARS)}")


def text_of(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{quoted(value)} is not a text")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("a list is missing")
    return value


def mapping_of(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{quoted(value)} is not an object")
    json.dumps(value, allow_nan=False)  # raises ValueError for 1e999 at any depth
    return value
