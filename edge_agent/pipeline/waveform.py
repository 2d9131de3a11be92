"""One waveform source from sample blocks to records: windows, features, scores, alarms, reports. Pure.

Constraints
- Every window is scored; features and scores are reported once per interval, at once on an alarm change,
  and densely while an alarm stands.
- A gap never becomes a number: it ends the window, is counted, and leaves as an event.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud_sync.columns import Record, RowColumns
from cloud_sync.records import Event, Series
from edge_agent.core.gaps import Gap, GapCause, GapSpan
from edge_agent.core.quality import Quality
from edge_agent.core.samples import SampleBlock
from edge_agent.core.scores import ScoreBatch, Verdict
from edge_agent.core.windows import WindowBatch
from edge_agent.dsp.windower import Windower
from edge_agent.errors import BundleError, EdgeError
from edge_agent.pipeline.alarms import AlarmChange, AlarmTracker
from edge_agent.pipeline.condition.line import IndicatorLine
from edge_agent.pipeline.explain.explainer import Explainer
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.report_interval import ReportInterval
from edge_agent.pipeline.sample_gaps import UNUSABLE, is_news
from edge_agent.pipeline.scored_line import Observer, ScoredWindows, unobserved
from edge_agent.pipeline.sensor_health.uses import Use, Uses, UsesOf, all_scored
from edge_agent.settings import AlarmSettings, ReportSettings


class WaveformChannel:
    """One row of the model's input, as it stands now: a `ScoredChannel`.

    `channels` are those of the source that are scored together in it; `indicators` know their fault lines.
    """

    def __init__(
        self,
        point: str,
        asset: str,
        *,
        channels: range,
        alarm: AlarmSettings,
        model: ScoringModel,
        indicators: IndicatorLine | None,
    ) -> None:
        self.point = point
        self.subject = self.alarm_subject = f"{asset}.{point}"
        self.alarm = AlarmTracker(alarm)
        self.explainer = Explainer(model)
        self.fault = GapSpan(self.subject)
        self.windows_total = 0
        self.scored_total = 0
        self.anomalous_total = 0
        self.last_score: float | None = None
        self.last_verdict = Verdict.UNKNOWN
        self.last_window_ns: int | None = None
        self.explanation: list[dict[str, Any]] = []
        self._channels = channels
        self._indicators = indicators

    @property
    def fault_lines(self) -> list[dict[str, Any]]:
        """Return the bearing fault lines that stand where it is measured, as data."""
        return [] if self._indicators is None else self._indicators.standing_lines(self._channels)

    def count(self, verdict: Verdict, score: float | None, end_ns: int) -> None:
        """Count one window; `score` is None for one without honest features."""
        self.windows_total += 1
        self.last_window_ns, self.last_verdict, self.last_score = end_ns, verdict, score
        self.scored_total += score is not None
        self.anomalous_total += verdict is Verdict.ANOMALOUS


class WaveformLine:
    """One source with its model, a `ScoredSampleLine`. `points` name the channels, in order.

    From the windower on a "channel" is a row of the model: one channel, or neighbours that it scores together.
    `indicators` are of the same samples; `uses` says what each window is good for; `observe` is shown every batch.
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
        indicators: IndicatorLine | None = None,
        observe: Observer = unobserved,
        uses: UsesOf = all_scored,
    ) -> None:
        per_row = model.channels_per_row
        self.name = source
        self.model = model
        self.channels = tuple(
            WaveformChannel(
                point,
                asset,
                channels=range(c * per_row, (c + 1) * per_row),
                alarm=alarm,
                model=model,
                indicators=indicators,
            )
            for c, point in enumerate(model.row_points(points, source=source))
        )
        self.refusal = GapSpan(source)  # open while the model takes none of this source's samples
        self.model_refused_total = 0  # batches of windows, and runs of blocks, that the model would not take
        self.gaps_total = 0
        self.last_gap: Gap | None = None
        self._indicators = indicators
        self._observe = observe
        self._uses_of = uses
        self._newest_ns = 0
        self._sensor_type, self._signal_unit = sensor_type, signal_unit
        self._alarm = alarm
        self._report = report
        self._recorder = recorder
        self._windower = Windower(
            source,
            sample_rate_hz=model.spec.sample_rate_hz,
            window_samples=model.spec.window_samples,
            hop_samples=model.spec.hop_samples,
            n_channels=len(points),
        )
        self._intervals = self._new_intervals(model)
        self._series = self._series_of(model)

    def push(self, item: SampleBlock | Gap) -> list[Record]:
        """Return what one item from the driver leads to, in order."""
        if isinstance(item, Gap):
            return self._pass_gap(item)
        self._newest_ns = item.end_ns
        records: list[Record] = []
        for part in self._windower.push(item):
            records += self._pass_gap(part) if isinstance(part, Gap) else self._pass_windows(part)
        return records

    def check_fit(self, model: ScoringModel) -> None:
        """Raise BundleError when this source cannot be scored with `model`."""
        spec, ours, version = model.spec, self.model, f"{model.name} {model.version}"
        if spec.window_samples == 0:
            raise BundleError(f"{version} scores tags, and {self.name} delivers samples")
        if spec.sample_rate_hz != ours.spec.sample_rate_hz:
            raise BundleError(
                f"{version} was trained at {spec.sample_rate_hz:g} Hz, "
                f"{self.name} is scored at {ours.spec.sample_rate_hz:g} Hz",
                hint="a sensor at another rate needs another model name",
            )
        if model.channels_per_row != ours.channels_per_row:
            raise BundleError(
                f"{version} scores {model.channels_per_row} channels together, "
                f"{self.name} is scored {ours.channels_per_row} at a time",
                hint="a model over other axes needs another model name",
            )
        names = frozenset() if self._indicators is None else self._indicators.row_names
        if (taken := sorted(names.intersection(model.feature_names))) and model.channels_per_row == 1:
            raise BundleError(
                f"{version} and an indicator of {self.name} would both write {', '.join(taken)}",
                hint="give the indicator a prefix",
            )

    def swap(self, model: ScoringModel) -> list[Record]:
        """Score with `model` from the next window on; return the reports of what the one before has scored.

        Samples that fill no window yet go on into the first window of the new one.
        """
        records: list[Record] = [record for c in range(len(self.channels)) for record in self._report_rows(c)]
        self._windower = self._windower.cut_as(
            sample_rate_hz=model.spec.sample_rate_hz,
            window_samples=model.spec.window_samples,
            hop_samples=model.spec.hop_samples,
        )
        self.model = model
        self._intervals = self._new_intervals(model)
        self._series = self._series_of(model)
        return records

    def flush(self) -> list[Record]:
        """Return the reports of intervals that have begun and not ended: before a stop."""
        records = self._end_refusal(self._newest_ns)
        for c, channel in enumerate(self.channels):
            records += self._report_rows(c)
            records += self._end_fault(channel, channel.last_window_ns or 0)
        return records

    def _new_intervals(self, model: ScoringModel) -> tuple[ReportInterval, ...]:
        """Begin an interval for each channel: its values are the features and the score."""
        return tuple(ReportInterval(len(model.spec.features) + 1) for _ in self.channels)

    def _series_of(self, model: ScoringModel) -> tuple[list[Series], ...]:
        return tuple(_channel_series(c.subject, model, self._sensor_type, self._signal_unit) for c in self.channels)

    def _pass_gap(self, gap: Gap) -> list[Record]:
        if not is_news(gap, self.last_gap):
            return []
        if gap.cause is GapCause.MODEL_REFUSED:
            self.model_refused_total += 1
            begun = self.refusal.begin(gap.cause, gap.start_ns, gap.detail)
            if begun is None:
                return []
            gap = begun
        self.last_gap = gap
        self.gaps_total += 1
        return [self._recorder.gap(gap)]

    def _pass_windows(self, windows: WindowBatch) -> list[Record]:
        uses = self._row_uses(windows)
        try:
            features = self.model.features_of(windows)
            if uses is not None:
                features = replace(features, is_usable=features.is_usable & (uses < Use.NOTHING))
            scores = self.model.scores_of(features)
        except EdgeError as exc:  # a window the model will not take stops nobody else
            end_ns = int(windows.end_ns[-1])
            return self._pass_gap(Gap(windows.source, GapCause.MODEL_REFUSED, end_ns, end_ns, exc.message))
        self._observe(
            ScoredWindows(
                values=features.values,
                is_usable=features.is_usable,
                scores=scores.values,
                samples=windows.samples,
                subjects=tuple(channel.subject for channel in self.channels),
                is_standing=tuple(channel.alarm.is_standing for channel in self.channels),
                alarm=self._alarm,
            )
        )
        values = np.concatenate([features.values, scores.values[..., np.newaxis]], axis=-1)
        records = self._end_refusal(int(windows.end_ns[0]))
        for c in range(len(self.channels)):
            for w in range(windows.n_windows):
                use = Use.SCORED if uses is None else Use(uses[c, w])
                if use is Use.NOTHING:
                    records += self._pass_nothing(self.channels[c], int(scores.end_ns[w]))
                    continue
                quality = windows.quality if use is Use.SCORED else max(windows.quality, Quality.UNCERTAIN)
                records += self._pass_window(c, w, values[c, w], quality, scores)
        return records

    def _row_uses(self, windows: WindowBatch) -> Uses | None:
        """Return what the windows of each row of the model are good for: those of all its channels."""
        uses = self._uses_of(windows)
        per_row = self.model.channels_per_row
        return uses if uses is None or per_row == 1 else uses.reshape(-1, per_row, uses.shape[1]).max(axis=1)

    def _pass_nothing(self, channel: WaveformChannel, end_ns: int) -> list[Record]:
        """Pass over a window that is good for nothing; whoever found that gives the gap."""
        channel.count(Verdict.UNKNOWN, None, end_ns)
        return self._end_fault(channel, end_ns)

    def _pass_window(
        self, c: int, w: int, values: NDArray[np.float32], quality: Quality, scores: ScoreBatch
    ) -> list[Record]:
        """Pass on one window of one channel; `values` are its features and its score."""
        channel, end_ns, verdict = self.channels[c], int(scores.end_ns[w]), scores.verdict(c, w)
        if verdict is Verdict.UNKNOWN:
            channel.count(verdict, None, end_ns)
            return self._begin_fault(channel, end_ns)
        score = float(scores.values[c, w])
        channel.count(verdict, score, end_ns)
        self._intervals[c].add(values, end_ns, quality, is_normal=verdict is Verdict.NORMAL)
        change = channel.alarm.push(verdict, end_ns)
        records = self._end_fault(channel, end_ns)
        if change is not None:
            records.append(self._alarm_event(c, change, end_ns))
        if change is not None or self._is_due(c, end_ns):
            records += self._report_rows(c)
        return records

    def _is_due(self, c: int, end_ns: int) -> bool:
        is_standing = self.channels[c].alarm.is_standing
        interval_s = self._report.alarm_interval_s if is_standing else self._report.interval_s
        return end_ns - self._intervals[c].start_ns >= interval_s * 1e9

    def _report_rows(self, c: int) -> list[RowColumns]:
        channel, interval = self.channels[c], self._intervals[c]
        if interval.count == 0:
            return []
        means = interval.means
        rows = self._recorder.rows()
        for series, value in zip(self._series[c], [*means.tolist(), float(interval.highest[-1])], strict=True):
            rows.add(series, interval.end_ns, value, interval.quality)
        self._explain(channel, means[:-1])
        if interval.is_normal and not channel.alarm.is_standing:
            channel.explainer.learn(self.model, means[:-1])
        interval.restart()
        return rows.taken()

    def _explain(self, channel: WaveformChannel, means: NDArray[np.float64]) -> None:
        channel.explanation = channel.explainer.explain(self.model, means)

    def _alarm_event(self, c: int, change: AlarmChange, end_ns: int) -> Event:
        channel, interval = self.channels[c], self._intervals[c]
        self._explain(channel, interval.means[:-1])
        body: dict[str, Any] = {
            "state": change.value,
            "model": self.model.name,
            "model_version": self.model.version,
            "threshold": self.model.threshold,
            "score_max": float(interval.highest[-1]),
            "anomalous_fraction": round(channel.alarm.state.anomalous_fraction, 3),
            "pushed_by": channel.explanation,
            "fault_lines": channel.fault_lines,
        }
        return self._recorder.alarm(channel.alarm_subject, end_ns, body)

    def _end_refusal(self, end_ns: int) -> list[Record]:
        gap = self.refusal.end(end_ns)
        return [] if gap is None else [self._recorder.gap(gap)]

    def _begin_fault(self, channel: WaveformChannel, end_ns: int) -> list[Record]:
        gap = channel.fault.begin(GapCause.SENSOR_FAULT, end_ns, UNUSABLE, count=1)
        return [] if gap is None else self._pass_gap(gap)

    def _end_fault(self, channel: WaveformChannel, end_ns: int) -> list[Record]:
        gap = channel.fault.end(end_ns)
        return [] if gap is None else [self._recorder.gap(gap)]


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
