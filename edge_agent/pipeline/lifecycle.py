"""The life of the models in a running agent: what arrives, what is on trial, who is champion, who must go back.

Constraints
- The champion scores on while anything is read, proven or compared; a swap happens between two windows.
- The files say what is true (`promotion`, `challenger`): a pointer that somebody else moved is followed, and whatever
  step the process dies in, the next start goes on from there.
- Every change is an event `model_report` and a line in the log; nothing here ends the agent but its own faults.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from cloud_sync.columns import Record
from edge_agent.core.clock import Clock
from edge_agent.errors import BundleError
from edge_agent.pipeline.champions import Withdrawn, scoring_model
from edge_agent.pipeline.intake import Intake
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.shadow import ShadowRun, incomparable
from edge_agent.pipeline.succession import Line, check_fit, counts_of, standing_channels, swap_model
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
from edge_agent.scoring.champion import bundle_folder, list_bundles, load_bundle, promote, roll_back
from edge_agent.scoring.probation import Counts, failure_of
from edge_agent.scoring.promotion import Note, Pointer, move_pointer, note_probation, read_pointer
from edge_agent.scoring.shadow import Finding, Gates, Outcome, Trial
from edge_agent.settings import ModelSettings

ROUND_S: Final = 0.5
"""A version on trial scores what gathered in this time; its queue holds several seconds."""

LOOK_EVERY_S: Final = 2.0
"""How soon a moved pointer is followed and the inbox is looked at."""

AGENT: Final = "agent"


@dataclass(slots=True)
class Probation:
    """`left_out`: channels on which an alarm stood when it began."""

    since: Counts
    left_out: frozenset[tuple[str, int]]


@dataclass(slots=True)
class Life:
    """One model that this agent scores with."""

    name: str
    model: ScoringModel
    lines: list[Line] = field(default_factory=list)
    pointer: Pointer | None = None
    previous: str | None = None
    challenger: Challenger | None = None
    shadow: ShadowRun | None = None
    probation: Probation | None = None
    error: str | None = None  # why the files cannot be followed; the model in memory scores on
    seen: Counts | None = None  # since its promotion, while it is on probation


class ModelLife:
    """`models` is the agent's own table: a swapped model is put into it."""

    def __init__(
        self,
        settings: ModelSettings,
        models: dict[str, ScoringModel],
        *,
        clock: Clock,
        recorder: Recorder,
        put: Callable[[Sequence[Record]], Awaitable[None]],
        say: Callable[[str, str], None],
        withdrawn: Sequence[Withdrawn] = (),
    ) -> None:
        self.lives: Mapping[str, Life] = {name: Life(name, model) for name, model in models.items()}
        self.intake = Intake(settings, clock=clock, say=say)
        self._settings = settings
        self._models = models
        self._clock = clock
        self._recorder = recorder
        self._put = put
        self._say = say
        self._load = partial(
            load_bundle,
            settings.dir,
            keys_dir=settings.keys_dir or settings.dir / "keys",
            require_signature=settings.require_signature,
        )
        self._withdrawn = withdrawn

    def attach(self, line: Line) -> None:
        """A line that scores with one of the models."""
        self.lives[line.model.name].lines.append(line)

    async def run(self) -> None:
        """Until cancelled."""
        await self.intake.tidy()
        for went in self._withdrawn:
            await self._tell(
                "rolled_back", went.name, went.back_to, previous_version=went.version, reason=went.reason, by=AGENT
            )
        for life in self.lives.values():
            self._count_start(life, +1)
        try:
            await self._live()
        finally:  # a stop is not a death
            for life in self.lives.values():
                self._count_start(life, -1)

    async def _live(self) -> None:
        due_s = self._clock.monotonic_s()
        while True:
            for life in self.lives.values():
                if life.shadow is not None and life.shadow.has_work:
                    await asyncio.to_thread(life.shadow.work)
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
                stopped = life.challenger.model_copy(update={"starts": max(0, life.challenger.starts + change)})
                write_challenger(self._folder(life), stopped)
        except BundleError as exc:
            self._note_error(life, exc)

    async def look(self) -> None:
        """Everything that is due, once."""
        for arrival in await self.intake.take_in(time=self._now()):
            await self._tell_arrival(arrival)
        for life in self.lives.values():
            try:
                await self._look_after(life)
            except BundleError as exc:
                self._note_error(life, exc)
            else:
                life.error = None

    async def _look_after(self, life: Life) -> None:
        folder = self._folder(life)
        life.pointer = await asyncio.to_thread(read_pointer, folder)
        if life.pointer.version != life.model.version:
            await self._follow(life, life.pointer)
        await self._watch_probation(life, life.pointer)
        await self._watch_trial(life)

    # Who is champion

    async def _follow(self, life: Life, pointer: Pointer) -> None:
        """Score with the version the pointer names. One that cannot be used goes back when it is on probation."""
        before = life.model
        try:
            model = scoring_model(await asyncio.to_thread(self._load, life.name, pointer.version))
            check_fit(life.lines, model)
        except BundleError as exc:
            if pointer.probation_starts is None:
                raise
            note = self._note(f"it cannot be used here: {exc.message}")
            await asyncio.to_thread(move_pointer, self._folder(life), before.version, note, is_rollback=True)
            life.pointer = await asyncio.to_thread(read_pointer, self._folder(life))
            await self._tell(
                "rolled_back", life.name, before.version, previous_version=pointer.version, reason=note.why, by=AGENT
            )
            return
        self._end_trial(life)
        standing = standing_channels(life.lines)
        await self._put(swap_model(life.lines, model))
        life.model = self._models[life.name] = model
        life.probation = None
        if pointer.probation_starts is not None:
            life.probation = Probation(counts_of(life.lines, standing), standing)
        if life.challenger is not None and life.challenger.version == model.version:
            await asyncio.to_thread(forget_challenger, self._folder(life))
            life.challenger = None
        is_rollback = any(step.version == before.version and step.is_rolled_back for step in pointer.history[:1])
        await self._tell(
            "rolled_back" if is_rollback else "promoted",
            life.name,
            model.version,
            previous_version=before.version,
            reason=pointer.why or "",
            by=pointer.by or "",
        )

    async def _watch_probation(self, life: Life, pointer: Pointer) -> None:
        if pointer.probation_starts is None or pointer.version != life.model.version:
            life.probation = life.seen = None
            return
        if life.probation is None:  # the agent was started within it
            life.probation = Probation(Counts(), frozenset())
        seen = counts_of(life.lines, life.probation.left_out).since(life.probation.since)
        life.seen = seen
        failure = failure_of(
            seen,
            windows=self._settings.probation_windows,
            alarm_fraction=self._settings.probation_alarm_fraction,
            detail=next((line.refusal.detail for line in life.lines if line.refusal.detail), ""),
        )
        if failure is not None:
            await self._withdraw(life, failure)
        elif seen.scored >= self._settings.probation_windows:
            await asyncio.to_thread(note_probation, self._folder(life), life.model.version, None)
            life.probation = life.seen = None
            await self._tell("probation_passed", life.name, life.model.version, reason=f"{seen.scored} windows")

    async def _withdraw(self, life: Life, reason: str) -> None:
        back = partial(
            roll_back,
            self._settings.dir,
            life.name,
            note=self._note(reason),
            keys_dir=self._keys_dir,
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
        await self._promote_if_ready(life, versions)

    async def _begin_trial(self, life: Life, version: str) -> None:
        known = life.challenger if life.challenger and life.challenger.version == version else None
        starts = known.starts + 1 if known else 1
        if starts > MAX_STARTS:
            reason = f"the agent died {MAX_STARTS} times during its trial"
            await self._end_with(life, version, Finding(Outcome.FAILED, reason))
            return
        # Written before the bundle is loaded: also a model that takes the process down there is counted.
        await self._write(life, version, ChallengerState.SHADOW, "", starts)
        try:
            model = scoring_model(await asyncio.to_thread(self._load, life.name, version))
            check_fit(life.lines, model)
        except BundleError as exc:
            await self._end_with(life, version, Finding(Outcome.FAILED, exc.message))
            return
        if (difference := incomparable(model, life.model)) is not None:
            reason = f"{difference}; there is no trial: look at it with `models verify` and promote it by hand"
            await self._end_with(life, version, Finding(Outcome.FAILED, reason))
            return
        trial = Trial(self._gates, self._clock.monotonic_s())
        life.shadow = ShadowRun(
            model, life.model, trial, cpu_share=self._settings.shadow_cpu_share, now_s=self._clock.monotonic_s
        )
        for line in life.lines:
            line.observe = life.shadow.offer
        if known is None:
            await self._tell("shadow", life.name, version, previous_version=life.model.version)

    async def _end_with(self, life: Life, version: str, finding: Finding) -> None:
        self._end_trial(life)
        is_ready = finding.outcome is Outcome.HELD
        state = ChallengerState.READY if is_ready else ChallengerState.REFUSED
        await self._write(life, version, state, finding.reason, life.challenger.starts if life.challenger else 1)
        await self._tell(state.value, life.name, version, previous_version=life.model.version, reason=finding.reason)

    async def _promote_if_ready(self, life: Life, versions: Sequence[str]) -> None:
        ready = life.challenger
        if self._settings.promote != "automatic" or ready is None or ready.state is not ChallengerState.READY:
            return
        if candidate(versions, life.pointer, None) != ready.version:
            return  # somebody has decided otherwise meanwhile
        step = partial(
            promote,
            self._settings.dir,
            life.name,
            ready.version,
            keys_dir=self._keys_dir,
            require_signature=self._settings.require_signature,
            note=self._note(f"its trial held: {ready.reason}"),
            on_probation=True,
        )
        await asyncio.to_thread(step)
        life.pointer = await asyncio.to_thread(read_pointer, self._folder(life))
        await self._follow(life, life.pointer)

    def _end_trial(self, life: Life) -> None:
        for line in life.lines:
            line.observe = None
        life.shadow = None

    async def _write(self, life: Life, version: str, state: ChallengerState, reason: str, starts: int) -> None:
        challenger = Challenger(version=version, state=state, since=self._now(), reason=reason, starts=starts)
        await asyncio.to_thread(write_challenger, self._folder(life), challenger)
        life.challenger = challenger

    # What arrives

    async def _tell_arrival(self, arrival: Arrival) -> None:
        if arrival.installed is None:
            await self._tell("refused", arrival.entry, None, reason=arrival.reason)
        elif arrival.installed.is_new:
            await self._tell("installed", arrival.installed.name, arrival.installed.version, entry=arrival.entry)

    # Small things

    async def _tell(self, state: str, name: str, version: str | None, **more: str) -> None:
        body = {"state": state, "model": name, "model_version": version, **{k: v for k, v in more.items() if v}}
        words = f"model {name} {version or ''}".rstrip() + f": {state.replace('_', ' ')}"
        reason = more.get("reason")
        level = "warning" if state in ("refused", "rolled_back") else "info"
        self._say(level, f"{words}{f': {reason}' if reason else ''}")
        await self._put([self._recorder.report(name, self._clock.now_ns(), body)])

    def _note_error(self, life: Life, exc: BundleError) -> None:
        if life.error != exc.message:
            self._say("error", f"model {life.name}: {exc.message}{f'; {exc.hint}' if exc.hint else ''}")
        life.error = exc.message

    def _folder(self, life: Life) -> Path:
        return bundle_folder(self._settings.dir, life.name)

    def _versions(self, name: str) -> tuple[str, ...]:
        return next((entry.versions for entry in list_bundles(self._settings.dir) if entry.name == name), ())

    def _note(self, why: str) -> Note:
        return Note(AGENT, why, self._now())

    def _now(self) -> str:
        now = datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)
        return now.isoformat(timespec="seconds").replace("+00:00", "Z")

    @property
    def _keys_dir(self) -> Path:
        return self._settings.keys_dir or self._settings.dir / "keys"

    @property
    def _gates(self) -> Gates:
        s = self._settings
        return Gates(s.shadow_windows, s.shadow_s, s.shadow_latency_ms, s.shadow_alarm_fraction)
