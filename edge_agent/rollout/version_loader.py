"""Who scores beside the champion: a version in a shadow run, or, in a probation, the version before.

Opens bundles, so its methods are for a thread; it changes no file and reports nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from edge_agent.bundles.champion_file import Pointer
from edge_agent.bundles.manifest import version_key
from edge_agent.bundles.proven import ProvenBundles
from edge_agent.bundles.silence import Missed
from edge_agent.bundles.store import Champion, bundle_store
from edge_agent.core.clock import Clock
from edge_agent.errors import BundleError
from edge_agent.pipeline.model import ScoringModel
from edge_agent.rollout.hot_swap import check_fit
from edge_agent.rollout.offline_check import check_offline
from edge_agent.rollout.rollout import Rollout
from edge_agent.rollout.shadow_gates import AlarmWindows, Gates, ShadowTally
from edge_agent.rollout.shadow_run import ShadowRun, incomparable
from edge_agent.rollout.startup import scoring_model
from edge_agent.settings import ModelSettings


class VersionLoader:
    """Makes the runs. `state_dir` holds what was kept of alarms, and which bundles were proven."""

    def __init__(self, settings: ModelSettings, *, state_dir: Path, clock: Clock) -> None:
        self._settings = settings
        self._state_dir = state_dir
        self._clock = clock
        store = bundle_store(settings)
        self._load = partial(store.load, first=ProvenBundles(state_dir, store).check)

    def to_follow(self, rollout: Rollout, pointer: Pointer) -> ScoringModel:
        """Return the version that a moved pointer names. Raises BundleError when it may not score here.

        Nobody has to say so when a person overruled that it cannot alarm, or it is gone back to.
        """
        model = scoring_model(self._load(rollout.name, pointer.version))
        check_fit(rollout.lines, model)
        is_newer = version_key(model.version) > version_key(rollout.model.version)
        if model.cannot_alarm is not None and pointer.despite is None and is_newer:
            raise BundleError(
                f"{model.name} {model.version}: {model.cannot_alarm}",
                hint="to have it all the same: edge-agent models promote --despite-refusal",
            )
        return model

    def shadow_run(self, rollout: Rollout, version: str, *, alarms: Mapping[str, AlarmWindows]) -> ShadowRun:
        """Return the version beside the champion. `alarms` are of a shadow run of it that broke off.

        Raises BundleError with the reason when there is nothing to try: it cannot be used or compared here, cannot
        alarm, or misses already what was kept and provoked.
        """
        candidate = self._load(rollout.name, version)
        model = scoring_model(candidate)
        check_fit(rollout.lines, model)
        if (difference := incomparable(model, rollout.model)) is not None:
            raise BundleError(
                f"{difference}; there is no shadow run: look at it with `models verify` and promote it by hand, with "
                "--despite-refusal"
            )
        found = check_offline(
            candidate,
            self._champion(rollout),
            missed_fraction=self._settings.shadow_missed_fraction,
            state_dir=self._state_dir,
        )
        if found.problem is not None:
            raise BundleError(found.problem)
        return self._run(rollout, model, found.evidence, alarms)

    def before(self, rollout: Rollout, pointer: Pointer, versions: Sequence[str]) -> ShadowRun:
        """Return the version before, beside the one on probation. Raises BundleError with the reason for going without.

        `versions` are installed.
        """
        if pointer.despite is not None:
            raise BundleError("overruled at its promotion")
        version = pointer.previous(versions)
        if version is None:
            raise BundleError("no version before it is here")
        model = scoring_model(self._load(rollout.name, version))
        check_fit(rollout.lines, model)
        if (difference := incomparable(model, rollout.model)) is not None:
            raise BundleError(f"of {version} {difference}")
        return self._run(rollout, model)

    def _champion(self, rollout: Rollout) -> Champion | None:
        """Load the champion; None when its files cannot be read any more: it scores on from memory."""
        try:
            return self._load(rollout.name, rollout.model.version)
        except BundleError:
            return None

    def _run(
        self,
        rollout: Rollout,
        model: ScoringModel,
        evidence: Sequence[Missed] = (),
        alarms: Mapping[str, AlarmWindows] | None = None,
    ) -> ShadowRun:
        s, now_s = self._settings, self._clock.monotonic_s
        gates = Gates(
            s.shadow_windows, s.shadow_s, s.shadow_latency_ms, s.shadow_alarm_fraction, s.shadow_missed_fraction
        )
        tally = ShadowTally(gates, now_s(), evidence=evidence, alarms=alarms)
        return ShadowRun(model, rollout.model, tally, cpu_share=s.shadow_cpu_share, now_s=now_s)
