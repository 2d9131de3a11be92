"""Whether a version that was just promoted may stay: counts in, a reason to go back out.

Constraints
- A model that fails on one window goes back at once: the one before is there and proven.
- An alarm flood is told from a machine that fails: channels on which an alarm stood before the promotion are not
  counted, and the share is of all others together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge_agent.rollout.shadow_run import ShadowRun

MAX_STARTS_ON_PROBATION: Final = 3
"""Starts of the agent within one probation that did not end with a stop. A model that takes the process down cannot be
told by its scores."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Since the agent's start: windows scored, anomalous ones, and windows the model would not take."""

    scored: int = 0
    anomalous: int = 0
    refused: int = 0

    def since(self, before: Counts) -> Counts:
        """Return what came since `before`."""
        return Counts(self.scored - before.scored, self.anomalous - before.anomalous, self.refused - before.refused)


@dataclass(slots=True)
class Probation:
    """`left_out`: channels on which an alarm stood when it began; `began_s` is monotonic.

    `before` is the version before, scoring beside this one, so that silence is noticed; `unwatched` says why it is not.
    """

    since: Counts
    left_out: frozenset[tuple[str, int]]
    began_s: float
    before: ShadowRun | None = None
    unwatched: str = ""

    @property
    def why_unwatched(self) -> str | None:
        """Return why silence would not be noticed; also when the version before failed meanwhile."""
        failure = self.before.tally.failure if self.before is not None else None
        return self.unwatched or (f"of the version before: {failure}" if failure else None)


def failure_of(seen: Counts, *, windows: int, alarm_fraction: float, detail: str = "") -> str | None:
    """Return why the version must go back, or None.

    `seen` counts from the promotion on; `detail` is the last refusal's.
    """
    if seen.refused:
        return f"it did not take a window{f': {detail}' if detail else ''}"
    if seen.scored >= min(windows, _ENOUGH) and seen.anomalous > alarm_fraction * seen.scored:
        return (
            f"alarm flood: {seen.anomalous} of its first {seen.scored} windows are anomalous, "
            f"more than {alarm_fraction:.0%}"
        )
    return None


_ENOUGH: Final = 100
"""Windows after which a flood is called one, also within a longer probation."""
