"""What all parts of the status document have in common: how an instant and a problem look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar, cast

from edge_agent.core.clock import instant

T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANTS: Final = frozenset({"since", "time", "reported", "withheld_since"})


def rfc3339(time_ns: int | None) -> str | None:
    """Return an instant as RFC 3339 in UTC with milliseconds, or None."""
    return None if time_ns is None else instant(time_ns // 1000, "milliseconds")


def in_utc(part: T, utc_us: Callable[[int], int]) -> T:
    """Return a part of the document whose instants are of the agent's own clock, with them in UTC."""
    return cast("T", _in_utc(part, utc_us))


def _in_utc(part: Any, utc_us: Callable[[int], int]) -> Any:
    if isinstance(part, dict):
        return {
            name: _instant_in_utc(item, utc_us) if name in _INSTANTS else _in_utc(item, utc_us)
            for name, item in part.items()
        }
    return [_in_utc(item, utc_us) for item in part] if isinstance(part, list) else part


def _instant_in_utc(text: str | None, utc_us: Callable[[int], int]) -> str | None:
    if text is None:
        return None
    time_us = (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
    return rfc3339(utc_us(time_us) * 1000)


def problem(what: str, since_ns: int | None, do: str | None) -> dict[str, Any]:
    """Return an entry of `problems`: what is wrong, since when, what to do."""
    return {"what": what, "since": rfc3339(since_ns), "do": do}
