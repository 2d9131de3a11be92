"""Proven champion bundles as the pipeline sees them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge_agent.errors import BundleError
from edge_agent.pipeline.model import ScoringModel
from edge_agent.scoring.champion import Champion, load_champion
from edge_agent.settings import Settings, WaveformSettings


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


def load_models(
    settings: Settings, *, say: Callable[[str, str], None]
) -> tuple[dict[str, ScoringModel], dict[str, BundleError]]:
    """Every champion that a source or a tag model asks for; a bundle that is refused is said and left out."""
    wanted = {s.model for s in settings.sources if isinstance(s, WaveformSettings) and s.model}
    wanted |= {tag_model.model for tag_model in settings.tag_models}
    models: dict[str, ScoringModel] = {}
    errors: dict[str, BundleError] = {}
    keys_dir = settings.models.keys_dir or settings.models.dir / "keys"
    for name in sorted(wanted):
        try:
            champion = load_champion(
                settings.models.dir, name, keys_dir=keys_dir, require_signature=settings.models.require_signature
            )
        except BundleError as exc:
            say("error", f"model {name} is refused: {exc.message}{f'; {exc.hint}' if exc.hint else ''}")
            errors[name] = exc
        else:
            models[name] = scoring_model(champion)
            say("info", f"model {name} {champion.bundle.manifest.version} verified and proven on this box")
    return models, errors
