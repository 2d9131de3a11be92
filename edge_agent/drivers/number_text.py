"""A number that a device sends as text: with a decimal point or a comma, as plants write it. Pure."""

from __future__ import annotations

import re
from typing import Final

_NUMBER: Final = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)
_MOST_DIGITS: Final = 400
"""A longer integer is beyond every double, and takes long to convert."""


def number_in_text(text: str) -> int | float | None:
    """Return the number that a text holds and nothing else, an integer exactly; None when there is none."""
    stripped = text.strip()
    if not _NUMBER.fullmatch(stripped):
        return None
    is_integer = stripped.lstrip("+-").isdigit()
    return int(stripped) if is_integer and len(stripped) < _MOST_DIGITS else float(stripped.replace(",", "."))
