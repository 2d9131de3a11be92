"""A model as the pipeline sees it: names, a line to cross, two functions. Knows no ONNX and no bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.features import FeatureBatch, FeatureSpec
from edge_agent.core.samples import Samples
from edge_agent.core.scores import ScoreBatch
from edge_agent.core.windows import WindowBatch
from edge_agent.errors import ConfigurationError

Extract = Callable[[Samples], tuple[NDArray[np.float32], NDArray[np.bool_]]]
Score = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Vector = NDArray[np.float64]

MOST_SIGMAS: Final = 999.0
"""Shown for a feature that never varied and does now."""


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """What features are when nothing is wrong. Arrays of shape (n_features,); `spread` is a robust standard deviation.

    `of` says whose: this machine's own normal reports, or the rows the model was trained on.
    """

    centre: Vector
    spread: Vector
    of: Literal["machine", "training"]

    def robust_z(self, values: Vector) -> Vector:
        """Return (x - centre) / spread, within +-999; shape (n_features,)."""
        off = values - self.centre
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            z = np.where(off == 0.0, 0.0, off / self.spread)
        return np.clip(z, -MOST_SIGMAS, MOST_SIGMAS)


@dataclass(frozen=True, slots=True, eq=False)
class ScoringModel:
    """`extract`: samples (channels, windows, n) -> features (rows, windows, f), usable (rows, windows); a row is one
    channel, or `channels_per_row` neighbours that are scored together.
    `score`: features (rows, f) -> scores (rows,), higher is more anomalous; over `threshold` is anomalous.
    `baseline_mean`, `baseline_std`: per feature, of healthy training data, shape (f,); `training`: the same, robust.
    `cannot_alarm`: why it never or always alarms, whatever it is given; None as it should be."""

    name: str
    version: str
    threshold: float
    spec: FeatureSpec
    extract: Extract
    score: Score
    baseline_mean: NDArray[np.float64]
    baseline_std: NDArray[np.float64]
    training: Baseline | None = None
    channels_per_row: int = 1
    cannot_alarm: str | None = None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Return the names of the features, in the model's order."""
        return tuple(feature.name for feature in self.spec.features)

    @property
    def baseline(self) -> Baseline:
        """Return what the features were in the healthy training data."""
        return self.training or Baseline(self.baseline_mean, self.baseline_std, "training")

    def row_points(self, points: tuple[str, ...], *, source: str) -> tuple[str, ...]:
        """Return one name per row of the input: a channel's own, or those of neighbours joined, as "de-x_de-y".

        Raises ConfigurationError when the source's channels do not come out even.
        """
        per_row = self.channels_per_row
        if len(points) % per_row:
            raise ConfigurationError(
                f"{self.name} scores {per_row} channels together, and {source} has {len(points)}",
                hint=f"give the source its channels in groups of {per_row}, in the order the model was trained on",
            )
        return tuple("_".join(points[first : first + per_row]) for first in range(0, len(points), per_row))

    def features_of(self, windows: WindowBatch) -> FeatureBatch:
        """Extract the features of windows."""
        values, is_usable = self.extract(windows.samples)
        return FeatureBatch(windows.source, self.spec.features, windows.end_ns, values, is_usable)

    def scores_of(self, features: FeatureBatch) -> ScoreBatch:
        """Score with one call for all channels and windows; NaN where a window had no honest features."""
        scores = np.full(features.is_usable.shape, np.nan, np.float32)
        if features.is_usable.any():
            scores[features.is_usable] = self.score(features.values[features.is_usable])
        return ScoreBatch(features.source, self.name, self.version, self.threshold, features.end_ns, scores)
