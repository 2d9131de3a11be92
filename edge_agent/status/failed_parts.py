"""Parts of the agent that failed unexpectedly: as a problem while it is fresh, in the document's figures for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from edge_agent.health.supervision import PartFailure
from edge_agent.status.fields import problem, rfc3339

FRESH_S: Final = 900.0
"""A part that has run that long since is no problem any more; its count stays."""

DO: Final = (
    "nothing at once: it is started again by itself, and the other parts record on; when it comes again, send the log "
    "to whoever maintains the agent: journalctl -u edge-agent -n 200"
)


def describe_failed_parts(failures: Sequence[PartFailure]) -> list[dict[str, Any]]:
    """Return each part that ever failed in this run."""
    return [
        {
            "part": failure.part,
            "failures_total": failure.total,
            "since": rfc3339(failure.since_ns),
            "last": rfc3339(failure.last_ns),
            "error": failure.what,
        }
        for failure in failures
    ]


def part_problems(failures: Sequence[PartFailure], *, now_ns: int) -> list[dict[str, Any]]:
    """Return what failed lately: which part, since when, how often, what happened."""
    return [
        problem(f"{failure.part} failed unexpectedly{_how_often(failure)}: {failure.what}", failure.since_ns, DO)
        for failure in failures
        if now_ns - failure.last_ns < FRESH_S * 1e9
    ]


def _how_often(failure: PartFailure) -> str:
    return "" if failure.times == 1 else f", {failure.times} times"
