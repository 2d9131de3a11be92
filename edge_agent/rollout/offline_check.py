"""What is known of a version before it scores anything live: whether it can alarm, and what it misses offline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_agent.bundles.silence import Missed, alarm_problem, first_problem, hold_against
from edge_agent.bundles.store import Champion
from edge_agent.errors import BundleError
from edge_agent.rollout.alarm_record import kept_rows


@dataclass(frozen=True, slots=True)
class OfflineCheck:
    """`problem` is why the version should not follow; `evidence` what it was held against."""

    evidence: tuple[Missed, ...] = ()
    problem: str | None = None


def check_offline(
    candidate: Champion, champion: Champion | None, *, missed_fraction: float, state_dir: Path
) -> OfflineCheck:
    """Hold a version against the champion's golden windows, the alarms kept here, and provoked rows.

    `champion` is None when its bundle cannot be read any more: then only whether the version can alarm.
    """
    if (problem := alarm_problem(candidate)) is not None:
        return OfflineCheck(problem=problem)
    if champion is None:
        return OfflineCheck()
    kept = kept_rows(state_dir, champion.bundle.manifest.name, champion.bundle.spec)
    try:
        evidence = hold_against(candidate, champion, missed_fraction=missed_fraction, kept=kept)
    except BundleError as exc:
        return OfflineCheck(problem=exc.message)
    return OfflineCheck(evidence, first_problem(evidence))
