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
from typing import Any

from cloud_sync.records import Event, EventKind, Row, Series
from edge_agent.core.gaps import Gap
from edge_agent.core.quality import CENTRAL_QUALITY, UNSYNCED_CLOCK_CAP, Quality


class Recorder:
    """Keys rows. `is_clock_synced` is asked per row: an unsynchronised clock caps the quality."""

    def __init__(self, *, is_clock_synced: Callable[[], bool]) -> None:
        self._is_clock_synced = is_clock_synced
        self._last_time_us: dict[str, int] = {}
        self.late_total = 0  # rows whose time was at or before the previous one of the same sensor_id

    def row(self, series: Series, time_ns: int, value: float, quality: Quality) -> Row | None:
        """One row, or None when this sensor_id already has a row at or after that microsecond."""
        time_us = (time_ns + 500) // 1000
        if time_us <= self._last_time_us.get(series.sensor_id, -1):
            self.late_total += 1
            return None
        self._last_time_us[series.sensor_id] = time_us
        return Row(series, time_us, value, self._central_quality(quality))

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
