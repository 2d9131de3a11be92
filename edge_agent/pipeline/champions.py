"""A proven champion bundle as the pipeline sees it."""

from __future__ import annotations

import numpy as np

from edge_agent.pipeline.model import ScoringModel
from edge_agent.scoring.champion import Champion


def scoring_model(champion: Champion) -> ScoringModel:
    """A champion as the pipeline sees it."""
    manifest, spec = champion.bundle.manifest, champion.bundle.spec
    baselines = [manifest.baseline[feature.name] for feature in spec.features]
    return ScoringModel(
        name=manifest.name,
        version=manifest.version,
        threshold=manifest.threshold,
        spec=spec,
        extract=champion.extractor.extract,
        score=champion.model.score,
        baseline_mean=np.array([b.mean for b in baselines]),
        baseline_std=np.array([b.std for b in baselines]),
    )
