"""What all parts of the status document have in common: how an instant and a problem look."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def rfc3339(time_ns: int | None) -> str | None:
    """UTC with milliseconds, or None."""
    if time_ns is None:
        return None
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def problem(what: str, since_ns: int | None, do: str | None) -> dict[str, Any]:
    """What is wrong, since when, what to do."""
    return {"what": what, "since": rfc3339(since_ns), "do": do}
