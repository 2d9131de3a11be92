"""Why the scores of one channel, or of one tag model, are what they are: against what is usual for this very machine.

Constraints
- Only intervals without an anomalous window teach what is usual.
- The model is given with each call, because a champion may change while the line runs. One that takes the same
  features goes on with what was learned; for another one it begins anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.features import FeatureSpec
from edge_agent.pipeline.explain.attribution import Reason, explain
from edge_agent.pipeline.explain.baseline import OwnBaseline
from edge_agent.pipeline.model import ScoringModel


class Reasons:
    """One channel or tag model. `beside` names features that are never a reason: an instant, say."""

    def __init__(self, model: ScoringModel, *, beside: frozenset[str] = frozenset()) -> None:
        self._beside = beside
        self._model = model
        self.own = OwnBaseline(model.feature_names, training=model.usual)

    def learn(self, model: ScoringModel, means: NDArray[np.float64]) -> None:
        """Take the means of an interval in which nothing was anomalous, shape (n_features,)."""
        self._follow(model)
        self.own.learn(means)

    def of(self, model: ScoringModel, values: NDArray[np.float64]) -> list[dict[str, Any]]:
        """The strongest reasons first, as data for events and `status`. `values` has shape (n_features,)."""
        self._follow(model)
        explanation = explain(values, self.own.usual, model.score, model.feature_names, beside=self._beside)
        return [_as_data(reason, explanation.against) for reason in explanation.reasons]

    def document(self) -> dict[str, Any]:
        """What was learned and from which features, as JSON."""
        return {"of": _identity(self._model.spec), **self.own.document()}

    def restore(self, document: dict[str, Any]) -> bool:
        """Take up what an earlier run learned. False, and nothing taken, when it is of other features or malformed."""
        return document.get("of") == _identity(self._model.spec) and self.own.restore(document)

    def _follow(self, model: ScoringModel) -> None:
        if model is self._model:
            return
        if _identity(model.spec) == _identity(self._model.spec):
            self.own.training = model.usual
        else:
            self.own = OwnBaseline(model.feature_names, training=model.usual)
        self._model = model


class NormalIntervals:
    """Means of rows over intervals, of those intervals in which nothing was anomalous."""

    def __init__(self, interval_s: float) -> None:
        self._interval_ns = round(interval_s * 1e9)
        self._rows: list[NDArray[np.float64]] = []
        self._start_ns: int | None = None
        self._is_normal = True

    def add(self, values: NDArray[np.float64], now_ns: int, *, is_normal: bool) -> NDArray[np.float64] | None:
        """The means, shape (n_features,), when a normal interval is full with this row; else None."""
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
    """What makes two rows of features comparable, as JSON."""
    return {
        "extractor": spec.extractor,
        "features": [[feature.name, feature.version] for feature in spec.features],
        "sample_rate_hz": spec.sample_rate_hz,
        "window_samples": spec.window_samples,
        "parameters": dict(spec.parameters),
    }


def _as_data(reason: Reason, against: str) -> dict[str, Any]:
    return {
        "feature": reason.feature,
        "value": reason.value,
        "usual": reason.usual,
        "z": reason.z,
        "push": reason.push,
        "against": against,
    }
