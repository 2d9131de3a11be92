"""The number in an OPC UA value: of a scalar, of an element of an array, of a text that holds one. Pure.

What is no number is said in OPC UA's words, never guessed: a text only where the site asks for it, an array without an
index only when it has one element.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from edge_agent.core.quality import EXACT_MAX, exact_digits
from edge_agent.drivers.number_text import number_in_text

_SHOWN: Final = 40  # characters of a text in a message
_NAMES: Final[tuple[tuple[type, str], ...]] = (
    (str, "a String"),
    (bytes, "a ByteString"),
    (datetime, "a DateTime"),
    (UUID, "a Guid"),
)


class Number(NamedTuple):
    """A value's number, or None and why there is none in `detail`; `raw` is it before scaling.

    `is_exact` is False for an integer that a double does not hold; `detail` is the integer then.
    """

    value: float | None
    detail: str = ""
    is_exact: bool = True
    raw: int | float | None = None


def number_in(
    value: object, *, index: Sequence[int] = (), parse: bool = False, scale: float = 1.0, offset: float = 0.0
) -> Number:
    """Return `raw * scale + offset` of the element at `index`; `parse` takes a text that holds a number."""
    if type(value) is float and not index and math.isfinite(number := value * scale + offset):
        return Number(number, raw=value)  # nearly all of them
    found = _element(value, index)
    raw = _parsed(found) if parse and isinstance(found, str) else found
    if isinstance(raw, Number):
        return raw
    if not isinstance(raw, bool | int | float):
        return Number(None, f"the value is {described(raw)}, not a number{_what_would_help(raw)}")
    try:
        number = float(raw) * scale + offset
    except OverflowError:
        return Number(None, "the value is an integer beyond what a number holds")
    if not math.isfinite(number):
        return Number(None, f"the value is {raw if isinstance(raw, float) else number}, not a finite number")
    if isinstance(raw, int) and abs(raw) > EXACT_MAX:
        return Number(number, exact_digits(raw), is_exact=False, raw=raw)
    return Number(number, raw=raw)


def described(value: object) -> str:
    """Return what a value is, in OPC UA's words."""
    if value is None:
        return "empty"
    if isinstance(value, list | tuple):
        return f"an array of {len(value)} values"
    name = next((name for kind, name in _NAMES if isinstance(value, kind)), f"a {type(value).__name__}")
    if isinstance(value, str):
        return f'{name} "{value[:_SHOWN]}{"..." if len(value) > _SHOWN else ""}"'
    return f"{name} of {len(value)} bytes" if isinstance(value, bytes) else name


def _element(value: object, index: Sequence[int]) -> object:
    """Return the element that is meant, or a Number that says why there is none."""
    for place in index:
        if not isinstance(value, list | tuple | bytes):
            return Number(None, f"the value is {described(value)}: it has no element {_written(index)}")
        if place >= len(value):
            return Number(None, f"the value is {described(value)}: it has no element {_written(index)}, the first is 0")
        value = value[place]
    while isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, list | tuple) and value:
        return Number(None, f"the value is {described(value)}: choose one with index = 0 to {len(value) - 1}")
    return value


def _what_would_help(value: object) -> str:
    holds_one = isinstance(value, str) and not isinstance(_parsed(value), Number)
    return ": parse = true at its node takes the number in it" if holds_one else ""


def _written(index: Sequence[int]) -> str:
    return str(index[0]) if len(index) == 1 else str(list(index))


def _parsed(text: str) -> int | float | Number:
    number = number_in_text(text)
    if number is None:
        return Number(None, f'the value is {described(text)}, which holds no number like "42.5" or "42,5"')
    return number
