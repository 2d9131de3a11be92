"""Texts of others in words of ours: shortened before they are made, however long the text is.

A message that quotes all of what it refuses is as large as what was sent, once for every row that is refused.
"""

from __future__ import annotations

import reprlib
from typing import Final

QUOTED_CHARS: Final = 80
MESSAGE_CHARS: Final = 400

_short: Final = reprlib.Repr()
_short.maxstring = _short.maxother = QUOTED_CHARS
_short.maxlong = 40
_short.maxlevel = 2
_short.maxdict = _short.maxlist = _short.maxtuple = 4


def quoted(value: object) -> str:
    """Return what `repr` says of a value, with its middle left out when it is long; control characters are escaped."""
    return bounded(_short.repr(value), QUOTED_CHARS)


def bounded(text: str, chars: int = MESSAGE_CHARS) -> str:
    """Return a text of at most so many characters: its beginning and its end."""
    if len(text) <= chars:
        return text
    tail = chars // 4
    return f"{text[: chars - tail - 3]}...{text[-tail:]}"
