"""What all parts of the status document have in common: how an instant and a problem look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(time_ns: int | None) -> str | None:
    """UTC with milliseconds, or None."""
    return None if time_ns is None else instant(time_ns // 1000, "milliseconds")


def instant(time_us: int, timespec: str = "auto") -> str:
    """UTC; the number itself where no calendar reaches: a record may hold any 64 bits."""
    try:
        return (_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec=timespec).replace("+00:00", "Z")
    except OverflowError:
        return f"{time_us} us"


def problem(what: str, since_ns: int | None, do: str | None) -> dict[str, Any]:
    """What is wrong, since when, what to do."""
    return {"what": what, "since": rfc3339(since_ns), "do": do}
