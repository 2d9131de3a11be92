"""The wire format against Arrow and Parquet: bytes and CPU of one batch of features, as a report sends them.

1,000 readings: 40 features (time domain and spectrum) of a bearing signal, in single precision, one report every five
seconds. The peers get what suits the data: dictionaries for what repeats, zstd at the level ours has; Parquet also
differences for times and byte planes (BYTE_STREAM_SPLIT) for values, and no statistics.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.features_catalog import extractor, spectrum_extractor
from benchmarks.features_vibration import bearing_signal, windows_of
from benchmarks.harness import Comparison, benchmark, compare
from cloud_sync import wire
from cloud_sync.columns import ColumnBatch, RowColumns
from cloud_sync.records import Series

REPORTS: Final = 25
FEATURES: Final = 40
READINGS: Final = REPORTS * FEATURES
START_US: Final = 1_750_000_000_000_000
STEP_US: Final = 5_000_000
ZSTD_LEVEL: Final = 1


@benchmark("wire.features.bytes.vs_arrow", unit="bytes/reading")
def bytes_against_arrow() -> Comparison:
    return _bytes_against(arrow_bytes, report_batch())


@benchmark("wire.features.bytes.vs_parquet", unit="bytes/reading")
def bytes_against_parquet() -> Comparison:
    return _bytes_against(parquet_bytes, report_batch())


@benchmark("wire.features.bytes.one_report.vs_arrow", unit="bytes/reading")
def one_report_against_arrow() -> Comparison:
    """40 readings: what is sent while the link is up."""
    return _bytes_against(arrow_bytes, report_batch().part(0, FEATURES))


@benchmark("wire.features.bytes.one_report.vs_parquet", unit="bytes/reading")
def one_report_against_parquet() -> Comparison:
    return _bytes_against(parquet_bytes, report_batch().part(0, FEATURES))


@benchmark("wire.features.encode.vs_arrow", unit="us CPU")
def encode_against_arrow() -> Comparison:
    """From columns as the agent holds them to a body."""
    return _encode_against(arrow_bytes)


@benchmark("wire.features.encode.vs_parquet", unit="us CPU")
def encode_against_parquet() -> Comparison:
    return _encode_against(parquet_bytes)


@benchmark("wire.features.decode.vs_arrow", unit="us CPU")
def decode_against_arrow() -> Comparison:
    """From a body to columns; ours are checked (CRC, bounds, finite values), theirs are as they were read."""
    return _decode_against(arrow_bytes, lambda body: pa.ipc.open_stream(body).read_all())


@benchmark("wire.features.decode.vs_parquet", unit="us CPU")
def decode_against_parquet() -> Comparison:
    return _decode_against(parquet_bytes, lambda body: pq.read_table(io.BytesIO(body), use_threads=False))


@cache
def report_batch() -> ColumnBatch:
    """Return the features of 25 windows, a report's rows together, as the recorder hands them over."""
    windows = windows_of(bearing_signal())[:, :REPORTS]
    parts = [family.extract(windows)[0][0] for family in (extractor("time_domain"), spectrum_extractor())]
    values = np.concatenate(parts, axis=1)[:, :FEATURES]
    about = {"asset": "press-07", "source": "rig-1"}
    series = tuple(
        Series(f"line-1.press-07.de-bearing.feature-{n:02d}", "vibration", "g", about) for n in range(FEATURES)
    )
    times = START_US + STEP_US * np.repeat(np.arange(REPORTS), FEATURES)
    of_row = np.tile(np.arange(FEATURES), REPORTS)
    return ColumnBatch("gw-1", RowColumns(series, of_row, times, values.ravel().astype(np.float64), np.ones(READINGS)))


@cache
def dictionaries() -> dict[str, tuple[pa.Array, NDArray[np.int32]]]:
    """Return the different texts of each column, and which of them each series has: made once, like our catalogue."""
    series = report_batch().rows.series
    texts = {
        "sensor_id": [one.sensor_id for one in series],
        "sensor_type": [one.sensor_type for one in series],
        "unit": [one.unit for one in series],
        "metadata": [json.dumps(one.metadata) for one in series],
    }
    found = {}
    for name, of_series in texts.items():
        different = list(dict.fromkeys(of_series))
        found[name] = pa.array(different), np.array([different.index(text) for text in of_series], np.int32)
    return found


def arrow_table(batch: ColumnBatch) -> pa.Table:
    """Return the batch as Arrow holds it."""
    rows = batch.rows
    columns = {
        name: pa.DictionaryArray.from_arrays(pa.array(place[rows.of_row]), different)
        for name, (different, place) in dictionaries().items()
    }
    return pa.table(columns | {"time_us": rows.time_us, "value": rows.value, "quality": rows.quality})


def arrow_bytes(batch: ColumnBatch) -> bytes:
    """Return an Arrow IPC stream with zstd buffers."""
    table, out = arrow_table(batch), io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", ZSTD_LEVEL), use_threads=False)
    with pa.ipc.new_stream(out, table.schema, options=options) as writer:
        writer.write_table(table)
    return out.getvalue()


def parquet_bytes(batch: ColumnBatch) -> bytes:
    """Return a Parquet file with zstd pages."""
    out = io.BytesIO()
    pq.write_table(
        arrow_table(batch),
        out,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        use_dictionary=[*dictionaries(), "quality"],
        column_encoding={"time_us": "DELTA_BINARY_PACKED", "value": "BYTE_STREAM_SPLIT"},
        write_statistics=False,
        store_schema=False,
        data_page_version="2.0",
    )
    return out.getvalue()


def _bytes_against(encoded: Callable[[ColumnBatch], bytes], batch: ColumnBatch) -> Comparison:
    return Comparison.of([len(wire.encode_columns(batch)) / len(batch)], [len(encoded(batch)) / len(batch)])


def _encode_against(encoded: Callable[[ColumnBatch], bytes]) -> Comparison:
    batch = report_batch()
    return compare(ours=lambda: wire.encode_columns(batch), baseline=lambda: encoded(batch), per=READINGS)


def _decode_against(encoded: Callable[[ColumnBatch], bytes], decoded: Callable[[bytes], pa.Table]) -> Comparison:
    body, theirs = wire.encode_columns(report_batch()), encoded(report_batch())
    return compare(ours=lambda: wire.decode_columns(body), baseline=lambda: decoded(theirs), per=READINGS)
