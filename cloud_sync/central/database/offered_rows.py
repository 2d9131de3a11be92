"""What of a judged batch is offered to the database: parts of it, and the arrays a statement takes.

Rows come by (sensor_id, time), so that those of one series lie together: its texts travel once for each such run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud_sync.columns import RowColumns
from cloud_sync.digest import HOUR_US
from cloud_sync.records import DIFFERS, Event, Refusal
from cloud_sync.row_rules import json_text, timestamp


@dataclass(frozen=True, slots=True, eq=False)
class OfferedRows:
    """The rows at `positions` of a batch's columns, in this order; `metadata` is JSON text, one for each series."""

    columns: RowColumns
    metadata: tuple[str | None, ...]
    positions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def first_position(self) -> int:
        return int(self.positions[0])

    def part(self, start: int, stop: int) -> OfferedRows:
        return replace(self, positions=self.positions[start:stop])

    def only(self, is_kept: NDArray[np.bool_]) -> OfferedRows:
        """Return those whose series is kept."""
        return replace(self, positions=self.positions[is_kept[self.columns.of_row[self.positions]]])

    def of_sensor(self) -> dict[str, int]:
        """Return by sensor_id which series its first row has."""
        places: dict[str, int] = {}
        for place in self._runs()[1]:
            places.setdefault(self.columns.series[place].sensor_id, place)
        return places

    def hours_us(self) -> list[int]:
        """Return the start of each hour that has a row."""
        times = self.columns.time_us[self.positions]
        return np.unique(times - times % HOUR_US).tolist()  # type: ignore[no-any-return]

    def arguments(self) -> tuple[list[Any], ...]:
        """Return the arguments of statements.INSERT_ROWS."""
        starts, places = self._runs()
        series = [self.columns.series[place] for place in places]
        return (
            [one.sensor_id for one in series],
            [one.sensor_type for one in series],
            [one.unit for one in series],
            [self.metadata[place] for place in places],
            (starts + 1).tolist(),
            np.append(starts[1:], len(self)).tolist(),
            self.columns.time_us[self.positions].tolist(),
            self.columns.value[self.positions].tolist(),
            self.columns.quality[self.positions].tolist(),
        )

    def keys_and_values(self) -> tuple[Any, ...]:
        """Return the arguments of statements.DIFFERENT_ROWS."""
        ids, _, _, _, firsts, lasts, times, values, qualities = self.arguments()
        return ids, firsts, lasts, times, values, qualities, timestamp(min(times)), timestamp(max(times))

    def conflicts(self, stored: Sequence[tuple[int, float, float | None]]) -> list[Conflict]:
        """Return the conflicts of places among these rows, with the value and quality that are stored there."""
        places = self.positions[[place for place, _, _ in stored]]
        columns = self.columns.at(places)
        offered = zip(columns.value.tolist(), columns.quality.tolist(), strict=True)
        sensor_ids = [columns.series[place].sensor_id for place in columns.of_row.tolist()]
        return [
            Conflict(position, sensor_id, time_us, one[1:], other)
            for position, sensor_id, time_us, one, other in zip(
                places.tolist(), sensor_ids, columns.time_us.tolist(), stored, offered, strict=True
            )
        ]

    def _runs(self) -> tuple[NDArray[np.int64], list[int]]:
        """Where runs of rows of one series start, and which series each is of."""
        of_row = self.columns.of_row[self.positions]
        is_start = np.ones(len(of_row), np.bool_)
        is_start[1:] = of_row[1:] != of_row[:-1]
        starts = np.flatnonzero(is_start)
        return starts, of_row[starts].tolist()


@dataclass(frozen=True, slots=True)
class Conflict:
    """A reading that is stored with another value or quality; `stored` and `offered` are both, in this order."""

    position: int
    sensor_id: str
    time_us: int
    stored: tuple[float, float | None]
    offered: tuple[float, float]

    @property
    def refusal(self) -> Refusal:
        kept, other = (f"{value!r} (quality {quality!r})" for value, quality in (self.stored, self.offered))
        return Refusal(self.position, DIFFERS, f"{kept} is stored for this sensor and time and was kept, not {other}")


@dataclass(frozen=True, slots=True)
class OfferedEvents:
    """Events with their positions in the batch, by id."""

    placed: tuple[tuple[int, Event], ...]

    def __len__(self) -> int:
        return len(self.placed)

    @property
    def first_position(self) -> int:
        return self.placed[0][0]

    def part(self, start: int, stop: int) -> OfferedEvents:
        return OfferedEvents(self.placed[start:stop])

    def ids(self) -> list[str]:
        return [event.event_id for _, event in self.placed]

    def arguments(self) -> tuple[list[Any], ...]:
        """Return the arguments of statements.INSERT_EVENTS."""
        events = [event for _, event in self.placed]
        return (
            self.ids(),
            [str(event.kind) for event in events],
            [event.subject for event in events],
            [timestamp(event.time_us) for event in events],
            [json_text(event.body) for event in events],
        )
