"""Tags from scans to records: report by exception, and the snapshots that tabular models score. Pure.

Constraints
- A value inside its deadband is not reported again before the heartbeat; the first one always is.
- BAD is a gap with the protocol's own word for it, said when it begins and when it ends.
- A snapshot is refused, by name, while one of its tags is missing, bad or stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_sync.columns import Record
from cloud_sync.records import Event, Series
from edge_agent.core.gaps import Gap, GapCause, GapSpan
from edge_agent.core.quality import Quality
from edge_agent.core.scores import Verdict
from edge_agent.core.tags import Reading, Scan
from edge_agent.dsp.family_base.family import FamilyInput
from edge_agent.errors import EdgeError
from edge_agent.pipeline.alarms import AlarmTracker
from edge_agent.pipeline.explain.explainer import Explainer, NormalIntervals
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.recorder import Recorder, Rows
from edge_agent.pipeline.scored_line import Observer, ScoredWindows
from edge_agent.pipeline.tag_inputs import input_of, tag_input
from edge_agent.settings import TagModelSettings

_TERMS_OF_TIME: Final = frozenset({"day_number", "second_of_day"})
LEARN_S: Final = 60.0


class TagLine:
    """All tags of one source. `deadbands` holds the absolute deadband of each tag that has one."""

    def __init__(self, source: str, *, deadbands: Mapping[str, float], heartbeat_s: float, recorder: Recorder) -> None:
        self.source = source
        self.latest: dict[str, Reading] = {}
        self.readings_total = 0
        self.gaps_total = 0
        self.last_gap: Gap | None = None
        self._deadbands = deadbands
        self._heartbeat_ns = round(heartbeat_s * 1e9)
        self._recorder = recorder
        self._reported: dict[str, tuple[float, Quality, int]] = {}
        self._bad: dict[str, GapSpan] = {}
        self._series: dict[str, Series] = {}

    def push(self, item: Scan | Gap) -> list[Record]:
        if isinstance(item, Gap):
            if item.subject in self.bad_tags:
                return []  # the tag's own gap is open already and says the same
            self.gaps_total += 1
            self.last_gap = item
            return [self._recorder.gap(item)]
        rows = self._recorder.rows()
        events = [event for reading in item.readings for event in self._pass_reading(reading, rows)]
        return [*events, *rows.taken()]

    def flush(self, now_ns: int) -> list[Record]:
        """Close what is open: before a stop."""
        ended = [span.end(now_ns) for span in self._bad.values()]
        return [self._recorder.gap(gap) for gap in ended if gap is not None]

    @property
    def bad_tags(self) -> dict[str, GapSpan]:
        return {name: span for name, span in self._bad.items() if span.since_ns is not None}

    def _pass_reading(self, reading: Reading, rows: Rows) -> list[Event]:
        """Adds to the rows what is news; returns the gap that begins or ends with it."""
        name = reading.tag.name
        self.readings_total += 1
        self.latest[name] = reading
        span = self._bad.setdefault(name, GapSpan(name))
        if reading.value is None:
            begun = span.begin(GapCause.BAD_QUALITY, reading.received_time_ns, reading.status, count=1)
            if begun is None:
                return []
            self.gaps_total += 1
            self.last_gap = begun
            return [self._recorder.gap(begun)]
        ended = span.end(reading.received_time_ns)
        if self._is_news(reading, reading.value) and rows.add(
            self._series_of(reading), reading.time_ns, reading.value, reading.quality
        ):
            self._reported[name] = (reading.value, reading.quality, reading.received_time_ns)
        return [] if ended is None else [self._recorder.gap(ended)]

    def _is_news(self, reading: Reading, value: float) -> bool:
        before = self._reported.get(reading.tag.name)
        if before is None:
            return True
        last_value, last_quality, last_ns = before
        elapsed_ns = reading.received_time_ns - last_ns
        if reading.quality is not last_quality or not 0 <= elapsed_ns < self._heartbeat_ns:
            return True  # also when the clock was set back: silence must not depend on it
        return abs(value - last_value) > self._deadbands.get(reading.tag.name, 0.0)

    def _series_of(self, reading: Reading) -> Series:
        tag = reading.tag
        if tag.name not in self._series:
            self._series[tag.name] = Series(tag.name, tag.sensor_type, tag.unit, {"source": self.source})
        return self._series[tag.name]


@dataclass(slots=True)
class SnapshotState:
    scored_total: int = 0
    anomalous_total: int = 0
    refused_total: int = 0
    model_refused_total: int = 0  # of them, those the model itself would not take
    last_score: float | None = None
    last_verdict: Verdict = Verdict.UNKNOWN
    last_ns: int | None = None


class SnapshotLine:
    """A model over tags: the newest good value of several, or one tag's history or forecast.

    Raises ConfigurationError where settings and model do not fit. `learn_s`: so long an interval without an anomaly
    teaches what is usual.
    """

    def __init__(
        self, settings: TagModelSettings, model: ScoringModel, recorder: Recorder, *, learn_s: float = LEARN_S
    ) -> None:
        self.settings = settings
        self.model = model
        self.state = SnapshotState()
        self.alarm = AlarmTracker(settings.alarm)
        self.subject = f"{settings.asset}.{settings.name}"
        self.refusal = GapSpan(self.subject)
        self.explainer = Explainer(model, beside=_TERMS_OF_TIME)  # time itself is never what is wrong
        self._normal = NormalIntervals(learn_s)
        self._scored: NDArray[np.float64] | None = None  # the newest row
        self._explained: list[dict[str, Any]] | None = None
        self.observe: Observer | None = None
        self._recorder = recorder
        self._input = tag_input(settings, model)
        self._series = _score_series(settings, model)

    def swap(self, model: ScoringModel) -> None:
        """Score with `model` from the next beat on; a history goes on when both look at it alike.

        Raises ConfigurationError, with the model before kept, where settings and model do not fit.
        """
        if model.spec != self.model.spec:
            self._input = tag_input(self.settings, model)
            self._normal.restart()
            self._scored = None
        self._explained = None
        self.model, self._series = model, _score_series(self.settings, model)

    def score(self, latest: Mapping[str, Reading], now_ns: int) -> list[Record]:
        """One snapshot of what is newest now."""
        if (problem := self._problem(latest, now_ns)) is not None:
            return self._refuse(problem, now_ns)
        values = self._input.take(latest, now_ns)
        if isinstance(values, str):
            return self._refuse(values, now_ns)
        try:
            score = float(self.model.score(values.astype(np.float32)[None, :])[0])
        except EdgeError as exc:  # a row the model will not take stops nobody else
            self.state.model_refused_total += 1
            return self._refuse(exc.message, now_ns, GapCause.MODEL_REFUSED)
        self._show(values, score)
        records: list[Record] = []
        if (ended := self.refusal.end(now_ns)) is not None:
            records.append(self._recorder.gap(ended))
        return records + self._pass_score(values, score, latest, now_ns)

    def _show(self, values: NDArray[np.float64], score: float) -> None:
        if self.observe is not None:
            row = values.astype(np.float32)[None, None, :]
            self.observe(
                ScoredWindows(
                    values=row,
                    is_usable=np.ones((1, 1), np.bool_),
                    scores=np.array([[score]], np.float32),
                    samples=None,
                    subjects=(self.subject,),
                    is_standing=(self.alarm.is_standing,),
                    alarm=self.settings.alarm,
                )
            )

    def flush(self, now_ns: int) -> list[Record]:
        ended = self.refusal.end(now_ns)
        return [] if ended is None else [self._recorder.gap(ended)]

    def _problem(self, latest: Mapping[str, Reading], now_ns: int) -> str | None:
        for tag in self.settings.inputs.values():
            reading = latest.get(tag)
            if reading is None:
                return f"{tag} has not been read yet"
            if reading.quality is Quality.BAD:
                return f"{tag} is bad: {reading.status}"
            age_s = (now_ns - reading.received_time_ns) / 1e9
            if not -1.0 <= age_s <= self.settings.max_age_s:
                return f"{tag} is stale: its newest value is {age_s:.0f} s old"
        return None

    def _pass_score(
        self, values: NDArray[np.float64], score: float, latest: Mapping[str, Reading], now_ns: int
    ) -> list[Record]:
        is_anomalous = score > self.model.threshold
        verdict = Verdict.ANOMALOUS if is_anomalous else Verdict.NORMAL
        state = self.state
        state.scored_total += 1
        state.anomalous_total += is_anomalous
        state.last_score, state.last_verdict, state.last_ns = score, verdict, now_ns
        self._scored, self._explained = values, None
        quality = max(latest[tag].quality for tag in self.settings.inputs.values())
        rows = self._recorder.rows()
        rows.add(self._series, now_ns, score, quality)
        records: list[Record] = [*rows.taken()]
        if (change := self.alarm.push(verdict, now_ns)) is not None:
            body: dict[str, Any] = {
                "state": change.value,
                "model": self.model.name,
                "model_version": self.model.version,
                "threshold": self.model.threshold,
                "score_max": score,
                "anomalous_fraction": round(self.alarm.state.anomalous_fraction, 3),
                "pushed_by": self.pushed_by,
            }
            records.append(self._recorder.alarm(self.settings.asset, now_ns, body))
        self._learn(values, now_ns, is_normal=not is_anomalous and not self.alarm.state.is_standing)
        return records

    @property
    def pushed_by(self) -> list[dict[str, Any]]:
        """Why the newest score is what it is; made when somebody asks. Empty before the first score."""
        if self._scored is None:
            return []
        if self._explained is None:
            self._explained = self.explainer.explain(self.model, self._scored)
        return self._explained

    def _learn(self, values: NDArray[np.float64], now_ns: int, *, is_normal: bool) -> None:
        means = self._normal.add(values, now_ns, is_normal=is_normal)
        if means is not None:
            self.explainer.learn(self.model, means)

    def _refuse(self, problem: str, now_ns: int, cause: GapCause = GapCause.STALE) -> list[Record]:
        self.state.refused_total += 1
        self.state.last_score, self.state.last_verdict = None, Verdict.UNKNOWN
        begun = self.refusal.begin(cause, now_ns, problem, count=1)
        return [] if begun is None else [self._recorder.gap(begun)]


def _score_series(settings: TagModelSettings, model: ScoringModel) -> Series:
    made_by = {"model": model.name, "model_version": model.version}
    kind = "forecasting" if input_of(model) is FamilyInput.TIMED_READING else "manufacturing"
    return Series(f"{settings.asset}.{settings.name}.score", kind, "", made_by)
