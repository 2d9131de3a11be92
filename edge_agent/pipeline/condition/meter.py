"""One indicator over the channels of a source: windows become features, features reports, zones and fault lines. Pure.

A speed is the newest good value of its tag and not older than allowed; else there is a gap and no number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud_sync.columns import Record
from cloud_sync.records import Event, Series
from edge_agent.core.features import FeatureSpec
from edge_agent.core.gaps import GapCause, GapSpan
from edge_agent.core.quality import Quality
from edge_agent.core.samples import Samples
from edge_agent.core.tags import Reading
from edge_agent.core.windows import WindowBatch
from edge_agent.dsp.family_base.family import Extracted, Extractor
from edge_agent.dsp.kernels.shaft_speed import SpeedAwareExtractor
from edge_agent.dsp.machines.severity import SEVERITY
from edge_agent.errors import SignalError
from edge_agent.pipeline.alarms import AlarmChange
from edge_agent.pipeline.condition.plan import Indicator
from edge_agent.pipeline.condition.trackers import FaultLineTracker, ZoneTracker
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.report_interval import ReportInterval
from edge_agent.pipeline.sample_gaps import UNUSABLE
from edge_agent.pipeline.sensor_health.uses import Use, Uses


@dataclass(slots=True)
class ChannelIndicator:
    """What is known of one indicator on one channel right now; read by `status`."""

    subject: str
    fault: GapSpan
    zone: ZoneTracker | None
    lines: tuple[FaultLineTracker, ...]
    windows_total: int = 0
    means: dict[str, float] = field(default_factory=dict)  # of the newest report
    reported_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Speed:
    """Of the shaft, in Hz, with the quality of the reading it comes from."""

    hz: float
    quality: Quality


class Meter:
    """One indicator of one source. `subjects` are `<asset>.<point>` of its channels, in order."""

    def __init__(
        self,
        indicator: Indicator,
        *,
        source: str,
        subjects: tuple[str, ...],
        sensor_type: str,
        signal_unit: str,
        interval_s: float,
        recorder: Recorder,
    ) -> None:
        self.indicator = indicator
        self.states = tuple(_channel(indicator, subject) for subject in subjects)
        self.withheld = GapSpan(f"{source}.{indicator.label}")
        """Open while there is no speed, or the samples are none this indicator can be had from."""
        self._withheld_cause: GapCause | None = None
        self._interval_ns = round(interval_s * 1e9)
        self._recorder = recorder
        self._extractor: Extractor | None = None
        self._names = [feature.name for feature in indicator.features]
        self._intervals = tuple(ReportInterval(len(self._names)) for _ in subjects)
        self._rows = [(number, statistic) for number, _, statistic in indicator.row_names()]
        self._series = [_series(indicator, subject, sensor_type, signal_unit) for subject in subjects]

    @property
    def is_at_rest(self) -> bool:
        """Return whether nothing is measured because the shaft does not turn."""
        return self._withheld_cause is GapCause.AT_REST

    def tune(self, sample_rate_hz: float) -> FeatureSpec:
        """Compute for samples at this rate from here on. Raises SignalError when it cannot be."""
        self._extractor = None
        self._extractor = self.indicator.extractor(sample_rate_hz)
        return self.indicator.spec(sample_rate_hz)

    def measure(
        self,
        windows: WindowBatch,
        latest: Callable[[], Mapping[str, Reading]],
        now_ns: Callable[[], int],
        uses: Uses | None = None,
    ) -> list[Record]:
        """Return what these windows lead to, in order; `uses` (of all channels) says what each is good for.

        Raises SignalError for windows the extractor does not take.
        """
        end_ns = int(windows.end_ns[0])
        speed = self._speed(latest, now_ns)
        if isinstance(speed, tuple):
            return self.withhold(*speed, end_ns)
        samples = self._samples_of(windows)
        values, is_usable = self._extract(samples, speed)
        records = self._resume(end_ns)
        quality = windows.quality if speed is None else max(windows.quality, speed.quality)
        shaft_hz = speed.hz if speed is not None else float(self.indicator.parameters.get("shaft_hz", 0.0))
        for c, channel in enumerate(self.indicator.channels):
            for w in range(windows.n_windows):
                end_ns = int(windows.end_ns[w])
                use = Use.SCORED if uses is None else Use(uses[channel, w])
                if use is Use.NOTHING:  # whoever found that gives the gap
                    records += self._end_fault(c, end_ns)
                elif is_usable[c, w]:
                    of_window = quality if use is Use.SCORED else max(quality, Quality.UNCERTAIN)
                    records += self._pass_window(c, values[c, w], end_ns, of_window, shaft_hz)
                else:
                    records += self._pass_unusable(c, samples[c, w], end_ns, speed)
        return records

    def withhold(self, cause: GapCause, detail: str, at_ns: int) -> list[Record]:
        """Give no numbers from here on; the first call begins the gap that says why."""
        records = self._resume(at_ns) if cause is not self._withheld_cause else []
        self._withheld_cause = cause
        begun = self.withheld.begin(cause, at_ns, detail, count=1)
        return [*records, self._recorder.gap(begun)] if begun is not None else records

    def flush(self, at_ns: int) -> list[Record]:
        """Return what is only partly reported, and the ends of gaps."""
        records = self._resume(at_ns)
        for c in range(len(self.states)):
            records += self._report(c)
            records += self._end_fault(c, at_ns)
        return records

    def lines_of(self, state: ChannelIndicator, *, standing: bool = False) -> list[dict[str, Any]]:
        """Return fault lines as data for events and `status`."""
        return [
            {
                "line": line.line.value,
                "part": line.part,
                "hz": None if line.hz is None else round(line.hz, 2),
                "snr_db": None if line.snr_db is None else round(line.snr_db, 1),
                "limit_db": line.alarm_db,
                "bearing": self.indicator.settings.bearing,
                "words": line.in_words(),
                "since_us": None if line.since_ns is None else line.since_ns // 1000,
            }
            for line in state.lines
            if line.is_standing or not standing
        ]

    def _speed(
        self, latest: Callable[[], Mapping[str, Reading]], now_ns: Callable[[], int]
    ) -> Speed | tuple[GapCause, str] | None:
        """Return the shaft's speed from its tag, why there is none, or None where it is not asked for."""
        settings = self.indicator.settings
        if settings.shaft_tag is None:
            return None
        reading = latest().get(settings.shaft_tag)
        if reading is None:
            return GapCause.STALE, f"{settings.shaft_tag} has not been read yet"
        if reading.value is None:
            return GapCause.BAD_QUALITY, f"{settings.shaft_tag} is bad: {reading.status}"
        age_s = (now_ns() - reading.received_time_ns) / 1e9
        if not -1.0 <= age_s <= settings.max_age_s:
            return GapCause.STALE, f"{settings.shaft_tag} is stale: its newest value is {age_s:.0f} s old"
        hz = reading.value * settings.shaft_tag_scale
        if not (np.isfinite(hz) and hz > 0):
            return GapCause.AT_REST, f"the shaft does not turn: {settings.shaft_tag} is {reading.value:g}"
        return Speed(hz, reading.quality)

    def _samples_of(self, windows: WindowBatch) -> Samples:
        channels = self.indicator.channels
        return windows.samples if len(channels) == windows.n_channels else windows.samples[list(channels)]

    def _extract(self, samples: Samples, speed: Speed | None) -> Extracted:
        extractor = self._extractor
        if extractor is None:
            raise SignalError(f"{self.indicator.label} cannot be had at this sampling rate")
        if speed is None:
            return extractor.extract(samples)
        if not isinstance(extractor, SpeedAwareExtractor):
            raise SignalError(f"{self.indicator.settings.family} takes no speed")
        return extractor.extract_at(samples, np.full(samples.shape[:2], speed.hz))

    def _pass_unusable(self, c: int, window: NDArray[np.float32], end_ns: int, speed: Speed | None) -> list[Record]:
        """Begin a gap: bad samples are the sensor's fault, a speed at which nothing is defined is not."""
        fault = self.states[c].fault
        if np.isfinite(window).all() and window.max() > window.min():
            at = "" if speed is None else f" at a speed of {speed.hz:.3g} Hz"
            detail = f"{self.indicator.label} is not defined for windows of {self.indicator.settings.window_s:g} s{at}"
            begun = fault.begin(GapCause.INVALID_SAMPLES, end_ns, detail, count=1)
        else:
            begun = fault.begin(GapCause.SENSOR_FAULT, end_ns, UNUSABLE, count=1)
        return [] if begun is None else [self._recorder.gap(begun)]

    def _end_fault(self, c: int, end_ns: int) -> list[Record]:
        ended = self.states[c].fault.end(end_ns)
        return [] if ended is None else [self._recorder.gap(ended)]

    def _pass_window(
        self, c: int, row: NDArray[np.float32], end_ns: int, quality: Quality, shaft_hz: float
    ) -> list[Record]:
        state, interval = self.states[c], self._intervals[c]
        state.windows_total += 1
        records = self._end_fault(c, end_ns)
        interval.add(row, end_ns, quality)
        for line in state.lines:
            snr_db = float(row[self._names.index(f"{line.line}_snr_db")])
            change = line.push(snr_db, shaft_hz, end_ns)
            if change is not None:
                records.append(self._line_event(state, line, change, end_ns))
        if end_ns - interval.start_ns >= self._interval_ns:
            records += self._report(c)
        return records

    def _report(self, c: int) -> list[Record]:
        interval, state = self._intervals[c], self.states[c]
        if interval.count == 0:
            return []
        means = interval.means
        rows = self._recorder.rows()
        for (number, statistic), series in zip(self._rows, self._series[c], strict=True):
            value = means[number] if statistic == "mean" else interval.highest[number]
            rows.add(series, interval.end_ns, float(value), interval.quality)
        state.means = {name: float(mean) for name, mean in zip(self._names, means, strict=True)}
        state.reported_ns = interval.end_ns
        records: list[Record] = [*rows.taken()]
        if state.zone is not None:
            change = state.zone.push(state.means[SEVERITY], interval.end_ns)
            if change is not None:
                records.append(self._zone_event(state, state.zone, change, interval.end_ns))
        interval.restart()
        return records

    def _zone_event(self, state: ChannelIndicator, zone: ZoneTracker, change: AlarmChange, end_ns: int) -> Event:
        group = zone.group
        body = {
            "state": change.value,
            "indicator": self.indicator.label,
            "zone": zone.zone.value,
            "velocity_rms_mm_s": state.means[SEVERITY],
            "limits_mm_s": [group.a_b_mm_s, group.b_c_mm_s, group.c_d_mm_s],
            "group": group.name,
            "edition": group.edition,
        }
        return self._recorder.alarm(state.subject, end_ns, body)

    def _line_event(self, state: ChannelIndicator, line: FaultLineTracker, change: AlarmChange, end_ns: int) -> Event:
        found = next(data for data in self.lines_of(state) if data["line"] == line.line.value)
        body = {"state": change.value, "indicator": self.indicator.label, "fault_line": found}
        return self._recorder.alarm(state.subject, end_ns, body)

    def _resume(self, at_ns: int) -> list[Record]:
        self._withheld_cause = None
        ended = self.withheld.end(at_ns)
        return [] if ended is None else [self._recorder.gap(ended)]


