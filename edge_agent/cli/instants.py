"""How an instant is said to a person: the time, and how long ago that is."""

from __future__ import annotations

from datetime import datetime


def ago(time: str | None, now: datetime) -> str:
    """'11:59:10 (50 s ago)'; with the date once it is two minutes past. `time` is RFC 3339."""
    if time is None:
        return "unknown"
    if time.endswith("us"):  # beyond the calendar, see `instant`
        return time
    then = datetime.fromisoformat(time.replace("Z", "+00:00"))
    seconds = max(0.0, (now - then).total_seconds())
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{then:%Y-%m-%d %H:%M:%S} ({seconds / length:.0f} {unit}s ago)"
    return f"{then:%H:%M:%S} ({seconds:.0f} s ago)"
