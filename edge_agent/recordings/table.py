"""Named columns of equal length: what tables of every format come to, before anybody asks what each column is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """`columns[i]` is a vector: float64 (a missing value is NaN), datetime64[ns] (instants; NaT is missing),
    timedelta64[ns] (time of day) or text.

    `names` are as the file has them, empty where it has none at all; a single one may be empty too. `units` are empty
    where nothing says them. `rate_hz` is what the file says beside its rows. `lines` gives the file's line of each row,
    for messages; None where rows have no lines. `integers` are columns that are stored as whole numbers.
    `default_unit` is that of the channels which name none themselves.
    """

    name: str
    columns: tuple[NDArray[Any], ...]
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    rate_hz: float | None = None
    rate_words: str = ""
    lines: Sequence[int] | NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()
    integers: frozenset[int] = frozenset()
    default_unit: str = ""

    @property
    def n_rows(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def name_of(self, column: int) -> str:
        """Return the column's name; empty where it has none."""
        return self.names[column] if self.names else ""

    def of_kind(self, kinds: str) -> list[int]:
        """Return the columns whose values are of one of these kinds, in NumPy's letters."""
        return [column for column, values in enumerate(self.columns) if values.dtype.kind in kinds]

    def label(self, column: int) -> str:
        """Return how a person finds the column: its number in the file, and its name when it has one."""
        text = self.name_of(column)
        return f"column {column + 1} {text!r}" if text else f"column {column + 1}"

    def where(self, row: int) -> str:
        """Return how a person finds the row."""
        return f"row {row + 1}" if self.lines is None else f"line {int(self.lines[row])}"

    def unit(self, column: int) -> str:
        return self.units[column] if self.units else ""
