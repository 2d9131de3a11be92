"""Rows as parallel arrays: what a thousand readings are while nobody looks at one of them.

Row n is one reading of `series[of_row[n]]`, as `records.Row` describes it. A batch that is stored, sent and
committed stays in this form; rows are made of it where one has to be named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud_sync.records import Batch, Event, Row, Series


@dataclass(frozen=True, slots=True, eq=False)
class RowColumns:
    """All arrays are one-dimensional and of one length; two entries of `series` may name one sensor."""

    series: tuple[Series, ...]
    of_row: NDArray[np.int64]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.time_us)

    @classmethod
    def of(cls, rows: Sequence[Row]) -> RowColumns:
        """Series are told apart by identity. Raises OverflowError for a time beyond 64 bits."""
        position: dict[int, int] = {}
        of_row = [position.setdefault(id(row.series), len(position)) for row in rows]
        known = {id(row.series): row.series for row in rows}
        return cls(
            tuple(known[object_id] for object_id in position),
            np.array(of_row, np.int64),
            np.array([row.time_us for row in rows], np.int64),
            np.array([row.value for row in rows], np.float64),
            np.array([row.quality for row in rows], np.float64),
        )

    def rows(self) -> tuple[Row, ...]:
        """Raises ValueError for a value that is not finite."""
        series = [self.series[place] for place in self.of_row.tolist()]
        return tuple(map(Row, series, self.time_us.tolist(), self.value.tolist(), self.quality.tolist()))


@dataclass(frozen=True, slots=True, eq=False)
class ColumnBatch:
    """A `records.Batch` whose rows are columns. Positions count rows first, then events."""

    gateway_id: str
    rows: RowColumns
    events: tuple[Event, ...] = ()

    def __len__(self) -> int:
        return len(self.rows) + len(self.events)

    def batch(self) -> Batch:
        return Batch(self.gateway_id, self.rows.rows(), self.events)
