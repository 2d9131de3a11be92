"""What leaves the pipeline, as rows and events of the central's contract.

Constraints
- One sensor_id per quantity: <asset>.<point>.<feature>, or the tag's own name.
- Times are UTC, rounded to microseconds before keying, strictly increasing per sensor_id.
- No row without a value, no value without a time; what is missing is a gap event.

Knows the records of `cloud_sync`; does not know SQLite or HTTP.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from cloud_sync.records import Event, EventKind, Row, Series
from edge_agent.core.gaps import Gap, GapCause, GapSpan
from edge_agent.core.quality import CENTRAL_QUALITY, UNSYNCED_CLOCK_CAP, Quality

CLOCK_STEP_US: Final = 2_000_000
"""Slewing and jitter stay far below; a clock that is set jumps further or does not matter."""


class Recorder:
    """Keys rows. `is_clock_synced` is asked per row: an unsynchronised clock caps the quality."""

    def __init__(self, *, is_clock_synced: Callable[[], bool]) -> None:
        self._is_clock_synced = is_clock_synced
        self._last_time_us: dict[str, int] = {}
        self.clock = GapSpan("clock")  # open while rows are withheld because the clock was set back
        self._resume_us = -1  # the newest row that was there when the clock was set back
        self._told: list[Event] = []
        self.late_total = 0  # rows whose time was at or before the previous one of the same sensor_id

    def row(self, series: Series, time_ns: int, value: float, quality: Quality) -> Row | None:
        """One row, or None when this sensor_id already has a row at or after that microsecond."""
        time_us = (time_ns + 500) // 1000
        if time_us <= self._last_time_us.get(series.sensor_id, -1):
            self._note_late(series.sensor_id, time_us, self._last_time_us[series.sensor_id])
            return None
        self._note_on_time(time_us)
        self._last_time_us[series.sensor_id] = time_us
        return Row(series, time_us, value, self._central_quality(quality))

    def take_events(self) -> list[Event]:
        """What the recorder itself has to tell since it was last asked."""
        told, self._told = self._told, []
        return told

    def _note_late(self, sensor_id: str, time_us: int, last_us: int) -> None:
        self.late_total += 1
        if last_us - time_us < CLOCK_STEP_US:
            return  # two readings of one instant, or a source's own jitter
        self._resume_us = max(self._resume_us, last_us)
        behind_s = (last_us - time_us) / 1e6
        detail = f"the clock is {behind_s:.0f} s behind the newest row of {sensor_id}; what comes before it is withheld"
        begun = self.clock.begin(GapCause.CLOCK_SET_BACK, time_us * 1000, detail)
        if begun is not None:
            self._told.append(self.gap(begun))

    def _note_on_time(self, time_us: int) -> None:
        if time_us <= self._resume_us:
            return  # another sensor, which has no row that late: the step is not over
        if (ended := self.clock.end(time_us * 1000)) is not None:
            self._told.append(self.gap(ended))

    def gap(self, gap: Gap) -> Event:
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

    def alarm(self, subject: str, time_ns: int, body: Mapping[str, Any]) -> Event:
        return _event(EventKind.ALARM, subject, time_ns, body)

    def report(self, subject: str, time_ns: int, body: Mapping[str, Any]) -> Event:
        """Something about the agent or a model that the centre should know."""
        return _event(EventKind.MODEL_REPORT, subject, time_ns, body)

    def _central_quality(self, quality: Quality) -> float:
        value = CENTRAL_QUALITY[quality]
        return value if self._is_clock_synced() else min(value, UNSYNCED_CLOCK_CAP)


def _event(kind: EventKind, subject: str, time_ns: int, body: Mapping[str, Any]) -> Event:
    # The id is made once, here, and stored with the event: sending it again cannot double it.
    return Event(uuid.uuid4().hex, kind, subject, (time_ns + 500) // 1000, body)
