"""A batch as bytes and back: columnar JSON, zstd-compressed. Schema version 1.

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

import zstandard

from cloud_sync.errors import WireFormatError
from cloud_sync.records import Batch, Event, EventKind, Row, Series

SCHEMA_VERSION: Final = 1
CONTENT_TYPE: Final = "application/vnd.smart-maintenance.batch+json"
CONTENT_ENCODING: Final = "zstd"

MAX_DECODED_BYTES: Final = 64_000_000
"""A batch of 1,000 rows is about 40 kB of JSON; this only stops a decompression bomb."""
_MAX_WINDOW_BYTES: Final = 1 << 23  # RFC 8878's advice for what a decoder should take; level 3 uses a quarter

_ZSTD_LEVEL: Final = 3  # 9 costs nine times the CPU for under 10 % fewer bytes


def encode(batch: Batch) -> bytes:
    """The body of an ingest request, compressed. Raises WireFormatError for what JSON cannot say (NaN, objects)."""
    series, row_series = _catalogue(batch.rows)
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
        "events": [
            {"id": e.event_id, "kind": e.kind, "subject": e.subject, "time_us": e.time_us, "body": dict(e.body)}
            for e in batch.events
        ],
    }
    try:
        text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise WireFormatError(f"the batch cannot be written as JSON: {exc}") from exc
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(text.encode())


def decompress(body: bytes) -> bytes:
    """The JSON text of a body. Raises WireFormatError when it is not zstd or too large."""
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).stream_reader(body)
        text = reader.read(MAX_DECODED_BYTES + 1)
    except zstandard.ZstdError as exc:
        raise WireFormatError(f"the body is not zstd: {exc}") from exc
    if len(text) > MAX_DECODED_BYTES:
        raise WireFormatError(f"the body is larger than {MAX_DECODED_BYTES} bytes once decompressed")
    return bytes(text)


def decode(body: bytes) -> Batch:
    """The batch in a compressed body. Raises WireFormatError, naming what is wrong."""
    return parse(decompress(body))


def parse(text: bytes) -> Batch:
    """The batch in an uncompressed JSON text. Raises WireFormatError, naming what is wrong."""
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise WireFormatError(f"the body is not JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise WireFormatError("the body is not a JSON object")
    version = document.get("schema")
    if type(version) is not int or version != SCHEMA_VERSION:  # True is 1 to Python
        raise WireFormatError(f"schema version {version!r} is not known here (this program reads {SCHEMA_VERSION})")
    try:
        return Batch(
            gateway_id=_text(document["gateway_id"]),
            rows=_rows(document["series"], document["rows"]),
            events=tuple(_event(item) for item in _list(document["events"])),
        )
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise WireFormatError(f"the batch is malformed: {type(exc).__name__}: {exc}") from exc


def _catalogue(rows: Sequence[Row]) -> tuple[list[Series], list[int]]:
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
    catalogue = [Series(_text(s["id"]), _text(s["type"]), _text(s["unit"]), _mapping(s["meta"])) for s in _list(series)]
    positions = [_position(p, len(catalogue)) for p in _list(columns["series"])]
    times = list(accumulate(_integer(t) for t in _list(columns["time_us"])))
    values, qualities = _list(columns["value"]), _list(columns["quality"])
    return tuple(
        Row(catalogue[p], t, _number(v), _number(q))
        for p, t, v, q in zip(positions, times, values, qualities, strict=True)
    )


def _event(item: Any) -> Event:
    return Event(
        _text(item["id"]),
        EventKind(item["kind"]),
        _text(item["subject"]),
        _integer(item["time_us"]),
        _mapping(item["body"]),
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


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("a list is missing")
    return value


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not an object")
    json.dumps(value, allow_nan=False)  # raises ValueError for 1e999 at any depth
    return value
