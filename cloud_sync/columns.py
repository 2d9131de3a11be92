"""Rows as parallel arrays: what a thousand readings are while nobody looks at one of them.

Row n is one reading of `series[of_row[n]]`, as `records.Row` describes it. A batch that is stored, sent and
committed stays in this form; rows are made of it where one has to be named.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import numpy as np
from numpy.typing import NDArray

from cloud_sync.records import Batch, Event, Row, Series


@dataclass(frozen=True, slots=True, eq=False)
class RowColumns:
    """All arrays are one-dimensional and of one length.

    `series` is a table: entries may be of no row here, and two may name one sensor.
    """

    series: tuple[Series, ...]
    of_row: NDArray[np.int64]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.time_us)

    @classmethod
    def of(cls, rows: Sequence[Row]) -> RowColumns:
        """Put rows into columns. Series are told apart by identity; the same ones always stand in the same order.

        Raises TypeError for a time that is no integer, OverflowError for one beyond 64 bits; NumPy would cut it.
        """
        series = [row.series for row in rows]
        object_ids = np.fromiter(map(id, series), np.int64, len(series))
        _, firsts, of_row = np.unique(object_ids, return_index=True, return_inverse=True)
        return cls(
            tuple([series[first] for first in firsts.tolist()]),
            of_row,
            np.array(array("q", [row.time_us for row in rows])),
            np.array(array("d", [row.value for row in rows])),
            np.array(array("d", [row.quality for row in rows])),
        )

    @classmethod
    def joined(cls, parts: Sequence[RowColumns]) -> RowColumns:
        """Join the rows of at least one part, in order. Tables follow one another; one that is shared, once."""
        tables = {id(part.series): part.series for part in parts}
        series, of_row = parts[0].series, [part.of_row for part in parts]
        if len(tables) > 1:  # a single one keeps its identity, by which its catalogue is found again
            series = tuple(chain.from_iterable(tables.values()))
            starts = dict(zip(tables, accumulate(map(len, tables.values()), initial=0), strict=False))
            of_row = [part.of_row + starts[id(part.series)] for part in parts]
        return cls(
            series,
            np.concatenate(of_row),
            np.concatenate([part.time_us for part in parts]),
            np.concatenate([part.value for part in parts]),
            np.concatenate([part.quality for part in parts]),
        )

    def at(self, places: slice | NDArray[np.bool_] | NDArray[np.int64]) -> RowColumns:
        """Return some of the rows, over the same table."""
        return RowColumns(
            self.series, self.of_row[places], self.time_us[places], self.value[places], self.quality[places]
        )

    def rows(self) -> tuple[Row, ...]:
        """Return each row by itself. Raises ValueError for a value that is not finite."""
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

    def part(self, start: int, stop: int) -> ColumnBatch:
        """Return the records at positions start..stop-1."""
        n = len(self.rows)
        events = self.events[max(start - n, 0) : max(stop - n, 0)]
        return ColumnBatch(self.gateway_id, self.rows.at(slice(start, stop)), events)


Record = RowColumns | Event
"""What is handed over to the outbox: rows that arose together, or an event."""
