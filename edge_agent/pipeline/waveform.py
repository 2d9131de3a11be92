"""One waveform source from sample blocks to records: windows, features, scores, alarms, reports. Pure.

Constraints
- Every window is scored; features and scores are reported once per interval, at once on an alarm change,
  and densely while an alarm stands.
- A gap never becomes a number: it ends the window, is counted, and leaves as an event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud_sync.columns import Record, RowColumns
from cloud_sync.records import Event, Series
from edge_agent.core.features import FeatureBatch
from edge_agent.core.gaps import Gap, GapCause, GapSpan
from edge_agent.core.quality import Quality
from edge_agent.core.samples import SampleBlock
from edge_agent.core.scores import ScoreBatch, Verdict
from edge_agent.core.windows import WindowBatch
from edge_agent.dsp.windower import Windower
from edge_agent.errors import EdgeError
from edge_agent.pipeline.alarms import AlarmChange, AlarmTracker
from edge_agent.pipeline.channel_rows import row_points
from edge_agent.pipeline.explain.explainer import Explainer
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.scored_line import Observer, ScoredWindows
from edge_agent.pipeline.stream_gaps import is_news
from edge_agent.settings import AlarmSettings, ReportSettings

UNUSABLE = "samples are constant or not finite; check cable, mounting and power of the sensor"


FaultLines = Callable[[range], list[dict[str, Any]]]
"""Channels -> the fault lines that stand there, as data."""


@dataclass(slots=True)
class ChannelState:
    """What is known of one channel right now; read by `status`."""

    point: str
    windows_total: int = 0
    scored_total: int = 0
    anomalous_total: int = 0
    last_score: float | None = None
    last_verdict: Verdict = Verdict.UNKNOWN
    last_window_ns: int | None = None
    pushed_by: list[dict[str, Any]] = field(default_factory=list)


class WaveformLine:
    """One source with its model. `points` name the channels, in order.

    From the windower on a "channel" is a row of the model: one channel, or neighbours that it scores together.
    """

    def __init__(
        self,
        *,
        source: str,
        asset: str,
        points: tuple[str, ...],
        sensor_type: str,
        signal_unit: str,
        model: ScoringModel,
        alarm: AlarmSettings,
        report: ReportSettings,
        recorder: Recorder,
    ) -> None:
        n_channels = len(points)
        points = row_points(points, model, source=source)
        self.source = source
        self.model = model
        self.channels = tuple(ChannelState(point) for point in points)
        self.alarms = tuple(AlarmTracker(alarm) for _ in points)
        self.explainers = tuple(Explainer(model) for _ in points)
        self.faults = tuple(GapSpan(f"{asset}.{point}") for point in points)
        self.refusal = GapSpan(source)  # open while the model takes none of this source's samples
        self.refused_total = 0  # batches of windows, and runs of blocks, that the model would not take
        self.gaps_total = 0
        self.last_gap: Gap | None = None
        self.observe: Observer | None = None
        self.fault_lines: FaultLines = _none_known  # of indicators on the same samples
        self.rows_taken: frozenset[str] = frozenset()  # names below the points that those indicators write
        self._newest_ns = 0
        self._sensor_type, self._signal_unit = sensor_type, signal_unit
        self.subjects = tuple(f"{asset}.{point}" for point in points)
        self._alarm = alarm
        self._report = report
        self._recorder = recorder
        self._windower = Windower(
            source,
            sample_rate_hz=model.spec.sample_rate_hz,
            window_samples=model.spec.window_samples,
            hop_samples=model.spec.hop_samples,
            n_channels=n_channels,
        )
        self._sums = tuple(_Interval(len(model.spec.features)) for _ in points)
        self._series = tuple(_channel_series(s, model, sensor_type, signal_unit) for s in self.subjects)

    def push(self, item: SampleBlock | Gap) -> list[Record]:
        """What one item from the driver leads to, in order."""
        if isinstance(item, Gap):
            return self._pass_gap(item)
        self._newest_ns = item.end_ns
        records: list[Record] = []
        for part in self._windower.push(item):
            records += self._pass_gap(part) if isinstance(part, Gap) else self._pass_windows(part)
        return records

    def swap(self, model: ScoringModel) -> list[Record]:
        """Score with `model` from the next window on; the reports of what the one before has scored.

        Samples that fill no window yet go on into the first window of the new one.
        """
        records: list[Record] = [record for c in range(len(self.channels)) for record in self._report_rows(c)]
        self._windower = self._windower.cut_as(
            sample_rate_hz=model.spec.sample_rate_hz,
            window_samples=model.spec.window_samples,
            hop_samples=model.spec.hop_samples,
        )
        self.model = model
        self._sums = tuple(_Interval(len(model.spec.features)) for _ in self.subjects)
        self._series = tuple(
            _channel_series(subject, model, self._sensor_type, self._signal_unit) for subject in self.subjects
        )
        return records

    def fault_lines_of(self, c: int) -> list[dict[str, Any]]:
        """Bearing fault lines that stand now where this row of the model is measured."""
        per_row = self.model.channels_per_row
        return self.fault_lines(range(c * per_row, (c + 1) * per_row))

    def flush(self) -> list[Record]:
        """The reports of intervals that have begun and not ended: before a stop."""
        records = self._end_refusal(self._newest_ns)
        for c, state in enumerate(self.channels):
            records += self._report_rows(c)
            records += self._end_fault(c, state.last_window_ns or 0)
        return records

    def _pass_gap(self, gap: Gap) -> list[Record]:
        if not is_news(gap, self.last_gap):
            return []
        if gap.cause is GapCause.MODEL_REFUSED:
            self.refused_total += 1
            begun = self.refusal.begin(gap.cause, gap.start_ns, gap.detail)
            if begun is None:
                return []
            gap = begun
        self.last_gap = gap
        self.gaps_total += 1
        return [self._recorder.gap(gap)]

    def _pass_windows(self, windows: WindowBatch) -> list[Record]:
        try:
            features = self.model.features_of(windows)
            scores = self.model.scores_of(features)
        except EdgeError as exc:  # a window the model will not take stops nobody else
            end_ns = int(windows.end_ns[-1])
            return self._pass_gap(Gap(windows.source, GapCause.MODEL_REFUSED, end_ns, end_ns, exc.message))
        if self.observe is not None:
            self.observe(
                ScoredWindows(
                    values=features.values,
                    is_usable=features.is_usable,
                    scores=scores.values,
                    samples=windows.samples,
                    subjects=self.subjects,
                    is_standing=tuple(alarm.is_standing for alarm in self.alarms),
                    alarm=self._alarm,
                )
            )
        records = self._end_refusal(int(windows.end_ns[0]))
        for c in range(len(self.channels)):
            for w in range(windows.n_windows):
                records += self._pass_window(c, w, windows.quality, features, scores)
        return records

    def _pass_window(
        self, c: int, w: int, quality: Quality, features: FeatureBatch, scores: ScoreBatch
    ) -> list[Record]:
        end_ns = int(scores.end_ns[w])
        verdict = scores.verdict(c, w)
        state, interval = self.channels[c], self._sums[c]
        state.windows_total += 1
        state.last_window_ns, state.last_verdict = end_ns, verdict
        if verdict is Verdict.UNKNOWN:
            state.last_score = None
            return self._note_fault(c, end_ns)
        score = float(scores.values[c, w])
        state.last_score = score
        state.scored_total += 1
        state.anomalous_total += verdict is Verdict.ANOMALOUS
        interval.add(features.values[c, w], score, end_ns, quality)
        interval.is_normal &= verdict is Verdict.NORMAL
        change = self.alarms[c].push(verdict, end_ns)
        records = self._end_fault(c, end_ns)
        if change is not None:
            records.append(self._alarm_event(c, change, end_ns))
        if change is not None or self._is_due(c, end_ns):
            records += self._report_rows(c)
        return records

    def _is_due(self, c: int, end_ns: int) -> bool:
        standing = self.alarms[c].state.is_standing
        interval_s = self._report.alarm_interval_s if standing else self._report.interval_s
        return end_ns - self._sums[c].start_ns >= interval_s * 1e9

    def _report_rows(self, c: int) -> list[RowColumns]:
        interval = self._sums[c]
        if interval.count == 0:
            return []
        means = interval.sums / interval.count
        values = [*means.tolist(), interval.score_sum / interval.count, interval.score_max]
        rows = self._recorder.rows()
        for series, value in zip(self._series[c], values, strict=True):
            rows.add(series, interval.end_ns, value, interval.quality)
        self.channels[c].pushed_by = self.explainers[c].explain(self.model, means)
        if interval.is_normal and not self.alarms[c].state.is_standing:
            self.explainers[c].learn(self.model, means)
        interval.restart()
        return rows.taken()

    def _alarm_event(self, c: int, change: AlarmChange, end_ns: int) -> Event:
        interval, alarm = self._sums[c], self.alarms[c].state
        means = interval.sums / max(interval.count, 1)
        self.channels[c].pushed_by = self.explainers[c].explain(self.model, means)
        body: dict[str, Any] = {
            "state": change.value,
            "model": self.model.name,
            "model_version": self.model.version,
            "threshold": self.model.threshold,
            "score_max": interval.score_max,
            "anomalous_fraction": round(alarm.anomalous_fraction, 3),
            "pushed_by": self.channels[c].pushed_by,
            "fault_lines": self.fault_lines_of(c),
        }
        return self._recorder.alarm(self.subjects[c], end_ns, body)

    def _end_refusal(self, end_ns: int) -> list[Record]:
        gap = self.refusal.end(end_ns)
        return [] if gap is None else [self._recorder.gap(gap)]

    def _note_fault(self, c: int, end_ns: int) -> list[Record]:
        gap = self.faults[c].begin(GapCause.SENSOR_FAULT, end_ns, UNUSABLE, count=1)
        return [] if gap is None else self._pass_gap(gap)

    def _end_fault(self, c: int, end_ns: int) -> list[Record]:
        gap = self.faults[c].end(end_ns)
        return [] if gap is None else [self._recorder.gap(gap)]


def _none_known(_channels: range) -> list[dict[str, Any]]:
    return []


class _Interval:
    """Sums of one channel since its last report."""

    def __init__(self, n_features: int) -> None:
        self.sums: NDArray[np.float64] = np.zeros(n_features)
        self.start_ns = self.end_ns = 0
        self.restart()

    def restart(self) -> None:
        self.sums = np.zeros_like(self.sums)
        self.score_sum, self.score_max, self.count = 0.0, -np.inf, 0
        self.quality = Quality.GOOD
        self.is_normal = True
        self.start_ns = self.end_ns

    def add(self, values: NDArray[np.float32], score: float, end_ns: int, quality: Quality) -> None:
        if (self.count == 0 and self.start_ns == 0) or end_ns < self.start_ns:
            self.start_ns = end_ns  # the first window, or the first after the clock was set back
        self.sums += values
        self.score_sum += score
        self.score_max = max(self.score_max, score)
        self.count += 1
        self.end_ns = end_ns
        self.quality = max(self.quality, quality)


def _channel_series(subject: str, model: ScoringModel, sensor_type: str, signal_unit: str) -> list[Series]:
    made_by = {"model": model.name, "model_version": model.version}
    series = [
        Series(
            f"{subject}.{f.name}",
            sensor_type,
            signal_unit if f.unit == "signal" else f.unit,
            {"feature": f.name, "formula_version": f.version, "statistic": "mean"},
        )
        for f in model.spec.features
    ]
    series.append(Series(f"{subject}.score", sensor_type, "", {**made_by, "statistic": "mean"}))
    series.append(Series(f"{subject}.score_max", sensor_type, "", {**made_by, "statistic": "max"}))
    return series
