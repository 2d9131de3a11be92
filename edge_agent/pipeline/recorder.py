"""What leaves the pipeline, as rows and events of the central's contract.

Constraints
- One sensor_id per quantity: <asset>.<point>.<feature>, or the tag's own name.
- Times are the steady clock's, rounded to microseconds before keying, strictly increasing per sensor_id; the writer
  makes them UTC. A row that is late is withheld, unless the newest one was far ahead; a tag asks for a free time.
- No row without a value, no value without a time; what is missing is a gap event.

Knows the records of `cloud_sync`; does not know SQLite or HTTP.
"""

from __future__ import annotations

import math
import uuid
from array import array
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from cloud_sync.columns import RowColumns
from cloud_sync.host.printable import printable_tree
from cloud_sync.records import Event, EventKind, Series
from edge_agent.core.gaps import Gap, GapCause, GapSpan
from edge_agent.core.quality import CENTRAL_QUALITY, UNSYNCED_CLOCK_CAP, Quality

CLOCK_STEP_US: Final = 2_000_000
"""Slewing and jitter stay far below; a clock that is set jumps further or does not matter."""

FAR_AHEAD_US: Final = 86_400_000_000
"""A day: what a central takes as a time to come at most."""


class Recorder:
    """Keys rows. `is_clock_synced` is asked per `rows`: a clock that is not trusted caps the quality.

    All rows are of one table of series, in which a Series object is a line's for good: what is gathered in a flush
    is joined and encoded without looking at a name.
    """

    def __init__(self, *, is_clock_synced: Callable[[], bool]) -> None:
        self._is_clock_synced = is_clock_synced
        self._places: dict[int, int] = {}  # by id(); the table keeps the objects alive
        self._series: list[Series] = []
        self._table: tuple[Series, ...] = ()
        self._last_time_us: dict[str, int] = {}
        self.clock = GapSpan("clock")  # open while rows are withheld because the clock was set back
        self._resume_us = -1  # the newest row that was there when the clock was set back
        self._withheld: set[str] = set()  # whose rows are; a source that counts its own samples never was behind
        self._pending: list[Event] = []
        self.late_total = 0  # rows whose time was at or before the previous one of the same sensor_id

    def rows(self) -> Rows:
        """Return where a line adds the rows that arise together."""
        return Rows(self, quality_cap=1.0 if self._is_clock_synced() else UNSYNCED_CLOCK_CAP)

    def key(self, series: Series, time_ns: int) -> int | None:
        """Return the row's time in microseconds, or None when this sensor_id already has a row at or after it."""
        time_us = _microseconds(time_ns)
        sensor_id = series.sensor_id
        last_us = self._last_time_us.get(sensor_id, -1)
        if last_us - time_us > FAR_AHEAD_US and self._is_clock_synced():
            self._resume_us = time_us - 1
        elif time_us <= last_us:
            self._count_late(series, time_us, last_us)
            return None
        if self._withheld:
            self._end_step(sensor_id, time_us)
        self._last_time_us[sensor_id] = time_us
        return time_us

    def free_time_ns(self, series: Series, time_ns: int, received_ns: int) -> int:
        """Return the first of the times that is later than this sensor_id's newest row; else the next microsecond.

        A newest row that is far ahead is not gone past: `key` says what comes of that.
        """
        last_us = self._last_time_us.get(series.sensor_id, -1)
        if _microseconds(time_ns) > last_us:
            return time_ns
        is_free = self._is_far_ahead(series, received_ns) or _microseconds(received_ns) > last_us
        return received_ns if is_free else (last_us + 1) * 1000

    def is_passed(self, series: Series, time_ns: int, received_ns: int) -> bool:
        """Return whether this sensor_id has a row at or after that time, other than one that is far ahead."""
        is_later = _microseconds(time_ns) > self._last_time_us.get(series.sensor_id, -1)
        return not is_later and not self._is_far_ahead(series, received_ns)

    def _is_far_ahead(self, series: Series, received_ns: int) -> bool:
        """Return whether the newest row of this sensor_id is from a time that can only be wrong."""
        return self._last_time_us.get(series.sensor_id, -1) - _microseconds(received_ns) > FAR_AHEAD_US

    def place(self, series: Series) -> int:
        """Return where the series stands in `table`."""
        place = self._places.get(id(series))
        if place is None:
            place = self._places[id(series)] = len(self._series)
            self._series.append(series)
        return place

    @property
    def table(self) -> tuple[Series, ...]:
        """Return every series that was recorded so far; the same object until there is another."""
        if len(self._table) != len(self._series):
            self._table = tuple(self._series)
        return self._table

    def take_events(self) -> list[Event]:
        """Return the recorder's own events since it was last asked."""
        pending, self._pending = self._pending, []
        return pending

    def _count_late(self, series: Series, time_us: int, last_us: int) -> None:
        self.late_total += 1
        if last_us - time_us < CLOCK_STEP_US:
            return  # two readings of one instant, or a source's own jitter
        self._resume_us = max(self._resume_us, last_us)
        self._withheld.add(series.sensor_id)
        behind_s = (last_us - time_us) / 1e6
        source = series.metadata.get("source")
        whose = "the clock is" if source is None else f"{source}: its times are"
        newest = f"the newest row of {series.sensor_id}"
        detail = f"{whose} {behind_s:.0f} s behind {newest}; what comes before it is withheld"
        begun = self.clock.begin(GapCause.CLOCK_SET_BACK, time_us * 1000, detail)
        if begun is not None:
            self._pending.append(self.gap(begun))

    def _end_step(self, sensor_id: str, time_us: int) -> None:
        if time_us <= self._resume_us or sensor_id not in self._withheld:
            return  # another sensor, which has no row that late or never was behind: the step is not over
        self._withheld.clear()
        if (ended := self.clock.end(time_us * 1000)) is not None:
            self._pending.append(self.gap(ended))

    def gap(self, gap: Gap) -> Event:
        """Return the event of this gap."""
        return gap_event(gap)

    def alarm(self, subject: str, time_ns: int, body: Mapping[str, Any]) -> Event:
        """Return the event of an alarm that was raised or cleared."""
        return _event(EventKind.ALARM, subject, time_ns, body)

    def annotation(self, subject: str, time_ns: int, body: Mapping[str, Any]) -> Event:
        """Return an event about what a text said at that time."""
        return _event(EventKind.ANNOTATION, subject, time_ns, body)

    def report(self, subject: str, time_ns: int, body: Mapping[str, Any]) -> Event:
        """Return an event about the agent or a model that the centre should know."""
        return _event(EventKind.MODEL_REPORT, subject, time_ns, body)


