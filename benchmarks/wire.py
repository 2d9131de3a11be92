"""What a reading costs on the wire: bytes, and CPU on both sides, for 1,000 readings of 200 sensors in one batch.

The peer is what most gateways send: an array of one JSON object for each reading, gzip level 6.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from typing import Final

import numpy as np

from benchmarks.harness import Comparison, benchmark, compare
from cloud_sync import wire
from cloud_sync.columns import ColumnBatch, RowColumns
from cloud_sync.records import Batch, Row, Series

GATEWAY: Final = "gw-1"
SENSORS: Final = 200
READINGS: Final = 1_000

_KINDS: Final = (
    ("temperature", "temperature", "degC", 1),
    ("pressure", "pressure", "bar", 2),
    ("current", "general", "A", 2),
    ("voltage", "voltage", "V", 1),
    ("speed", "general", "rpm", 0),
    ("velocity_rms", "vibration", "mm/s", 3),
    ("level", "general", "%", 1),
    ("power", "general", "kW", 2),
)
"""A quantity, its type and unit, and the decimals its sensor gives."""


class Plant:
    """A reading of each sensor every second, up to 8 ms late; values walk at random; 1 in 500 is of poor quality.

    Not rounded: every second sensor gives unrounded single precision, the hard case.
    """

    def __init__(self, *, sensors: int = SENSORS, is_rounded: bool = True) -> None:
        self._random = random.Random(5)
        self._is_rounded = is_rounded
        self._series = [_series(number) for number in range(sensors)]
        self._values = [self._random.uniform(10.0, 100.0) for _ in range(sensors)]
        self._time_us = 1_750_000_000_000_000

    def rows(self, count: int) -> list[Row]:
        return [self._row(n % len(self._series)) for n in range(count)]

    def _row(self, sensor: int) -> Row:
        if sensor == 0:
            self._time_us += 1_000_000
        self._values[sensor] += self._random.gauss(0.0, 0.05)
        quality = 1.0 if self._random.random() > 0.002 else 0.5
        return Row(self._series[sensor], self._time_us + self._random.randrange(8_000), self._value(sensor), quality)

    def _value(self, sensor: int) -> float:
        if self._is_rounded or sensor % 2:
            return round(self._values[sensor], _KINDS[sensor % len(_KINDS)][3])
        return float(np.float32(self._values[sensor]))


@benchmark("wire.bytes_per_reading", unit="bytes")
def bytes_per_reading() -> Comparison:
    """Against one JSON object for each reading, not compressed."""
    return _bytes_against_json(Plant().rows(READINGS))


@benchmark("wire.bytes_per_reading.float32", unit="bytes")
def bytes_per_reading_float32() -> Comparison:
    """The hard case: every second sensor gives unrounded features in single precision."""
    return _bytes_against_json(Plant(is_rounded=False).rows(READINGS))


@benchmark("wire.bytes_per_reading.vs_gzip_json", unit="bytes")
def bytes_against_gzip() -> Comparison:
    rows = Plant().rows(READINGS)
    return Comparison.of([_wire_bytes(rows) / READINGS], [len(_gzip_json(rows)) / READINGS])


@benchmark("wire.bytes_per_reading.vs_own_json", unit="bytes")
def bytes_against_own_json() -> Comparison:
    """Against the same batch in its readable form, columnar JSON in zstd."""
    rows = Plant().rows(READINGS)
    return Comparison.of([_wire_bytes(rows) / READINGS], [len(wire.encode_json(_batch(rows))) / READINGS])


@benchmark("wire.encode.vs_json_gzip", unit="us CPU")
def encode_against_gzip() -> Comparison:
    """From rows to a body."""
    rows = Plant().rows(READINGS)
    batch = _batch(rows)
    return compare(ours=lambda: wire.encode(batch), baseline=lambda: _gzip_json(rows), per=READINGS)


@benchmark("wire.encode.columns.vs_json_gzip", unit="us CPU")
def encode_columns_against_gzip() -> Comparison:
    """From readings as each side holds them: columns here, objects there."""
    rows = Plant().rows(READINGS)
    batch = ColumnBatch(GATEWAY, RowColumns.of(rows))
    return compare(ours=lambda: wire.encode_columns(batch), baseline=lambda: _gzip_json(rows), per=READINGS)


@benchmark("wire.encode.vs_own_json", unit="us CPU")
def encode_against_own_json() -> Comparison:
    batch = _batch(Plant().rows(READINGS))
    return compare(ours=lambda: wire.encode(batch), baseline=lambda: wire.encode_json(batch), per=READINGS)


@benchmark("wire.decode.vs_json_gzip", unit="us CPU")
def decode_against_gzip() -> Comparison:
    """From a body to rows, on both sides checked and of the same class."""
    rows = Plant().rows(READINGS)
    body, text = wire.encode(_batch(rows)), _gzip_json(rows)
    return compare(ours=lambda: wire.decode(body), baseline=lambda: _ungzip_json(text), per=READINGS)


def _series(number: int) -> Series:
    """Ids of 34 characters, as long as an asset, a point and a quantity make them."""
    quantity, sensor_type, unit, _ = _KINDS[number % len(_KINDS)]
    sensor_id = f"line-{number // 50}.press-{number // 8:02d}.{quantity}".ljust(31, "_") + f"{number:03d}"
    metadata = {"asset": f"press-{number // 8:02d}", "source": ("modbus", "opcua")[number % 2]}
    return Series(sensor_id, sensor_type, unit, metadata)


def _batch(rows: Sequence[Row]) -> Batch:
    return Batch(GATEWAY, tuple(rows))


def _bytes_against_json(rows: Sequence[Row]) -> Comparison:
    plain = sum(len(json.dumps(_as_json(row), separators=(",", ":"))) for row in rows)
    return Comparison.of([_wire_bytes(rows) / READINGS], [plain / READINGS])


def _wire_bytes(rows: Sequence[Row]) -> int:
    return len(wire.encode(_batch(rows)))


def _gzip_json(rows: Sequence[Row]) -> bytes:
    return gzip.compress(json.dumps([_as_json(row) for row in rows], separators=(",", ":")).encode(), 6)


def _ungzip_json(text: bytes) -> list[Row]:
    known: dict[str, Series] = {}
    rows = []
    for one in json.loads(gzip.decompress(text)):
        name = one["sensor_id"]
        series = known.get(name)
        if series is None:
            series = known[name] = Series(name, one["sensor_type"], one["unit"], one["metadata"])
        rows.append(Row(series, one["timestamp"], one["value"], one["quality"]))
    return rows


def _as_json(row: Row) -> dict[str, object]:
    return {
        "sensor_id": row.series.sensor_id,
        "timestamp": row.time_us,
        "value": row.value,
        "unit": row.series.unit,
        "sensor_type": row.series.sensor_type,
        "quality": row.quality,
        "metadata": row.series.metadata,
    }
