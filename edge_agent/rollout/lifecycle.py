"""The rollout of models in a running agent: what arrives, what is in a shadow run, who is champion, who must go back.

Constraints
- The champion scores on while anything is read, proven or compared; a swap happens between two windows.
- The files say what is true (`champion_file`, `challenger_file`): a pointer that somebody else moved is followed, and
  whatever step the process dies in, the next start goes on from there.
- Every change is an event `model_report` and a line in the log; nothing here ends the agent but its own faults.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from cloud_sync.columns import Record
from edge_agent.bundles.champion_file import Note, Pointer, move_pointer, note_probation, read_pointer
from edge_agent.bundles.folders import versions_in
from edge_agent.bundles.store import bundle_folder, bundle_store
from edge_agent.core.clock import Clock, instant
from edge_agent.errors import BundleError
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.scored_line import ScoredLine
from edge_agent.rollout.alarm_record import AlarmRecord
from edge_agent.rollout.challenger_file import (
    ChallengerState,
    candidate,
    forget_challenger,
    write_challenger,
)
from edge_agent.rollout.hot_swap import (
    counts_of,
    standing_channels,
    swap_model,
    totals_of,
)
from edge_agent.rollout.inbox import InboxItem
from edge_agent.rollout.inbox_watch import InboxWatch
from edge_agent.rollout.model_reports import ModelReports
from edge_agent.rollout.probation import Counts, Probation, failure_of
from edge_agent.rollout.rollout import Rollout
from edge_agent.rollout.shadow_gates import quiet_problem
from edge_agent.rollout.shadow_runs import ShadowRuns
from edge_agent.rollout.startup import Withdrawn
from edge_agent.rollout.version_loader import VersionLoader
from edge_agent.settings import ModelSettings

ROUND_S: Final = 0.5
"""A version in a shadow run scores what gathered in this time; its queue holds several seconds."""

LOOK_EVERY_S: Final = 2.0
"""How soon a moved pointer is followed and the inbox is looked at."""

AGENT: Final = "agent"


class ModelLifecycle:
    """`models` is the agent's own table: a swapped model is put into it."""

    def __init__(
        self,
        settings: ModelSettings,
        models: dict[str, ScoringModel],
        *,
        state_dir: Path,
        clock: Clock,
        recorder: Recorder,
        put: Callable[[Sequence[Record]], Awaitable[None]],
        log: Callable[[str, str], None],
        alarms: Callable[[], Collection[str]] = tuple,
        withdrawn: Sequence[Withdrawn] = (),
        wanted: Collection[str] = (),
    ) -> None:
        self.unnamed: dict[str, str] = {}  # versions that came and that no source asks for, by name
        self.inbox = InboxWatch(settings, clock=clock, log=log)
        self._settings = settings
        self._models = models
        self._clock = clock
        self._state_dir = state_dir
        self._log = log
        self._put = put
        self._wanted = wanted
        self.rollouts: Mapping[str, Rollout] = {name: self.new_rollout(model) for name, model in models.items()}
        self._reports = ModelReports(clock=clock, recorder=recorder, put=put, log=log)
        self._loader = VersionLoader(settings, state_dir=state_dir, clock=clock)
        self._shadow_runs = ShadowRuns(settings, loader=self._loader, reports=self._reports, clock=clock)
        self._alarms = alarms
        self._withdrawn = list(withdrawn)

    def attach(self, line: ScoredLine) -> None:
        """Look after a line that scores with one of the models; its observer is that model's rollout."""
        self.rollouts[line.model.name].lines.append(line)

    async def add(self, rollout: Rollout, lines: Sequence[ScoredLine]) -> None:
        """Look after a model that has come since the start (`new_rollout`), and the lines that score with it."""
        await asyncio.to_thread(rollout.alarms.restore)
        self._count_start(rollout, +1)
        # Another table: rounds go on over the one they began with.
        self.rollouts = {**self.rollouts, rollout.name: rollout}
        for line in lines:
            self.attach(line)

    async def run(self) -> None:
        """Run until cancelled."""
        await self.inbox.tidy()
        while self._withdrawn:  # reported once, also when this part is started again
            went = self._withdrawn.pop(0)
            await self._reports.emit(
                "rolled_back", went.name, went.back_to, previous_version=went.version, reason=went.reason, by=AGENT
            )
        for rollout in self.rollouts.values():
            await asyncio.to_thread(rollout.alarms.restore)
            self._count_start(rollout, +1)
        try:
            await self._live()
        finally:  # a stop is not a death
            for rollout in self.rollouts.values():
                self._count_start(rollout, -1)
                self._count_alarms(rollout)
                rollout.alarms.save(self._clock.monotonic_s())

    async def _live(self) -> None:
        due_s = self._clock.monotonic_s()
        while True:
            for rollout in self.rollouts.values():
                for run in rollout.runs:
                    if run.has_work:
                        await asyncio.to_thread(run.work)
            if self._clock.monotonic_s() >= due_s:
                await self.look()
                due_s = self._clock.monotonic_s() + LOOK_EVERY_S
            await self._clock.sleep(ROUND_S)

    def _count_start(self, rollout: Rollout, change: int) -> None:
        """Count in the files of what is on probation or in a shadow run; also while we are being cancelled."""
        try:
            pointer = read_pointer(self._folder(rollout))
            if pointer.probation_starts is not None:
                starts = max(0, pointer.probation_starts + change)
                note_probation(self._folder(rollout), pointer.version, starts)
            if change < 0 and rollout.shadow is not None and rollout.challenger is not None:
                starts = max(0, rollout.challenger.starts + change)
                write_challenger(self._folder(rollout), rollout.challenger.seen(rollout.shadow.tally.alarms, starts))
        except BundleError as exc:
            self._reports.record_error(rollout, exc)

    async def look(self) -> None:
        """Do everything that is due, once."""
        for item in await self.inbox.take_in(time=self._now()):
            await self._reports.emit_inbox_item(item)
            self._record_unnamed(item)
        for rollout in self.rollouts.values():
            try:
                await self._look_after(rollout)
            except BundleError as exc:
                self._reports.record_error(rollout, exc)
            else:
                rollout.error = None

    async def _look_after(self, rollout: Rollout) -> None:
        pointer = await self._read_pointer(rollout)
        if pointer.version != rollout.model.version:
            await self._follow(rollout, pointer)
        await self._watch_probation(rollout)
        versions = await asyncio.to_thread(versions_in, self._folder(rollout))
        rollout.previous = rollout.pointer.previous(versions) if rollout.pointer else None
        await self._shadow_runs.watch(rollout, versions)
        await self._promote_if_ready(rollout, versions)
        self._count_alarms(rollout)
        if rollout.alarms.is_due(now_s := self._clock.monotonic_s()):
            await asyncio.to_thread(rollout.alarms.save, now_s)

    def _count_alarms(self, rollout: Rollout) -> None:
        since = rollout.pointer.since if rollout.pointer else None
        totals, now_s = totals_of(rollout.lines), self._clock.monotonic_s()
        rollout.alarms.count(rollout.model.version, rollout.model.spec, since, totals, now_s)

    async def _follow(self, rollout: Rollout, pointer: Pointer) -> None:
        """Score with the version the pointer names. One that cannot be used goes back when it is on probation."""
        before = rollout.model
        try:
            model = await asyncio.to_thread(self._loader.to_follow, rollout, pointer)
        except BundleError as exc:
            if pointer.probation_starts is None:
                raise
            note = self._note(f"it cannot be used here: {exc.message}")
            await asyncio.to_thread(move_pointer, self._folder(rollout), before.version, note, is_rollback=True)
            await self._read_pointer(rollout)
            await self._reports.emit(
                "rolled_back", rollout.name, before.version, previous_version=pointer.version, reason=note.why, by=AGENT
            )
            return
        rollout.end_shadow_run()
        self._count_alarms(rollout)
        standing = standing_channels(rollout.lines)
        await self._put(swap_model(rollout.lines, model))
        rollout.model = self._models[rollout.name] = model
        rollout.probation = None
        if pointer.probation_starts is not None:
            await self._begin_probation(rollout, pointer, counts_of(rollout.lines, standing), standing)
        if rollout.challenger is not None and rollout.challenger.version == model.version:
            await asyncio.to_thread(forget_challenger, self._folder(rollout))
            rollout.challenger = None
        is_rollback = any(step.version == before.version and step.is_rolled_back for step in pointer.history[:1])
        await self._reports.emit(
            "rolled_back" if is_rollback else "promoted",
            rollout.name,
            model.version,
            previous_version=before.version,
            reason=pointer.why or "",
            despite=pointer.despite or "",
            by=pointer.by or "",
        )

    async def _begin_probation(
        self, rollout: Rollout, pointer: Pointer, since: Counts, left_out: frozenset[tuple[str, int]]
    ) -> Probation:
        """Begin it with the version before beside it, unless a person has overruled what speaks against this one."""
        probation = rollout.probation = Probation(since, left_out, self._clock.monotonic_s())
        versions = await asyncio.to_thread(versions_in, self._folder(rollout))
        try:
            probation.before = await asyncio.to_thread(self._loader.before, rollout, pointer, versions)
        except BundleError as exc:
            probation.unwatched = exc.message
        return probation

    async def _watch_probation(self, rollout: Rollout) -> None:
        pointer = rollout.pointer
        if pointer is None or pointer.probation_starts is None or pointer.version != rollout.model.version:
            rollout.end_probation()
            return
        probation = rollout.probation
        if probation is None:  # the agent was started within it
            probation = await self._begin_probation(rollout, pointer, Counts(), frozenset())
        rollout.seen = seen = counts_of(rollout.lines, probation.left_out).since(probation.since)
        failure = failure_of(
            seen,
            windows=self._settings.probation_windows,
            alarm_fraction=self._settings.probation_alarm_fraction,
            detail=next((line.refusal.detail for line in rollout.lines if line.refusal.detail), ""),
        ) or self._silence(probation)
        is_long = self._clock.monotonic_s() - probation.began_s >= self._settings.probation_s
        if failure is not None:
            await self._withdraw(rollout, failure)
        elif seen.scored >= self._settings.probation_windows and is_long:
            await asyncio.to_thread(note_probation, self._folder(rollout), rollout.model.version, None)
            rollout.end_probation()
            await self._reports.emit(
                "probation_passed", rollout.name, rollout.model.version, reason=f"{seen.scored} windows"
            )

    def _silence(self, probation: Probation) -> str | None:
        if probation.before is None:
            return None
        newest, version = probation.before.tally.newest, probation.before.model.version
        return quiet_problem(newest, self._settings.shadow_missed_fraction, before=version)

    async def _withdraw(self, rollout: Rollout, reason: str) -> None:
        back = partial(bundle_store(self._settings).roll_back, rollout.name, note=self._note(reason))
        await asyncio.to_thread(back)
        await self._follow(rollout, await self._read_pointer(rollout))

    async def _promote_if_ready(self, rollout: Rollout, versions: Sequence[str]) -> None:
        ready, rollout.waits = rollout.challenger, None
        if self._settings.promote != "automatic" or ready is None or ready.state is not ChallengerState.READY:
            return
        if candidate(versions, rollout.pointer, None) != ready.version:
            return  # somebody has decided otherwise meanwhile
        if (waits := rollout.waits_for(ready, self._alarms())) is not None:
            rollout.waits = waits
            return
        step = partial(
            bundle_store(self._settings).promote,
            rollout.name,
            ready.version,
            note=self._note(f"its shadow run held: {ready.reason}"),
            on_probation=True,
        )
        await asyncio.to_thread(step)
        await self._follow(rollout, await self._read_pointer(rollout))

    def _record_unnamed(self, item: InboxItem) -> None:
        """Keep the name of a bundle that no source asks for: it is installed all the same, and somebody should know."""
        found = item.installed
        if found is not None and found.is_new and self._wanted and found.name not in self._wanted:
            self.unnamed[found.name] = found.version
            self._log("warning", f"model {found.name} {found.version}: no source names it, so nothing scores with it")

    async def _read_pointer(self, rollout: Rollout) -> Pointer:
        rollout.pointer = await asyncio.to_thread(read_pointer, self._folder(rollout))
        return rollout.pointer

    def new_rollout(self, model: ScoringModel) -> Rollout:
        """Return the rollout of a model, with no line yet; its `observe` is what they are made with."""
        return Rollout(model.name, model, AlarmRecord(self._state_dir, model.name, model.spec, log=self._log))

    def _folder(self, rollout: Rollout) -> Path:
        return bundle_folder(self._settings.dir, rollout.name)

    def _note(self, why: str) -> Note:
        return Note(AGENT, why, self._now())

    def _now(self) -> str:
        return instant(self._clock.to_utc(self._clock.now_ns()) // 1000, "seconds")