class Rows:
    """Rows that arise together: the reports of a channel, the news of a scan. `Recorder.rows` makes it."""

    def __init__(self, recorder: Recorder, *, quality_cap: float) -> None:
        self._recorder = recorder
        self._quality_cap = quality_cap
        self._of_row = array("q")
        self._time_us = array("q")
        self._value = array("d")
        self._quality = array("d")

    def add(self, series: Series, time_ns: int, value: float, quality: Quality) -> bool:
        """Add a row; False when its sensor_id has one at or after that microsecond. Raises ValueError for NaN."""
        if not math.isfinite(value):
            raise ValueError(f"{series.sensor_id}: {value} is not a value; a missing value is a gap")
        time_us = self._recorder.key(series, time_ns)
        if time_us is None:
            return False
        self._of_row.append(self._recorder.place(series))
        self._time_us.append(time_us)
        self._value.append(value)
        grade = CENTRAL_QUALITY[quality]
        self._quality.append(grade if grade < self._quality_cap else self._quality_cap)
        return True

    def taken(self) -> list[RowColumns]:
        """Return all that were added as one record; none when there are none."""
        if not self._time_us:
            return []
        columns = (np.array(column) for column in (self._of_row, self._time_us, self._value, self._quality))
        return [RowColumns(self._recorder.table, *columns)]


def _microseconds(time_ns: int) -> int:
    return (time_ns + 500) // 1000


def gap_event(gap: Gap) -> Event:
    """Return the event of this gap."""
    body: dict[str, Any] = {
        "cause": gap.cause.value,
        "start_us": gap.start_ns // 1000,
        "end_us": gap.end_ns // 1000,
    }
    if gap.detail:
        body["detail"] = gap.detail
    if gap.count is not None:
        body["count"] = gap.count
    return _event(EventKind.GAP, gap.subject, gap.end_ns, body)


def _event(kind: EventKind, subject: str, time_ns: int, body: Mapping[str, Any]) -> Event:
    # The id is made once, here, and stored with the event: sending it again cannot double it.
    # What devices, files and libraries said is in the body; nobody who shows it should have to think of that.
    return Event(uuid.uuid4().hex, kind, subject, _microseconds(time_ns), printable_tree(body))
