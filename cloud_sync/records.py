"""What is delivered: rows of `sensor_readings`, and events; and the central's answers.

A row's identity is (sensor_id, time_us); an event's is its id. Both are what makes delivery count once,
however often the bytes travel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from cloud_sync.twins import Notice


class RecordClass(StrEnum):
    """Retention class of a block: what may be given up first when the disk is full."""

    EVENT = "event"  # alarms, gaps, annotations: never evicted
    READING = "reading"  # features, scores, tags


@dataclass(frozen=True, slots=True)
class Series:
    """What is the same for every row of one sensor_id."""

    sensor_id: str
    sensor_type: str
    unit: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of `sensor_readings`: `time_us` is UTC, microseconds since the epoch; quality is 0..1."""

    series: Series
    time_us: int
    value: float
    quality: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"{self.series.sensor_id}: {self.value} is not a value; a missing value is a gap")

    @property
    def key(self) -> tuple[str, int]:
        return self.series.sensor_id, self.time_us


class EventKind(StrEnum):
    ALARM = "alarm"
    GAP = "gap"
    ANNOTATION = "annotation"
    MODEL_REPORT = "model_report"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `subject` is an asset, point, source or tag name; `body` is JSON."""

    event_id: str
    kind: EventKind
    subject: str
    time_us: int
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows and events offered together. Positions count rows first, then events."""

    gateway_id: str
    rows: tuple[Row, ...] = ()
    events: tuple[Event, ...] = ()

    def __len__(self) -> int:
        return len(self.rows) + len(self.events)

    def only(self, position: int) -> Batch:
        """Return the batch of one record. Raises IndexError for a position that is not in this batch."""
        return self.part(position, position + 1)

    def part(self, start: int, stop: int) -> Batch:
        """Return the records at positions start..stop-1."""
        if not 0 <= start < stop <= len(self):
            raise IndexError(f"positions {start}..{stop} of {len(self)}")
        n = len(self.rows)
        return Batch(self.gateway_id, self.rows[start:stop], self.events[max(start - n, 0) : max(stop - n, 0)])


NO_EVENTS: Final = "no_events_in_single_mode"
"""The code of a refusal that is about what this central is, not about the record."""


DIFFERS: Final = "differs"
"""The code of a reading whose key is stored with another value or quality: that one was kept."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row or event the central will never take. `index` is its position in the batch."""

    index: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a batch: the central's answer after COMMIT.

    accepted + duplicates + len(refused) is the number of rows and events offered.
    """

    accepted: int
    duplicates: int
    refused: tuple[Refusal, ...] = ()
    notice: Notice | None = None
    """The central's notice of another box that sends with this gateway id."""

    def __len__(self) -> int:
        return self.accepted + self.duplicates + len(self.refused)
