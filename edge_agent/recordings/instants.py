"""Dates and times of day as loggers write them, to nanoseconds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_FRACTION: Final = r"(?:[.,:](?P<fraction>\d{1,9}))?"
_CLOCK: Final = (
    rf"(?P<hour>\d{{1,2}}):(?P<minute>\d{{2}})(?::(?P<second>\d{{2}}){_FRACTION})?(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_ZONE: Final = r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})?"
_DATES: Final = (
    r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})",
    r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})",
    r"(?P<a>\d{1,2})[/-](?P<b>\d{1,2})[/-](?P<year>\d{4})",
)
_INSTANTS: Final = tuple(re.compile(rf"{date}(?:[T\s]+{_CLOCK})?{_ZONE}") for date in _DATES)
_CLOCK_ONLY: Final = re.compile(_CLOCK)
_DAY_NS: Final = 86_400 * 10**9


class UnclearDateError(ValueError):
    """Day and month cannot be told apart."""


def is_instant(field: str) -> bool:
    """Return whether this is a date, with or without a time of day."""
    return any(pattern.fullmatch(field) for pattern in _INSTANTS)


def is_clock(field: str) -> bool:
    """Return whether this is a time of day."""
    return _CLOCK_ONLY.fullmatch(field) is not None


def instants(fields: Sequence[str]) -> NDArray[np.datetime64]:
    """Parse dates to datetime64[ns], UTC where a zone is written; NaT for what is no date.

    Raises UnclearDateError for 03/04/2026 when no field tells which is the day.
    """
    for pattern in _INSTANTS:
        if fields and pattern.fullmatch(fields[0]):
            return _instants(fields, pattern)
    return np.full(len(fields), "NaT", "datetime64[ns]")


def clocks(fields: Sequence[str]) -> NDArray[np.timedelta64]:
    """Parse times of day to timedelta64[ns] since midnight; NaT for what is no time of day."""
    times = [
        np.timedelta64(_clock_ns(match), "ns") if (match := _CLOCK_ONLY.fullmatch(field)) else np.timedelta64("NaT")
        for field in fields
    ]
    return np.array(times, "timedelta64[ns]")


def past_midnight(times: NDArray[np.timedelta64]) -> NDArray[np.timedelta64]:
    """Return times of day that run on: each midnight that is passed adds a day."""
    ns = times.astype(np.int64)
    # Back by more than half a day is midnight; back by less is a clock that was set.
    return (ns + _DAY_NS * np.cumsum(np.diff(ns, prepend=ns[:1]) < -_DAY_NS // 2)).astype("timedelta64[ns]")


def _instants(fields: Sequence[str], pattern: re.Pattern[str]) -> NDArray[np.datetime64]:
    matches = [pattern.fullmatch(field) for field in fields]
    is_day_first = "a" not in pattern.groupindex or _is_day_first([match for match in matches if match])
    return np.array([_instant(match, is_day_first=is_day_first) for match in matches], "datetime64[ns]")


def _is_day_first(matches: Sequence[re.Match[str]]) -> bool:
    if any(int(match["a"]) > 12 for match in matches):
        return True
    if any(int(match["b"]) > 12 for match in matches):
        return False
    if all(match["a"] == match["b"] for match in matches):
        return True
    raise UnclearDateError(matches[0].group())


def _instant(match: re.Match[str] | None, *, is_day_first: bool) -> np.datetime64:
    if match is None:
        return np.datetime64("NaT", "ns")
    parts: dict[str, Any] = match.groupdict()
    if "a" in parts:
        day, month = (parts["a"], parts["b"]) if is_day_first else (parts["b"], parts["a"])
    else:
        day, month = parts["day"], parts["month"]
    try:
        date = np.datetime64(f"{parts['year']}-{int(month):02d}-{int(day):02d}", "ns")
    except ValueError:
        return np.datetime64("NaT", "ns")
    clock_ns = 0 if parts["hour"] is None else _clock_ns(match)
    return date + np.timedelta64(clock_ns - _zone_ns(parts["zone"]), "ns")


def _clock_ns(match: re.Match[str]) -> int:
    hour, half = int(match["hour"]), (match["half"] or "").lower()
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    seconds = (hour * 60 + int(match["minute"])) * 60 + int(match["second"] or 0)
    return seconds * 10**9 + int((match["fraction"] or "0").ljust(9, "0"))


def _zone_ns(zone: str | None) -> int:
    if zone is None or zone[0] not in "+-":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[-2:])
    return (1 if zone[0] == "+" else -1) * minutes * 60 * 10**9
