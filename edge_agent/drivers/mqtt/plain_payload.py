"""Plain text and JSON messages as numbers: one field of a message, and when it was measured. Pure."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cloud_sync.host.printable import quoted
from edge_agent.drivers.number_text import number_in_text

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NS_PER_UNIT: Final = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (10**20, 1))
"""Below this number a time is in units of so many ns: seconds until the year 5138, then ms, us and ns."""


@dataclass(frozen=True, slots=True)
class FieldValue:
    """What a message has at one place: a number, or why there is none. `time_ns` is UTC, None when it says none."""

    number: float | int | None
    why: str = ""
    time_ns: int | None = None


def parse(payload: bytes) -> object:
    """Return the JSON of a message, or its text when it is none. Raise ValueError for what is no text."""
    try:
        text = payload.decode("utf-8-sig").strip()
    except UnicodeDecodeError as exc:
        raise ValueError("the message is no text") from exc
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def find(document: object, field: str, time_field: str | None) -> FieldValue:
    """Return the number at `field`, a path of names and list positions; empty is the whole message."""
    try:
        time_ns = None if time_field is None else time_of(_at(document, time_field))
        value = _at(document, field)
    except (KeyError, ValueError) as exc:
        return FieldValue(None, str(exc.args[0]))
    number = number_of(value)
    where = f"{field} is " if field else "the message is "
    return FieldValue(number, "" if number is not None else f"{where}{_described(value)}, not a finite number", time_ns)


def number_of(value: object) -> float | int | None:
    """Return a number, or None: also of true, false and a number in a string, with a decimal point or comma."""
    if isinstance(value, str):
        value = number_in_text(value)
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int):
        return value if abs(value) < 2**1023 else None
    return value if isinstance(value, float) and math.isfinite(value) else None


def time_of(value: object) -> int:
    """Return a time in ns since 1970 UTC: of ISO 8601 text (UTC unless it says), or of a number by its size.

    Raise ValueError for anything else.
    """
    try:
        if isinstance(value, str):
            given = datetime.fromisoformat(value.strip())
            aware = given if given.tzinfo is not None else given.replace(tzinfo=UTC)
            return (aware - _EPOCH) // timedelta(microseconds=1) * 1_000
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            factor = next(factor for limit, factor in _NS_PER_UNIT if 0 < value < limit)
            return round(value * factor)
    except (ValueError, OverflowError, StopIteration):
        pass
    raise ValueError(f"{_described(value)} is no time: ISO 8601, or a number of s, ms, us or ns since 1970")


def _at(document: object, path: str) -> object:
    here: Any = document
    for name in path.split(".") if path else ():
        if isinstance(here, dict) and name in here:
            here = here[name]
        elif isinstance(here, list) and name.isdecimal() and int(name) < len(here):
            here = here[int(name)]
        else:
            raise KeyError(f"the message has no {path}")
    return here


def _described(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return quoted(value)