def _channel(indicator: Indicator, subject: str) -> ChannelIndicator:
    settings = indicator.settings
    return ChannelIndicator(
        subject,
        GapSpan(f"{subject}.{indicator.label}"),
        None if indicator.group is None else ZoneTracker(indicator.group, reports=settings.zone_reports),
        tuple(
            FaultLineTracker(line, order, alarm_db=settings.line_alarm_db, windows=settings.line_windows)
            for line, order in indicator.orders.items()
        ),
    )


def _series(indicator: Indicator, subject: str, sensor_type: str, signal_unit: str) -> list[Series]:
    settings, features = indicator.settings, indicator.features
    made_by: dict[str, Any] = {
        "family": settings.family,
        "window_s": settings.window_s,
        "hop_s": indicator.hop_s,
        "parameters": dict(indicator.parameters),
    }
    made_by |= {"bearing": settings.bearing} if settings.bearing else {}
    made_by |= {"shaft_tag": settings.shaft_tag} if settings.shaft_tag else {}
    made_by |= {"zones": settings.zones} if settings.zones else {}
    return [
        Series(
            f"{subject}.{name}",
            sensor_type,
            signal_unit if features[number].unit == "signal" else features[number].unit,
            {
                "feature": features[number].name,
                "formula_version": features[number].version,
                "statistic": statistic,
                **made_by,
            },
        )
        for number, name, statistic in indicator.row_names()
    ]
