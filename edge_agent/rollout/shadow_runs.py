"""Shadow runs: begun, watched, and ended with a finding.

Constraints
- challenger.json says what is about to be tried before it is loaded: also a bundle that takes the process down counts.
- What a version missed so far is kept, so that no kill lets it begin with a clean slate.
- Nothing is promoted here: a version whose shadow run held is `ready`, no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from edge_agent.bundles.store import bundle_folder
from edge_agent.core.clock import Clock, instant
from edge_agent.errors import BundleError
from edge_agent.rollout.challenger_file import (
    MAX_SHADOW_STARTS,
    Challenger,
    ChallengerState,
    candidate,
    read_challenger,
    write_challenger,
)
from edge_agent.rollout.model_reports import ModelReports
from edge_agent.rollout.rollout import Rollout
from edge_agent.rollout.shadow_gates import MIN_WINDOWS, AlarmWindows, Finding, GateOutcome
from edge_agent.rollout.version_loader import VersionLoader
from edge_agent.settings import ModelSettings


class ShadowRuns:
    """Of all models. `loader` makes what scores beside a champion; `reports` emits each step."""

    def __init__(self, settings: ModelSettings, *, loader: VersionLoader, reports: ModelReports, clock: Clock) -> None:
        self._settings = settings
        self._loader = loader
        self._reports = reports
        self._clock = clock

    async def watch(self, rollout: Rollout, versions: Sequence[str]) -> None:
        """Begin, end or keep the shadow run of one model. `versions` are installed. Raises BundleError."""
        folder = bundle_folder(self._settings.dir, rollout.name)
        rollout.challenger = await asyncio.to_thread(read_challenger, folder)
        wanted = candidate(versions, rollout.pointer, rollout.challenger)
        if rollout.shadow is not None and rollout.shadow.model.version != wanted:
            rollout.end_shadow_run()
        if wanted is not None and rollout.shadow is None:
            await self._begin(rollout, wanted)
        if rollout.shadow is not None and (finding := rollout.shadow.finding(self._clock.monotonic_s())) is not None:
            await self._end_with(rollout, rollout.shadow.model.version, finding)
        await self._save(rollout)

    async def _begin(self, rollout: Rollout, version: str) -> None:
        known = rollout.challenger if rollout.challenger and rollout.challenger.version == version else None
        starts = known.starts + 1 if known else 1
        if starts > MAX_SHADOW_STARTS:
            reason = f"the agent died {MAX_SHADOW_STARTS} times during its shadow run"
            await self._end_with(rollout, version, Finding(GateOutcome.FAILED, reason))
            return
        alarms = {} if known is None else {key: AlarmWindows(*seen) for key, seen in known.alarms.items()}
        await self._write(rollout, version, ChallengerState.SHADOW, "", starts, alarms=alarms)
        try:
            rollout.shadow = await asyncio.to_thread(partial(self._loader.shadow_run, rollout, version, alarms=alarms))
        except BundleError as exc:
            await self._end_with(rollout, version, Finding(GateOutcome.FAILED, exc.message))
            return
        if known is None:
            await self._reports.emit("shadow", rollout.name, version, previous_version=rollout.model.version)

    async def _save(self, rollout: Rollout) -> None:
        if rollout.shadow is None or rollout.challenger is None:
            return
        now = rollout.challenger.seen(rollout.shadow.tally.alarms, rollout.challenger.starts)
        if now.missed - rollout.challenger.missed >= MIN_WINDOWS:
            await asyncio.to_thread(write_challenger, bundle_folder(self._settings.dir, rollout.name), now)
            rollout.challenger = now

    async def _end_with(self, rollout: Rollout, version: str, finding: Finding) -> None:
        tally = rollout.shadow.tally if rollout.shadow else None
        rollout.end_shadow_run()
        is_ready = finding.outcome is GateOutcome.HELD
        state = ChallengerState.READY if is_ready else ChallengerState.REFUSED
        starts = rollout.challenger.starts if rollout.challenger else 1
        is_judged = tally is not None and tally.is_judged_on_alarms
        await self._write(rollout, version, state, finding.reason, starts, is_judged_on_alarms=is_judged)
        await self._reports.emit(
            state.value, rollout.name, version, previous_version=rollout.model.version, reason=finding.reason
        )

    async def _write(
        self,
        rollout: Rollout,
        version: str,
        state: ChallengerState,
        reason: str,
        starts: int,
        *,
        alarms: Mapping[str, AlarmWindows] | None = None,
        is_judged_on_alarms: bool = False,
    ) -> None:
        challenger = Challenger(
            version=version,
            state=state,
            since=instant(self._clock.to_utc(self._clock.now_ns()) // 1000, "seconds"),
            reason=reason,
            starts=starts,
            alarms={channel: (seen.champion, seen.missed) for channel, seen in (alarms or {}).items()},
            is_judged_on_alarms=is_judged_on_alarms,
        )
        await asyncio.to_thread(write_challenger, bundle_folder(self._settings.dir, rollout.name), challenger)
        rollout.challenger = challenger
