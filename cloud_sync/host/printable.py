"""Foreign text made safe to show: what could steer a terminal, forge a line or turn its direction is written out.

Constraints
- The same characters on every Python: a list of ours, not `str.isprintable`, which grows with Unicode.
- What a person writes in any language stays as it is, also the joiners that Persian, Hindi and emoji need.
- A value of others that a message quotes is shortened before it is written out, however long it is: one that quotes all
  of what it refuses is as large as what was sent, once for every row that is refused.
- Safe text comes out unchanged, so it may be made safe at the border where it comes in and again where it is shown.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from typing import Any, Final

MAX_CHARS: Final = 2_000
"""One text in one sentence; a page of HTML or a megabyte of an answer helps nobody."""

QUOTED_CHARS: Final = 80
MESSAGE_CHARS: Final = 400
MAX_DEPTH: Final = 32
_CUT: Final = " ... "

_STEERING: Final = (
    "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f"  # C0, DEL and C1: escape sequences, bells, backspaces, carriage returns
    "\\xad\\u061c\\u180e\\u200b\\u200e\\u200f\\u202a-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb"  # unseen or turning
    "\\u2028\\u2029"  # end a line for some readers and not for others
    "\\ud800-\\udfff"  # half a surrogate pair: no encoder takes it
    "\\U000e0000-\\U000e007f"  # tags: text that nobody sees
)
_UNSAFE: Final = re.compile(f"[\\t\\n{_STEERING}]")
_UNSAFE_IN_LINES: Final = re.compile(f"[{_STEERING}]")

_short: Final = reprlib.Repr()
_short.maxstring = _short.maxother = QUOTED_CHARS
_short.maxlong = 40
_short.maxlevel = 2
_short.maxdict = _short.maxlist = _short.maxtuple = 4


def printable(text: object, *, limit: int = MAX_CHARS) -> str:
    """Return `text` as one line of at most `limit` characters, each control character written as its escape."""
    return _shortened(_UNSAFE.sub(_escape, _shortened(str(text), limit)), limit)


def printable_lines(text: object) -> str:
    """Return the same of a text of several lines and any length; line ends and tabs are kept."""
    return _UNSAFE_IN_LINES.sub(_escape, str(text))


def printable_tree(value: Any, *, limit: int = MAX_CHARS) -> Any:
    """Return a JSON-able value with every text in it made printable, keys too."""
    return _tree(value, limit, MAX_DEPTH)


def quoted(value: object) -> str:
    """Return the `repr` of a value, with its middle left out when it is long; control characters are escaped."""
    return printable(_short.repr(value), limit=QUOTED_CHARS)


def is_printable(text: str) -> bool:
    """Return whether `printable` would leave every character of it as it is."""
    return _UNSAFE.search(text) is None


def _tree(value: Any, limit: int, depth: int) -> Any:
    if isinstance(value, str):
        return printable(value, limit=limit)
    if not depth:
        return value if value is None or isinstance(value, bool | int | float) else "..."
    if isinstance(value, Mapping):
        return {printable(key, limit=limit): _tree(item, limit, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_tree(item, limit, depth - 1) for item in value]
    return value


def _shortened(text: str, limit: int) -> str:
    """Cut in the middle: what a message ends with often matters most."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head - len(_CUT)
    return f"{text[:head]}{_CUT}{text[len(text) - tail :]}"


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "backslashreplace").decode("ascii")
