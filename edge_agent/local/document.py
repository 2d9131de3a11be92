"""What all parts of the status document have in common: how an instant and a problem look."""

from __future__ import annotations

from typing import Any

from edge_agent.core.clock import instant


def rfc3339(time_ns: int | None) -> str | None:
    """UTC with milliseconds, or None."""
    return None if time_ns is None else instant(time_ns // 1000, "milliseconds")


def problem(what: str, since_ns: int | None, do: str | None) -> dict[str, Any]:
    """What is wrong, since when, what to do."""
    return {"what": what, "since": rfc3339(since_ns), "do": do}
