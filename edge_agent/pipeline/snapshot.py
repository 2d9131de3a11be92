"""Snapshots of tags that a tag model scores. Pure.

A snapshot is refused, by name, while one of its tags is missing, bad or stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_sync.columns import Record
from cloud_sync.records import Series
from edge_agent.core.gaps import GapCause, GapSpan
from edge_agent.core.quality import Quality
from edge_agent.core.scores import Verdict
from edge_agent.core.tags import Reading
from edge_agent.dsp.family_base.family import FamilyInput
from edge_agent.errors import BundleError, ConfigurationError, EdgeError
from edge_agent.pipeline.alarms import AlarmTracker
from edge_agent.pipeline.explain.explainer import Explainer, NormalIntervals
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.operating_state import AssetOperation
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.scored_line import Observer, ScoredWindows, unobserved
from edge_agent.pipeline.tag_inputs import input_of, inputs_wanted, tag_input
from edge_agent.settings import TagModelSettings

_TERMS_OF_TIME: Final = frozenset({"day_number", "second_of_day"})
LEARN_S: Final = 60.0


class SnapshotChannel:
    """The one channel of a tag model, as it stands now: a `ScoredChannel`. An alarm of it is about the whole asset."""

    def __init__(self, settings: TagModelSettings, model: ScoringModel) -> None:
        self.point = settings.name
        self.subject = f"{settings.asset}.{settings.name}"
        self.alarm_subject = settings.asset
        self.alarm = AlarmTracker(settings.alarm)
        self.explainer = Explainer(model, beside=_TERMS_OF_TIME)  # time itself is never what is wrong
        self.fault = GapSpan(self.subject)  # never opened: a snapshot without good tags is refused
        self.windows_total = 0
        self.scored_total = 0
        self.anomalous_total = 0
        self.last_score: float | None = None
        self.last_verdict = Verdict.UNKNOWN
        self._model = model
        self._values: NDArray[np.float64] | None = None  # the newest row that was scored
        self._explained: list[dict[str, Any]] | None = None

    @property
    def explanation(self) -> list[dict[str, Any]]:
        """Explain the newest score; made when somebody asks. Empty before the first score."""
        if self._values is None:
            return []
        if self._explained is None:
            self._explained = self.explainer.explain(self._model, self._values)
        return self._explained

    @property
    def fault_lines(self) -> list[dict[str, Any]]:
        """Return none: tags have no spectrum."""
        return []

    def follow(self, model: ScoringModel, *, keeps_row: bool) -> None:
        """Explain by `model` from now on; `keeps_row` when it takes the same features."""
        self._model = model
        self._values = self._values if keeps_row else None
        self._explained = None

    def count(self, values: NDArray[np.float64], score: float, verdict: Verdict) -> None:
        """Count a snapshot that was scored."""
        self.windows_total += 1
        self.scored_total += 1
        self.anomalous_total += verdict is Verdict.ANOMALOUS
        self.last_score, self.last_verdict = score, verdict
        self._values, self._explained = values, None

    def count_refused(self) -> None:
        """Count a snapshot that was not scored."""
        self.windows_total += 1
        self.last_score, self.last_verdict = None, Verdict.UNKNOWN


class SnapshotLine:
    """A model over tags, a `ScoredTagLine`: the newest good value of several, or one tag's history or forecast.

    Raises ConfigurationError where settings and model do not fit. `learn_s`: so long an interval without an anomaly
    teaches the baseline. `observe` is shown every row that is scored. Nothing is while `operation` says that the
    machine does not run.
    """

    def __init__(
        self,
        settings: TagModelSettings,
        model: ScoringModel,
        recorder: Recorder,
        *,
        learn_s: float = LEARN_S,
        observe: Observer = unobserved,
        operation: AssetOperation | None = None,
    ) -> None:
        self.name = settings.name
        self.asset = settings.asset
        self.interval_s = settings.interval_s
        self.model = model
        self.channel = SnapshotChannel(settings, model)
        self.channels = (self.channel,)
        self.refusal = GapSpan(self.channel.subject)
        self.refused_total = 0
        self.model_refused_total = 0  # of them, those the model itself would not take
        self._settings = settings
        self._observe = observe
        self._operation = operation
        self._normal = NormalIntervals(learn_s)
        self._recorder = recorder
        self._input = tag_input(settings, model)
        self._series = _score_series(settings, model)

    def check_fit(self, model: ScoringModel) -> None:
        """Raise BundleError when these tags cannot be scored with `model`."""
        settings, version = self._settings, f"{model.name} {model.version}"
        if model.spec.window_samples != 0:
            raise BundleError(f"{version} scores samples, and {self.name} has tags")
        wanted, given = set(inputs_wanted(model)), {*settings.inputs, *settings.constants}
        if wanted != given:
            raise BundleError(
                f"{version} wants the inputs {', '.join(sorted(wanted))}; "
                f"tag_models {self.name!r} gives {', '.join(sorted(given))}",
                hint="change the configuration together with the model",
            )
        try:
            tag_input(settings, model)
        except ConfigurationError as exc:
            raise BundleError(exc.message, hint=exc.hint) from exc

    def swap(self, model: ScoringModel) -> list[Record]:
        """Score with `model` from the next beat on; a history goes on when both look at it alike.

        Nothing waits to be reported. Raises ConfigurationError, with the model before kept, where settings and model
        do not fit.
        """
        is_same = model.spec == self.model.spec
        if not is_same:
            self._input = tag_input(self._settings, model)
            self._normal.restart()
        self.channel.follow(model, keeps_row=is_same)
        self.model, self._series = model, _score_series(self._settings, model)
        return []

    def score(self, latest: Mapping[str, Reading], now_ns: int) -> list[Record]:
        """Return what a snapshot of the newest readings leads to."""
        if self._operation is None:
            return self._judge(latest, now_ns)
        records: list[Record] = [self._recorder.gap(gap) for gap in self._operation.follow()]
        if self._operation.is_judged:
            return records + self._judge(latest, now_ns)
        self.refused_total += 1
        self.channel.count_refused()
        return records + self.flush(now_ns)

    def _judge(self, latest: Mapping[str, Reading], now_ns: int) -> list[Record]:
        if (problem := self._problem(latest, now_ns)) is not None:
            return self._refuse(problem, now_ns)
        values = self._input.take(latest, now_ns)
        if isinstance(values, str):
            return self._refuse(values, now_ns)
        try:
            score = float(self.model.score(values.astype(np.float32)[None, :])[0])
        except EdgeError as exc:  # a row the model will not take stops nobody else
            self.model_refused_total += 1
            return self._refuse(exc.message, now_ns, GapCause.MODEL_REFUSED)
        self._show_observer(values, score)
        records: list[Record] = []
        if (ended := self.refusal.end(now_ns)) is not None:
            records.append(self._recorder.gap(ended))
        return records + self._pass_score(values, score, latest, now_ns)

    def _show_observer(self, values: NDArray[np.float64], score: float) -> None:
        self._observe(
            ScoredWindows(
                values=values.astype(np.float32)[None, None, :],
                is_usable=np.ones((1, 1), np.bool_),
                scores=np.array([[score]], np.float32),
                samples=None,
                subjects=(self.channel.subject,),
                is_standing=(self.channel.alarm.is_standing,),
                alarm=self._settings.alarm,
            )
        )

    def flush(self, now_ns: int) -> list[Record]:
        """Return the end of the gap, if one is open: before a stop."""
        ended = self.refusal.end(now_ns)
        return [] if ended is None else [self._recorder.gap(ended)]

    def _problem(self, latest: Mapping[str, Reading], now_ns: int) -> str | None:
        for tag in self._settings.inputs.values():
            reading = latest.get(tag)
            if reading is None:
                return f"{tag} has not been read yet"
            if reading.quality is Quality.BAD:
                return f"{tag} is bad: {reading.status}"
            age_s = (now_ns - reading.received_time_ns) / 1e9
            if not -1.0 <= age_s <= self._settings.max_age_s:
                return f"{tag} is stale: its newest value is {age_s:.0f} s old"
        return None

    def _pass_score(
        self, values: NDArray[np.float64], score: float, latest: Mapping[str, Reading], now_ns: int
    ) -> list[Record]:
        is_anomalous = score > self.model.threshold
        verdict = Verdict.ANOMALOUS if is_anomalous else Verdict.NORMAL
        alarm = self.channel.alarm
        self.channel.count(values, score, verdict)
        quality = max(latest[tag].quality for tag in self._settings.inputs.values())
        rows = self._recorder.rows()
        rows.add(self._series, now_ns, score, quality)
        records: list[Record] = [*rows.taken()]
        if (change := alarm.push(verdict, now_ns)) is not None:
            body: dict[str, Any] = {
                "state": change.value,
                "model": self.model.name,
                "model_version": self.model.version,
                "threshold": self.model.threshold,
                "score_max": score,
                "anomalous_fraction": round(alarm.state.anomalous_fraction, 3),
                "pushed_by": self.channel.explanation,
            }
            records.append(self._recorder.alarm(self.channel.alarm_subject, now_ns, body))
        self._learn(values, now_ns, is_normal=not is_anomalous and not alarm.state.is_standing)
        return records

    def _learn(self, values: NDArray[np.float64], now_ns: int, *, is_normal: bool) -> None:
        means = self._normal.add(values, now_ns, is_normal=is_normal)
        if means is not None:
            self.channel.explainer.learn(self.model, means)

    def _refuse(self, problem: str, now_ns: int, cause: GapCause = GapCause.STALE) -> list[Record]:
        self.refused_total += 1
        self.channel.count_refused()
        begun = self.refusal.begin(cause, now_ns, problem, count=1)
        return [] if begun is None else [self._recorder.gap(begun)]


def _score_series(settings: TagModelSettings, model: ScoringModel) -> Series:
    made_by = {"model": model.name, "model_version": model.version}
    kind = "forecasting" if input_of(model) is FamilyInput.TIMED_READING else "manufacturing"
    return Series(f"{settings.asset}.{settings.name}.score", kind, "", made_by)
