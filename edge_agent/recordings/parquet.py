"""Parquet, through pyarrow, in a process of its own."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from edge_agent.recordings.errors import MAX_VALUES, refused_as, too_long


def read_parquet(data: bytes, name: str) -> list[dict[str, Any]]:
    """Read of each column: name, unit, values (numbers, datetime64[ns] or texts), whether they are whole numbers.

    Runs in the parser's process. Raises RecordingError.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with refused_as("Parquet", name, pa.ArrowException):
        file = pq.ParquetFile(io.BytesIO(data))
        if file.metadata.num_rows * file.metadata.num_columns > MAX_VALUES:
            raise too_long(name)
        table = file.read(use_threads=False)
        return [_column(table.schema.field(number), table.column(number)) for number in range(table.num_columns)]


def _column(field: Any, column: Any) -> dict[str, Any]:
    import pyarrow as pa

    kind, metadata = field.type, field.metadata or {}
    unit = next((metadata[key].decode("utf-8", "replace") for key in (b"unit", b"units") if key in metadata), "")
    values: Any
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        values = column.cast(pa.timestamp("ns")).to_numpy().astype("datetime64[ns]")
    elif (
        pa.types.is_floating(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    ):
        values = column.cast(pa.float64()).to_numpy().astype(np.float64)
    else:
        values = ["" if value is None else str(value)[:200] for value in column.to_pylist()]
    return {"name": field.name, "unit": unit, "values": values, "is_integer": bool(pa.types.is_integer(kind))}
