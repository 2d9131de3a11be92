"""The readable form of a batch: one columnar JSON document. Schema version 1.

    {"schema": 1, "gateway_id": "gw-7",
     "series": [{"id": "pump-07.de-x.rms", "type": "vibration", "unit": "g", "meta": {}}, ...],
     "rows": {"series": [0, 0, 1], "time_us": [1700000000000000, 1000000, 0],
              "value": [0.5, 0.6, 21.3], "quality": [1.0, 1.0, 1.0]},
     "events": [{"id": "...", "kind": "gap", "subject": "pump-07", "time_us": 1700000000000000, "body": {}}]}

`rows.series` are positions in `series`; `rows.time_us` is delta-coded (first absolute, then differences in
row order). Decoding is strict: a decoder that guesses would invent data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, Final

from cloud_sync.errors import WireFormatError
from cloud_sync.records import Batch, Event, EventKind, Row, Series

SCHEMA_VERSION: Final = 1


def write(batch: Batch) -> bytes:
    """The document of a batch. Raises WireFormatError for what JSON cannot say (NaN, objects)."""
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
    """The batch in a document. Raises WireFormatError, naming what is wrong."""
    document = parsed(text)
    if not isinstance(document, dict):
        raise WireFormatError("the body is not a JSON object")
    version = document.get("schema")
    if type(version) is not int or version != SCHEMA_VERSION:  # True is 1 to Python
        raise WireFormatError(f"schema version {version!r} is not known here (this program reads {SCHEMA_VERSION})")
    try:
        return Batch(
            gateway_id=text_of(document["gateway_id"]),
            rows=_rows(document["series"], document["rows"]),
            events=events_of(document["events"]),
        )
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise WireFormatError(f"the batch is malformed: {type(exc).__name__}: {exc}") from exc


def parsed(text: bytes) -> Any:
    """Any JSON value. Raises WireFormatError; infinities and NaN are not JSON."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise WireFormatError(f"the body is not JSON: {exc}") from exc


def catalogue_of(rows: Sequence[Row]) -> tuple[list[Series], list[int]]:
    """The different series in order of appearance, and each row's position among them.

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


def _rows(series: Any, columns: Any) -> tuple[Row, ...]:
    catalogue = [
        Series(text_of(s["id"]), text_of(s["type"]), text_of(s["unit"]), mapping_of(s["meta"])) for s in _list(series)
    ]
    positions = [_position(p, len(catalogue)) for p in _list(columns["series"])]
    times = list(accumulate(_integer(t) for t in _list(columns["time_us"])))
    values, qualities = _list(columns["value"]), _list(columns["quality"])
    return tuple(
        Row(catalogue[p], t, _number(v), _number(q))
        for p, t, v, q in zip(positions, times, values, qualities, strict=True)
    )


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
    """Raises KeyError, TypeError or ValueError, like every reader below."""
    return tuple(_event(item) for item in _list(items))


def _event(item: Any) -> Event:
    return Event(
        text_of(item["id"]),
        EventKind(item["kind"]),
        text_of(item["subject"]),
        _integer(item["time_us"]),
        mapping_of(item["body"]),
    )


def _position(value: object, count: int) -> int:
    position = _integer(value)
    if not 0 <= position < count:
        raise IndexError(f"series {position} of {count}")
    return position


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not an integer")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a number")
    number = float(value)
    if not math.isfinite(number):  # 1e999 is JSON, and infinite
        raise ValueError(f"{number} is not a value")
    return number


def text_of(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("a list is missing")
    return value


def mapping_of(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not an object")
    json.dumps(value, allow_nan=False)  # raises ValueError for 1e999 at any depth
    return value
