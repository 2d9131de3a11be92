"""The span of time that a digest is asked for, and how much one answer may hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from cloud_sync.host.printable import quoted
from cloud_sync.row_rules import timestamp

MAX_HOURS: Final = 100_000
"""Sensors times hours in one answer: about 15 MB of JSON."""
MAX_SPAN: Final = timedelta(days=31)


def span(parameters: Mapping[str, str]) -> tuple[datetime, datetime]:
    """Return `from` and `to` of a query. Raises ValueError with words for the caller."""
    start, end = _moment(parameters, "from"), _moment(parameters, "to")
    if not start < end <= start + MAX_SPAN:
        raise ValueError(f"`to` must be after `from`, by at most {MAX_SPAN.days} days")
    return start, end


def covers_values(parameters: Mapping[str, str]) -> bool:
    """Return whether the hash of values is asked for as well. Raises ValueError with words for the caller."""
    covers = parameters.get("covers", "keys")
    if covers not in ("keys", "values"):
        raise ValueError(f"`covers` is `keys` or `values`, not {quoted(covers)}")
    return covers == "values"


def _moment(parameters: Mapping[str, str], name: str) -> datetime:
    text = parameters.get(name, "")
    try:
        moment = timestamp(int(text)) if text.isdecimal() else datetime.fromisoformat(text)
    except (ValueError, OverflowError) as exc:
        raise ValueError(f"`{name}` must be microseconds since the epoch or an ISO 8601 time: {quoted(text)}") from exc
    if moment.tzinfo is None:
        raise ValueError(f"`{name}` needs a time zone, such as Z: {quoted(text)}")
    return moment
