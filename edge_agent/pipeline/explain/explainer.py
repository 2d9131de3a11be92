"""Explains the scores of one channel, or of one tag model, against the baseline of this very machine.

Constraints
- Only intervals without an anomalous window teach the baseline.
- The model is given with each call, because a champion may change while the line runs. One that takes the same
  features goes on with what was learned; for another one it begins again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.features import FeatureSpec
from edge_agent.pipeline.explain.attribution import FeatureContribution, explain
from edge_agent.pipeline.explain.baseline import LearnedBaseline
from edge_agent.pipeline.model import ScoringModel


class Explainer:
    """One channel or tag model. `beside` names features that never explain anything: an instant, say."""

    def __init__(self, model: ScoringModel, *, beside: frozenset[str] = frozenset()) -> None:
        self._beside = beside
        self._model = model
        self.baseline = LearnedBaseline(model.feature_names, training=model.baseline)

    def learn(self, model: ScoringModel, means: NDArray[np.float64]) -> None:
        """Take the means of an interval in which nothing was anomalous, shape (n_features,)."""
        self._follow(model)
        self.baseline.learn(means)

    def explain(self, model: ScoringModel, values: NDArray[np.float64]) -> list[dict[str, Any]]:
        """Return the strongest contributions first, as data for events and `status`. `values`: (n_features,)."""
        self._follow(model)
        explanation = explain(values, self.baseline.current, model.score, model.feature_names, beside=self._beside)
        return [_as_data(each, explanation.against) for each in explanation.contributions]

    def document(self) -> dict[str, Any]:
        """Return what was learned and from which features, as JSON."""
        return {"of": _identity(self._model.spec), **self.baseline.document()}

    def restore(self, document: dict[str, Any]) -> bool:
        """Restore what an earlier run learned. False, and nothing taken, when it is of other features or malformed."""
        return document.get("of") == _identity(self._model.spec) and self.baseline.restore(document)

    def _follow(self, model: ScoringModel) -> None:
        if model is self._model:
            return
        if _identity(model.spec) == _identity(self._model.spec):
            self.baseline.training = model.baseline
        else:
            self.baseline = LearnedBaseline(model.feature_names, training=model.baseline)
        self._model = model


class NormalIntervals:
    """Means of rows over intervals, of those intervals in which nothing was anomalous."""

    def __init__(self, interval_s: float) -> None:
        self._interval_ns = round(interval_s * 1e9)
        self._rows: list[NDArray[np.float64]] = []
        self._start_ns: int | None = None
        self._is_normal = True

    def add(self, values: NDArray[np.float64], now_ns: int, *, is_normal: bool) -> NDArray[np.float64] | None:
        """Return the means, shape (n_features,), when a normal interval is full with this row; else None."""
        if self._start_ns is None or now_ns < self._start_ns:
            self._begin(now_ns)
        self._rows.append(values)
        self._is_normal &= is_normal
        if self._start_ns is None or now_ns - self._start_ns < self._interval_ns:
            return None
        means = np.mean(self._rows, axis=0) if self._is_normal else None
        self._begin(now_ns)
        return means

    def restart(self) -> None:
        """Forget the interval that has begun."""
        self._start_ns = None

    def _begin(self, now_ns: int) -> None:
        self._rows, self._start_ns, self._is_normal = [], now_ns, True


def _identity(spec: FeatureSpec) -> dict[str, Any]:
    """Return what makes two rows of features comparable, as JSON."""
    return {
        "extractor": spec.extractor,
        "features": [[feature.name, feature.version] for feature in spec.features],
        "sample_rate_hz": spec.sample_rate_hz,
        "window_samples": spec.window_samples,
        "parameters": dict(spec.parameters),
    }


def _as_data(found: FeatureContribution, against: str) -> dict[str, Any]:
    return {
        "feature": found.feature,
        "value": found.value,
        "usual": found.baseline,
        "z": found.z,
        "push": found.contribution,
        "against": against,
    }
