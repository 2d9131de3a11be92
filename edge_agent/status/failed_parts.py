"""Parts of the agent that failed unexpectedly: as a problem while it is fresh, in the document's figures for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cloud_sync.outbox.writer import WriterState
from edge_agent import __version__
from edge_agent.health.supervision import PartFailure
from edge_agent.settings import Settings
from edge_agent.status.fields import problem, rfc3339

FRESH_S: Final = 900.0
"""A part that has run that long since is no problem any more; its count stays."""

DO: Final = (
    "nothing at once: it is started again by itself, and the other parts record on; when it comes again, send the log "
    "to whoever maintains the agent: journalctl -u edge-agent -n 200"
)


def describe_parts(failures: Sequence[PartFailure]) -> list[dict[str, Any]]:
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


def bare_document(settings: Settings, failures: Sequence[PartFailure], *, now_ns: int) -> dict[str, Any]:
    """Return the answer when the whole status cannot be made: that it cannot, and why."""
    problems = part_problems(failures, now_ns=now_ns)
    return {
        "schema": 1,
        "state": "degraded",
        "summary": problems[0]["what"] if problems else "the status cannot be made",
        "time": rfc3339(now_ns),
        "gateway": {"id": settings.gateway.id, "site": settings.gateway.site, "version": __version__},
        "problems": problems,
        "parts_failed": describe_parts(failures),
    }


def stopped(writer: WriterState) -> dict[str, Any]:
    """Return what a document says at the end of a run that was asked to end, and what that run could not store."""
    lost = f"; {writer.pending} records could not be stored: {writer.error}" if writer.pending else ""
    return {"state": "stopped", "summary": f"stopped on request{lost}", "not_stored": writer.pending}


def _how_often(failure: PartFailure) -> str:
    return "" if failure.times == 1 else f", {failure.times} times"
