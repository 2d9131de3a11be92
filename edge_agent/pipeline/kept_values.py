"""Values that a device kept while it was away: rows of their own times, and nothing of how a tag is now. Pure.

Constraints
- Each is news: a device that reports by exception kept it because it had changed. The deadband is not asked.
- What is no value, or comes after a newer row was given away, is counted in one gap for each tag and cause of a scan.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from cloud_sync.records import Event, Series
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.tags import Reading
from edge_agent.pipeline.recorder import Recorder, Rows
from edge_agent.pipeline.sensor_health.tags import TagCheck

_TOO_LATE: Final = "kept by the device from before the newest row: it came too late for a row"


class KeptValues:
    """Of one source; `gaps_of_scan` takes what a scan's values left."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._gaps: dict[tuple[str, GapCause], Gap] = {}

    def take(self, reading: Reading, series: Series, check: TagCheck | None, rows: Rows) -> None:
        """Add a kept value to the rows, or count it."""
        value, at_ns = reading.value, reading.time_ns
        if value is None:
            self._count(Gap(reading.tag.name, GapCause.BAD_QUALITY, at_ns, at_ns, reading.status, 1))
            return
        if check is not None and (why := check.why_impossible(value)):
            self._count(Gap(reading.tag.name, GapCause.SENSOR_FAULT, at_ns, at_ns, why, 1))
            return
        if reading.source_time_ns is None:
            at_ns = self._recorder.free_time_ns(series, at_ns, reading.received_time_ns)
        # Asked before: a row that comes late would be called a clock that was set back.
        is_passed = self._recorder.is_passed(series, at_ns, reading.received_time_ns)
        if is_passed or not rows.add(series, at_ns, value, reading.quality):
            self._count(Gap(reading.tag.name, GapCause.DISCONTINUITY, at_ns, at_ns, _TOO_LATE, 1))

    def gaps_of_scan(self) -> list[Event]:
        """Return the gaps of what was taken since the last call."""
        gaps, self._gaps = self._gaps, {}
        return [self._recorder.gap(gap) for gap in gaps.values()]

    def _count(self, gap: Gap) -> None:
        key = gap.subject, gap.cause
        if key in self._gaps:
            before = self._gaps[key]
            start_ns, end_ns = min(before.start_ns, gap.start_ns), max(before.end_ns, gap.end_ns)
            gap = replace(before, start_ns=start_ns, end_ns=end_ns, count=(before.count or 0) + 1)
        self._gaps[key] = gap
