"""A model simple enough to know every answer: the only feature is the mean, and it is the score."""

from __future__ import annotations

import numpy as np

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.pipeline.model import ScoringModel

RATE_HZ = 100.0
WINDOW = 10


def mean_model(*, family: str = "vibration", names: tuple[str, ...] = ("mean",)) -> ScoringModel:
    def extract(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(invalid="ignore"):
            means = samples.mean(axis=-1, dtype=np.float64).astype(np.float32)
        return means[..., None], np.isfinite(means)

    spec = FeatureSpec(family, tuple(FeatureId(name, 1, "signal") for name in names), RATE_HZ, WINDOW, WINDOW)
    return ScoringModel(
        name="mean-model", version="1.2.3", threshold=0.5, spec=spec, extract=extract,
        score=lambda values: values[:, 0], baseline_mean=np.zeros(len(names)), baseline_std=np.full(len(names), 0.1),
    )  # fmt: skip
