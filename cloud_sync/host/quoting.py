"""Values of others in words of ours: shortened before they are written out, however long they are.

A message that quotes all of what it refuses is as large as what was sent, once for every row that is refused.
"""

from __future__ import annotations

import reprlib
from typing import Final

from cloud_sync.host.printable import printable

QUOTED_CHARS: Final = 80
MESSAGE_CHARS: Final = 400

_short: Final = reprlib.Repr()
_short.maxstring = _short.maxother = QUOTED_CHARS
_short.maxlong = 40
_short.maxlevel = 2
_short.maxdict = _short.maxlist = _short.maxtuple = 4


def quoted(value: object) -> str:
    """Return the `repr` of a value, with its middle left out when it is long; control characters are escaped."""
    return printable(_short.repr(value), limit=QUOTED_CHARS)
