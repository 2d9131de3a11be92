"""The life of the models in a running agent: what arrives, what is on trial, who is champion, who must go back.

Constraints
- The champion scores on while anything is read, proven or compared; a swap happens between two windows.
- The files say what is true (`promotion`, `challenger`): a pointer that somebody else moved is followed, and whatever
  step the process dies in, the next start goes on from there.
- Every change is an event `model_report` and a line in the log; nothing here ends the agent but its own faults.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from cloud_sync.columns import Record
from edge_agent.core.clock import Clock, instant
from edge_agent.errors import BundleError
from edge_agent.pipeline.alarm_record import AlarmRecord
from edge_agent.pipeline.beside import Beside
from edge_agent.pipeline.champions import Withdrawn
from edge_agent.pipeline.intake import Intake
from edge_agent.pipeline.life import Life, Probation
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.model_reports import ModelReports
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.succession import (
    Line,
    counts_of,
    standing_channels,
    swap_model,
    totals_of,
)
from edge_agent.scoring.arrival import Arrival
from edge_agent.scoring.challenger import (
    MAX_STARTS,
    Challenger,
    ChallengerState,
    candidate,
    forget_challenger,
    read_challenger,
    write_challenger,
)
from edge_agent.scoring.champion import bundle_folder, list_bundles, promote, roll_back
from edge_agent.scoring.probation import Counts, failure_of
from edge_agent.scoring.promotion import Note, Pointer, move_pointer, note_probation, read_pointer
from edge_agent.scoring.shadow import MIN_WINDOWS, AlarmWindows, Finding, Outcome, quiet_problem
from edge_agent.settings import ModelSettings

ROUND_S: Final = 0.5
"""A version on trial scores what gathered in this time; its queue holds several seconds."""

LOOK_EVERY_S: Final = 2.0
"""How soon a moved pointer is followed and the inbox is looked at."""

AGENT: Final = "agent"


class ModelLife:
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
        say: Callable[[str, str], None],
        alarms: Callable[[], Collection[str]] = tuple,
        withdrawn: Sequence[Withdrawn] = (),
        wanted: Collection[str] = (),
    ) -> None:
        self.unnamed: dict[str, str] = {}  # versions that came and that no source asks for, by name
        self._wanted = wanted
        self._state_dir = state_dir
        self.lives: Mapping[str, Life] = {
            name: Life(name, model, AlarmRecord(state_dir, name, model.spec, say=say)) for name, model in models.items()
        }
        self.intake = Intake(settings, clock=clock, say=say)
        self._settings = settings
        self._models = models
        self._clock = clock
        self._say = say
        self._put = put
        self._reports = ModelReports(clock=clock, recorder=recorder, put=put, say=say)
        self._beside = Beside(settings, state_dir=state_dir, clock=clock)
        self._alarms = alarms
        self._withdrawn = list(withdrawn)

    def attach(self, line: Line) -> None:
        """A line that scores with one of the models."""
        life = self.lives[line.model.name]
        life.lines.append(line)
        life.look_on()

    async def add(self, model: ScoringModel, lines: Sequence[Line]) -> None:
        """Look after a model that has come since the start, and after the lines that score with it."""
        life = Life(model.name, model, AlarmRecord(self._state_dir, model.name, model.spec, say=self._say))
        await asyncio.to_thread(life.alarms.restore)
        self._count_start(life, +1)
        self.lives = {**self.lives, model.name: life}  # another table: rounds go on over the one they began with
        for line in lines:
            self.attach(line)

    async def run(self) -> None:
        """Until cancelled."""
        await self.intake.tidy()
        while self._withdrawn:  # told once, also when this part is started again
            went = self._withdrawn.pop(0)
            await self._reports.tell(
                "rolled_back", went.name, went.back_to, previous_version=went.version, reason=went.reason, by=AGENT
            )
        for life in self.lives.values():
            await asyncio.to_thread(life.alarms.restore)
            self._count_start(life, +1)
        try:
            await self._live()
        finally:  # a stop is not a death
            for life in self.lives.values():
                self._count_start(life, -1)
                self._count_alarms(life)
                life.alarms.save(self._clock.monotonic_s())

    async def _live(self) -> None:
        due_s = self._clock.monotonic_s()
        while True:
            for life in self.lives.values():
                for run in life.runs:
                    if run.has_work:
                        await asyncio.to_thread(run.work)
            if self._clock.monotonic_s() >= due_s:
                await self.look()
                due_s = self._clock.monotonic_s() + LOOK_EVERY_S
            await self._clock.sleep(ROUND_S)

    def _count_start(self, life: Life, change: int) -> None:
        """In the files of what is on probation or on trial; milliseconds, and also while we are being cancelled."""
        try:
            pointer = read_pointer(self._folder(life))
            if pointer.probation_starts is not None:
                starts = max(0, pointer.probation_starts + change)
                note_probation(self._folder(life), pointer.version, starts)
            if change < 0 and life.shadow is not None and life.challenger is not None:
                starts = max(0, life.challenger.starts + change)
                write_challenger(self._folder(life), life.challenger.seen(life.shadow.trial.alarms, starts))
        except BundleError as exc:
            self._reports.note_error(life, exc)

    async def look(self) -> None:
        """Everything that is due, once."""
        for arrival in await self.intake.take_in(time=self._now()):
            await self._reports.tell_arrival(arrival)
            self._note_unnamed(arrival)
        for life in self.lives.values():
            try:
                await self._look_after(life)
            except BundleError as exc:
                self._reports.note_error(life, exc)
            else:
                life.error = None

    async def _look_after(self, life: Life) -> None:
        folder = self._folder(life)
        life.pointer = await asyncio.to_thread(read_pointer, folder)
        if life.pointer.version != life.model.version:
            await self._follow(life, life.pointer)
        await self._watch_probation(life, life.pointer)
        await self._watch_trial(life)
        self._count_alarms(life)
        if life.alarms.is_due(now_s := self._clock.monotonic_s()):
            await asyncio.to_thread(life.alarms.save, now_s)

    def _count_alarms(self, life: Life) -> None:
        since = life.pointer.since if life.pointer else None
        totals, now_s = totals_of(life.lines), self._clock.monotonic_s()
        life.alarms.count(life.model.version, life.model.spec, since, totals, now_s)

    # Who is champion

    async def _follow(self, life: Life, pointer: Pointer) -> None:
        """Score with the version the pointer names. One that cannot be used goes back when it is on probation."""
        before = life.model
        try:
            model = await asyncio.to_thread(self._beside.to_follow, life, pointer)
        except BundleError as exc:
            if pointer.probation_starts is None:
                raise
            note = self._note(f"it cannot be used here: {exc.message}")
            await asyncio.to_thread(move_pointer, self._folder(life), before.version, note, is_rollback=True)
            life.pointer = await asyncio.to_thread(read_pointer, self._folder(life))
            await self._reports.tell(
                "rolled_back", life.name, before.version, previous_version=pointer.version, reason=note.why, by=AGENT
            )
            return
        self._end_trial(life)
        self._count_alarms(life)
        standing = standing_channels(life.lines)
        await self._put(swap_model(life.lines, model))
        life.model = self._models[life.name] = model
        life.probation = None
        if pointer.probation_starts is not None:
            await self._begin_probation(life, pointer, counts_of(life.lines, standing), standing)
        life.look_on()
        if life.challenger is not None and life.challenger.version == model.version:
            await asyncio.to_thread(forget_challenger, self._folder(life))
            life.challenger = None
        is_rollback = any(step.version == before.version and step.is_rolled_back for step in pointer.history[:1])
        await self._reports.tell(
            "rolled_back" if is_rollback else "promoted",
            life.name,
            model.version,
            previous_version=before.version,
            reason=pointer.why or "",
            despite=pointer.despite or "",
            by=pointer.by or "",
        )

    async def _begin_probation(
        self, life: Life, pointer: Pointer, since: Counts, left_out: frozenset[tuple[str, int]]
    ) -> None:
        """With the version before beside it, unless a person has overruled what speaks against this one."""
        life.probation = Probation(since, left_out, self._clock.monotonic_s())
        versions = await asyncio.to_thread(self._versions, life.name)
        try:
            life.probation.before = await asyncio.to_thread(self._beside.before, life, pointer, versions)
        except BundleError as exc:
            life.probation.unwatched = exc.message
        life.look_on()

    async def _watch_probation(self, life: Life, pointer: Pointer) -> None:
        if pointer.probation_starts is None or pointer.version != life.model.version:
            self._end_probation(life)
            return
        if life.probation is None:  # the agent was started within it
            await self._begin_probation(life, pointer, Counts(), frozenset())
        if life.probation is None:
            return
        seen = counts_of(life.lines, life.probation.left_out).since(life.probation.since)
        life.seen = seen
        failure = failure_of(
            seen,
            windows=self._settings.probation_windows,
            alarm_fraction=self._settings.probation_alarm_fraction,
            detail=next((line.refusal.detail for line in life.lines if line.refusal.detail), ""),
        ) or self._silence(life.probation)
        is_long = self._clock.monotonic_s() - life.probation.began_s >= self._settings.probation_s
        if failure is not None:
            await self._withdraw(life, failure)
        elif seen.scored >= self._settings.probation_windows and is_long:
            await asyncio.to_thread(note_probation, self._folder(life), life.model.version, None)
            self._end_probation(life)
            await self._reports.tell("probation_passed", life.name, life.model.version, reason=f"{seen.scored} windows")

    def _silence(self, probation: Probation) -> str | None:
        if probation.before is None:
            return None
        newest, version = probation.before.trial.newest, probation.before.model.version
        return quiet_problem(newest, self._settings.shadow_missed_fraction, before=version)

    def _end_probation(self, life: Life) -> None:
        life.probation = life.seen = None
        life.look_on()

    async def _withdraw(self, life: Life, reason: str) -> None:
        back = partial(
            roll_back,
            self._settings.dir,
            life.name,
            note=self._note(reason),
            keys_dir=self._settings.keys,
            require_signature=self._settings.require_signature,
        )
        await asyncio.to_thread(back)
        life.pointer = await asyncio.to_thread(read_pointer, self._folder(life))
        await self._follow(life, life.pointer)

    # Who is on trial

    async def _watch_trial(self, life: Life) -> None:
        folder = self._folder(life)
        life.challenger = await asyncio.to_thread(read_challenger, folder)
        versions = await asyncio.to_thread(self._versions, life.name)
        life.previous = life.pointer.previous(versions) if life.pointer else None
        wanted = candidate(versions, life.pointer, life.challenger)
        if life.shadow is not None and life.shadow.model.version != wanted:
            self._end_trial(life)
        if wanted is not None and life.shadow is None:
            await self._begin_trial(life, wanted)
        if life.shadow is not None and (finding := life.shadow.finding(self._clock.monotonic_s())) is not None:
            await self._end_with(life, life.shadow.model.version, finding)
        await self._save_trial(life)
        await self._promote_if_ready(life, versions)

    async def _begin_trial(self, life: Life, version: str) -> None:
        known = life.challenger if life.challenger and life.challenger.version == version else None
        starts = known.starts + 1 if known else 1
        if starts > MAX_STARTS:
            reason = f"the agent died {MAX_STARTS} times during its trial"
            await self._end_with(life, version, Finding(Outcome.FAILED, reason))
            return
        # Written before the bundle is loaded: also a model that takes the process down there is counted.
        alarms = {} if known is None else {key: AlarmWindows(*seen) for key, seen in known.alarms.items()}
        await self._write(life, version, ChallengerState.SHADOW, "", starts, alarms=alarms)
        try:
            life.shadow = await asyncio.to_thread(partial(self._beside.on_trial, life, version, alarms=alarms))
        except BundleError as exc:
            await self._end_with(life, version, Finding(Outcome.FAILED, exc.message))
            return
        life.look_on()
        if known is None:
            await self._reports.tell("shadow", life.name, version, previous_version=life.model.version)

    async def _save_trial(self, life: Life) -> None:
        """What it missed so far, so that no kill lets it begin with a clean slate."""
        if life.shadow is None or life.challenger is None:
            return
        now = life.challenger.seen(life.shadow.trial.alarms, life.challenger.starts)
        if now.missed - life.challenger.missed >= MIN_WINDOWS:
            await asyncio.to_thread(write_challenger, self._folder(life), now)
            life.challenger = now

    async def _end_with(self, life: Life, version: str, finding: Finding) -> None:
        trial = life.shadow.trial if life.shadow else None
        self._end_trial(life)
        is_ready = finding.outcome is Outcome.HELD
        state = ChallengerState.READY if is_ready else ChallengerState.REFUSED
        starts = life.challenger.starts if life.challenger else 1
        is_judged = trial is not None and trial.is_judged_on_alarms
        await self._write(life, version, state, finding.reason, starts, is_judged_on_alarms=is_judged)
        await self._reports.tell(
            state.value, life.name, version, previous_version=life.model.version, reason=finding.reason
        )

    async def _promote_if_ready(self, life: Life, versions: Sequence[str]) -> None:
        ready, life.waits = life.challenger, None
        if self._settings.promote != "automatic" or ready is None or ready.state is not ChallengerState.READY:
            return
        if candidate(versions, life.pointer, None) != ready.version:
            return  # somebody has decided otherwise meanwhile
        if (waits := life.waits_for(ready, self._alarms())) is not None:
            life.waits = waits
            return
        step = partial(
            promote,
            self._settings.dir,
            life.name,
            ready.version,
            keys_dir=self._settings.keys,
            require_signature=self._settings.require_signature,
            note=self._note(f"its trial held: {ready.reason}"),
            on_probation=True,
        )
        await asyncio.to_thread(step)
        life.pointer = await asyncio.to_thread(read_pointer, self._folder(life))
        await self._follow(life, life.pointer)

    def _end_trial(self, life: Life) -> None:
        life.shadow = None
        life.look_on()

    async def _write(
        self,
        life: Life,
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
            since=self._now(),
            reason=reason,
            starts=starts,
            alarms={channel: (seen.champion, seen.missed) for channel, seen in (alarms or {}).items()},
            is_judged_on_alarms=is_judged_on_alarms,
        )
        await asyncio.to_thread(write_challenger, self._folder(life), challenger)
        life.challenger = challenger

    def _note_unnamed(self, arrival: Arrival) -> None:
        """A bundle that no source asks for is installed all the same; somebody should be told."""
        found = arrival.installed
        if found is not None and found.is_new and self._wanted and found.name not in self._wanted:
            self.unnamed[found.name] = found.version
            self._say("warning", f"model {found.name} {found.version}: no source names it, so nothing scores with it")

    # Small things

    def _folder(self, life: Life) -> Path:
        return bundle_folder(self._settings.dir, life.name)

    def _versions(self, name: str) -> tuple[str, ...]:
        return next((entry.versions for entry in list_bundles(self._settings.dir) if entry.name == name), ())

    def _note(self, why: str) -> Note:
        return Note(AGENT, why, self._now())

    def _now(self) -> str:
        return instant(self._clock.now_ns() // 1000, "seconds")
