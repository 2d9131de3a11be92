"""JSON from outside, refused before it can cost much and where two readers could read it differently.

Constraints
- How many values it has is bounded before they are made: 8 MB of `[],[],` would become 200 MB of lists.
- UTF-8 only. A name that stands twice, a number of more than 20 digits or beyond what a float holds, NaN, and half a
  surrogate pair are refused: none of them is anybody's honest answer, and each ends somewhere else in an error.
- Whatever is wrong is a ValueError, with a message of one short line.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

from cloud_sync.host.printable import printable

MAX_VALUES: Final = 1_000_000
"""An answer that refuses each of 20,000 records (`pacing.MAX_RECORDS`) has a sixth of it; they take under 100 MB."""

_INTEGER_CHARS: Final = 20  # what 64 bits need, with a sign
_BEFORE_A_VALUE: Final = (b"[", b"{", b",", b":")
_HALF_A_PAIR: Final = re.compile(r"\\u[dD][89a-fA-F]")
_SHOWN: Final = 40


def parse_json(content: bytes, *, max_bytes: int, max_values: int = MAX_VALUES) -> Any:
    """Return the value. Raises ValueError."""
    if len(content) > max_bytes:
        raise ValueError(f"it is longer than {max_bytes} bytes")
    if sum(map(content.count, _BEFORE_A_VALUE)) > max_values:  # also those within texts: too many by far in any case
        raise ValueError(f"it has more than {max_values} values")
    text = content.decode("utf-8-sig")
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_refuse
        )
        if _HALF_A_PAIR.search(text):
            json.dumps(value, ensure_ascii=False).encode()  # a UnicodeEncodeError is a ValueError
    except RecursionError as exc:
        raise ValueError("it is nested too deep") from exc
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{printable(twice, limit=_SHOWN)!r} is in it twice")
    return made


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_CHARS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:_SHOWN]} is beyond every number")
    return number


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")
