"""Parquet, through pyarrow, in a process of its own."""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np

from edge_agent.errors import RecordingError

_MAX_VALUES: Final = 2**27


def read_parquet(data: bytes, name: str) -> list[dict[str, Any]]:
    """Of each column: name, unit, values (numbers, datetime64[ns] or a list of texts), whether they are whole numbers.

    Runs in the parser's process. Raises RecordingError.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(data))
        if file.metadata.num_rows * file.metadata.num_columns > _MAX_VALUES:
            raise RecordingError(f"{name} is too long to be held in memory", hint="cut it into shorter files")
        table = file.read(use_threads=False)
        return [_column(table.schema.field(number), table.column(number)) for number in range(table.num_columns)]
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as exc:
        reason = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
        raise RecordingError(
            f"{name} cannot be read as Parquet: {reason}", hint="the file may be cut off or damaged; copy it again"
        ) from exc


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
