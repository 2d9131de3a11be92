"""Proven champion bundles as the pipeline sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_agent.bundles.champion_file import Note, pointer_or_none
from edge_agent.bundles.manifest import FeatureBaseline
from edge_agent.bundles.proven import ProvenBundles
from edge_agent.bundles.silence import alarm_problem, check_can_alarm
from edge_agent.bundles.store import Champion, bundle_store
from edge_agent.dsp.family_base.family import channels_per_row
from edge_agent.errors import BundleError
from edge_agent.pipeline.explain.attribution import SIGMAS_P01_TO_P99
from edge_agent.pipeline.model import Baseline, ScoringModel
from edge_agent.rollout.probation import MAX_STARTS_ON_PROBATION
from edge_agent.settings import ModelSettings, Settings


def scoring_model(champion: Champion) -> ScoringModel:
    """Return a champion as the pipeline sees it."""
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
        training=_robust(baselines),
        channels_per_row=channels_per_row(champion.extractor),
        cannot_alarm=alarm_problem(champion),
    )


def _robust(baselines: list[FeatureBaseline]) -> Baseline:
    """Return median and spread; a feature that is one value in 98 % of the rows still has a standard deviation."""
    spread = [(b.p99 - b.p01) / SIGMAS_P01_TO_P99 or b.std for b in baselines]
    return Baseline(np.array([b.p50 for b in baselines]), np.array(spread), "training")


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A version that went back before the start, and to which."""

    name: str
    version: str
    back_to: str
    reason: str


def wanted_models(settings: Settings) -> list[str]:
    """Return the names that sources and tag models ask for."""
    wanted = {s.model for s in settings.waveform_sources if s.model}
    return sorted(wanted | {tag_model.model for tag_model in settings.tag_models})


def settle_probations(settings: Settings, *, time: str, log: Callable[[str, str], None]) -> list[Withdrawn]:
    """Roll back champions on probation that cannot be loaded, or in whose probation the agent died too often.

    `time` is RFC 3339. What cannot be written is logged and left as it is; `load_models` then refuses it.
    """
    withdrawn = []
    for name in wanted_models(settings):
        try:
            found = _settle_probation(settings.models, name, time)
        except BundleError as exc:
            log("error", f"model {name}: {exc.message}")
        else:
            withdrawn += [found] if found else []
    return withdrawn


def _settle_probation(settings: ModelSettings, name: str, time: str) -> Withdrawn | None:
    pointer = pointer_or_none(settings.dir / name)
    if pointer is None or pointer.probation_starts is None:
        return None
    store = bundle_store(settings)
    reason = f"the agent died {MAX_STARTS_ON_PROBATION} times within its probation"
    if pointer.probation_starts < MAX_STARTS_ON_PROBATION:
        try:
            loaded = store.load(name, pointer.version)
            if pointer.despite is None:
                check_can_alarm(loaded)
        except BundleError as exc:
            reason = f"it cannot be used: {exc.message}"
        else:
            return None
    back = store.roll_back(name, note=Note("agent", reason, time))
    return Withdrawn(name, pointer.version, back.bundle.manifest.version, reason)


def load_models(
    settings: Settings, *, log: Callable[[str, str], None]
) -> tuple[dict[str, ScoringModel], dict[str, BundleError]]:
    """Load every champion that is asked for; a bundle that is refused is logged and left out."""
    models: dict[str, ScoringModel] = {}
    errors: dict[str, BundleError] = {}
    for name in wanted_models(settings):
        try:
            models[name] = load_model(settings, name)
        except BundleError as exc:
            log("error", refusal(name, exc))
            errors[name] = exc
        else:
            log("info", f"model {name} {models[name].version} verified and proven on this box")
    return models, errors


def load_model(settings: Settings, name: str) -> ScoringModel:
    """Load the champion of this name, proven here. Raises BundleError, also when it does not fit who asks for it."""
    store = bundle_store(settings.models)
    proven = ProvenBundles(settings.gateway.state_dir, store)
    champion = store.load_champion(name, first=proven.check)
    model = scoring_model(champion)
    _check_kind(settings, model)
    return model


def refusal(name: str, exc: BundleError) -> str:
    """Return why a model is not used, for the log."""
    return f"model {name} is refused: {exc.message}{f'; {exc.hint}' if exc.hint else ''}"


def _check_kind(settings: Settings, model: ScoringModel) -> None:
    """Raise BundleError when a model over windows is asked to score tags, or the other way round."""
    takes_windows = model.spec.window_samples > 0
    of_sources = [s.name for s in settings.waveform_sources if s.model == model.name]
    of_tags = [t.name for t in settings.tag_models if t.model == model.name]
    if of_sources and not takes_windows:
        raise BundleError(
            f"{model.name} scores tags, and source {of_sources[0]!r} gives samples",
            hint="name it in [[tag_models]], and give this source a model over windows (edge-agent models list)",
        )
    if of_tags and takes_windows:
        raise BundleError(
            f"{model.name} scores windows of samples, and [[tag_models]] {of_tags[0]!r} gives tags",
            hint="name it in a waveform source, and give this one a model over tags (edge-agent models list)",
        )
