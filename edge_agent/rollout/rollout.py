"""What a running agent knows of one model that it scores with."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from edge_agent.bundles.champion_file import Pointer
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.scored_line import ScoredLine, ScoredWindows
from edge_agent.rollout.alarm_record import AlarmRecord
from edge_agent.rollout.challenger_file import Challenger
from edge_agent.rollout.hot_swap import machine_of, machines_of
from edge_agent.rollout.probation import Counts, Probation
from edge_agent.rollout.shadow_run import ShadowRun


@dataclass(slots=True)
class Rollout:
    """One model, the lines that it scores, and what is under way."""

    name: str
    model: ScoringModel
    alarms: AlarmRecord
    lines: list[ScoredLine] = field(default_factory=list)
    pointer: Pointer | None = None
    previous: str | None = None
    challenger: Challenger | None = None
    shadow: ShadowRun | None = None
    probation: Probation | None = None
    error: str | None = None  # why the files cannot be followed; the model in memory scores on
    seen: Counts | None = None  # since its promotion, while it is on probation
    waits: str | None = None  # why what is ready is not promoted by itself

    @property
    def runs(self) -> list[ShadowRun]:
        """Return those that score beside the champion."""
        before = self.probation.before if self.probation is not None else None
        return [run for run in (self.shadow, before) if run is not None]

    def waits_for(self, ready: Challenger, in_alarm: Collection[str]) -> str | None:
        """Return why nobody but a person may make it champion now, or None. `in_alarm` are points of any machine."""
        machines = machines_of(self.lines)
        if standing := sorted(subject for subject in in_alarm if machine_of(subject) in machines):
            return f"an alarm stands on {', '.join(standing)}: while it does, no model is changed by itself"
        if not ready.is_judged_on_alarms:
            return "nothing that is anomalous to the champion was there to try it on: a person decides"
        return None

    def end_shadow_run(self) -> None:
        """Let the version in a shadow run score no more."""
        self.shadow = None

    def end_probation(self) -> None:
        """Let the champion be one like any other, and the version before score no more."""
        self.probation = self.seen = None

    def observe(self, scored: ScoredWindows) -> None:
        """Show windows of a line to the alarm record and to every run beside the champion; an `Observer`."""
        self.alarms.offer(scored)
        for run in self.runs:
            run.offer(scored)
