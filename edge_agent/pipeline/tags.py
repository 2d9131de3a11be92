"""Tags of one source from scans to records: report by exception. Pure.

Constraints
- A value inside its deadband is not reported again before the heartbeat; the first one always is.
- A keep-alive keeps the newest values fresh, and brings the heartbeat of what does not change.
- A text is an annotation when it changes (texts.py).
- News is never kept back for its time: a value whose time stands before the newest row has that of its receipt, or the
  microsecond after that row. Only what a device kept from before that row, and says so, comes too late.
- What a device kept is not how a tag is now: kept_values.py.
- BAD is a gap with the protocol's own word for it, when it begins and when it ends; so is what fails a check of the
  settings, with another cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cloud_sync.columns import Record
from cloud_sync.records import Event, Series
from edge_agent.core.gaps import Gap, GapCause, GapSpan
from edge_agent.core.health import OK
from edge_agent.core.quality import Quality
from edge_agent.core.tags import KeepAlive, Reading, Scan, TextReading
from edge_agent.pipeline.kept_values import KeptValues
from edge_agent.pipeline.recorder import Recorder, Rows
from edge_agent.pipeline.sensor_health.tags import TagCheck
from edge_agent.pipeline.texts import TextLog


class TagLine:
    """All tags of one source. `deadbands` are those of all, `checks` those of the tags that have any."""

    def __init__(
        self,
        source: str,
        *,
        deadbands: Mapping[str, float],
        heartbeat_s: float,
        recorder: Recorder,
        checks: Mapping[str, TagCheck] = MappingProxyType({}),
    ) -> None:
        self.name = source
        self.latest: dict[str, Reading] = {}
        self.texts = TextLog(recorder)
        self.readings_total = 0
        self.gaps_total = 0
        self.last_gap: Gap | None = None
        self.n_tags = len(deadbands)
        self.checks = checks
        self._checked: dict[str, Reading] = {}  # the newest reading of each of them as it came
        self._deadbands = deadbands
        self._heartbeat_ns = round(heartbeat_s * 1e9)
        self._recorder = recorder
        self._reported: dict[str, tuple[float, Quality, int]] = {}
        self._bad: dict[str, GapSpan] = {}
        self._series: dict[str, Series] = {}
        self._kept = KeptValues(recorder)

    def push(self, item: Scan | KeepAlive | Gap) -> list[Record]:
        """Return what one item from the driver leads to, in order."""
        if isinstance(item, Gap):
            if item.subject in self.bad_tags:
                return []  # the tag's own gap is open already and says the same
            self.gaps_total += 1
            self.last_gap = item
            return [self._recorder.gap(item)]
        rows = self._recorder.rows()
        events: list[Event] = []
        if isinstance(item, KeepAlive):
            for name in item.tags:
                events += self._confirm(name, item.received_time_ns, rows)
        else:
            self.readings_total += len(item.readings)
            for reading in item.readings:
                events += self._pass_reading(reading, rows)
            for text in item.texts:
                events += self._pass_text(text)
            kept = self._kept.gaps_of_scan()
            self.gaps_total += len(kept)
            events += kept
        return [*events, *rows.taken()]

    def flush(self, now_ns: int) -> list[Record]:
        """Return the ends of open gaps: before a stop."""
        ended = [span.end(now_ns) for span in self._bad.values()]
        return [self._recorder.gap(gap) for gap in ended if gap is not None]

    @property
    def bad_tags(self) -> dict[str, GapSpan]:
        """Return the open gap of each tag that is bad now."""
        return {name: span for name, span in self._bad.items() if span.since_ns is not None}

    def _pass_reading(self, reading: Reading, rows: Rows) -> list[Event]:
        """Add to the rows what is news; return the gaps that begin or end with it."""
        name = reading.tag.name
        if reading.is_historical:
            series = self._series.get(name) or self._new_series(reading)
            self._kept.take(reading, series, self.checks.get(name), rows)
            return []
        check = self.checks.get(name) if self.checks else None
        if check is not None:
            self._checked[name] = reading
            reading = check.judge(reading)
        self.latest[name] = reading
        if reading.value is None:
            is_sound = check is None or check.health is OK
            return self._pass_bad(reading, GapCause.BAD_QUALITY if is_sound else GapCause.SENSOR_FAULT)
        span = self._bad.get(name)
        ended = None if span is None else span.end(reading.received_time_ns)
        self._report(reading, reading.value, rows)
        return [] if ended is None else [self._recorder.gap(ended)]

    def _pass_text(self, text: TextReading) -> list[Event]:
        """Return the annotation of a text that changed, and the gap that ends with a text that can be read again."""
        name = text.tag.name
        self.readings_total += 1
        self.latest.pop(name, None)  # it was bad, if anything: good ones are texts
        ended = self._bad[name].end(text.received_time_ns) if name in self._bad else None
        told = self.texts.take(text)
        return told if ended is None else [*told, self._recorder.gap(ended)]

    def _pass_bad(self, reading: Reading, cause: GapCause) -> list[Event]:
        """Return the gap that begins, after the one of another cause that ends."""
        at_ns = reading.received_time_ns
        span = self._bad.setdefault(reading.tag.name, GapSpan(reading.tag.name))
        ended = span.end(at_ns) if span.cause not in (None, cause) else None
        begun = span.begin(cause, at_ns, reading.status, count=1)
        if begun is not None:
            self.gaps_total += 1
            self.last_gap = begun
        return [self._recorder.gap(gap) for gap in (ended, begun) if gap is not None]

    def _confirm(self, name: str, at_ns: int, rows: Rows) -> list[Event]:
        """Take the newest value as read again at this time, if there is a usable one that is older."""
        reading = self._checked.get(name) or self.latest.get(name)
        if reading is None or reading.value is None or at_ns <= reading.received_time_ns:
            return []
        return self._pass_reading(reading._replace(source_time_ns=None, received_time_ns=at_ns), rows)

    def _report(self, reading: Reading, value: float, rows: Rows) -> None:
        if not self._is_news(reading, value):
            return
        name = reading.tag.name
        series = self._series.get(name) or self._new_series(reading)
        time_ns = self._recorder.free_time_ns(series, reading.time_ns, reading.received_time_ns)
        if rows.add(series, time_ns, value, reading.quality):
            self._reported[name] = (value, reading.quality, reading.received_time_ns)

    def _is_news(self, reading: Reading, value: float) -> bool:
        before = self._reported.get(reading.tag.name)
        if before is None:
            return True
        last_value, last_quality, last_ns = before
        elapsed_ns = reading.received_time_ns - last_ns
        if reading.quality is not last_quality or not 0 <= elapsed_ns < self._heartbeat_ns:
            return True  # also when the clock was set back: silence must not depend on it
        return abs(value - last_value) > self._deadbands.get(reading.tag.name, 0.0)

    def _new_series(self, reading: Reading) -> Series:
        tag = reading.tag
        series = self._series[tag.name] = Series(tag.name, tag.sensor_type, tag.unit, {"source": self.name})
        return series
