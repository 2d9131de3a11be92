"""Counts, sizes and times in words, as a person reads them."""

from __future__ import annotations

from datetime import datetime


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: 1 record, 2 records."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def bytes_in_words(count: int) -> str:
    """Return a count of bytes for a person: 1.93 MB, or 2.9 kB."""
    return f"{count / 1e6:.2f} MB" if count >= 1_000_000 else f"{count / 1e3:.1f} kB"


def ago(time: str | None, now: datetime) -> str:
    """Return '11:59:10 (50 s ago)'; with the date once it is two minutes past. `time` is RFC 3339."""
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
