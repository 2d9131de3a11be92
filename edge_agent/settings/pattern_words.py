"""What a text must look like, in words: a regular expression says it to nobody who fills in a site's file."""

from __future__ import annotations

import re
from typing import Final

_SMALL: Final = "small letters, digits, _ and -, beginning with a letter or digit"

IN_WORDS: Final = {
    r"^[a-z0-9][a-z0-9_-]*$": f"a name of {_SMALL}",
    r"^[a-z0-9][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)+$": f"two names or more with dots between, each of {_SMALL}",
    r"^[A-Za-z0-9][A-Za-z0-9_-]*$": "a name of letters, digits, _ and -, beginning with a letter or digit",
    r"^[a-z][a-z0-9_]*$": "a name of small letters, digits and _, beginning with a letter",
    r"^[a-z0-9][a-z0-9_]*$": "a name of small letters, digits and _, beginning with a letter or digit",
    r"^(ns=\d+;)?[isgb]=.+$": 'a node id, like "ns=2;s=Press3.Temperature" or "i=2258"',
    r"^opc\.tcp://[^\s]+$": "an address that begins with opc.tcp://",
    r"^https?://[^\s/]+(/.*)?$": "an address that begins with https://",
    r"^https://[^\s/]+/[^\s]*$": "an address that begins with https:// and has a path behind the host",
    r"^[!-~]+$": "letters, digits and marks of ASCII, without blanks",
    r"^/[!-~]*$": "a path that begins with /, without blanks",
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$": "a time of day, like 22:00 or 06:30",
    r"^[^\s/:]{1,15}$": "the name of a network interface, like eth0 or wwan0 (ip link)",
    r"^[^\s/]+$": "a host's name or address alone, without // and path",
}
"""Every pattern in the schema of the settings."""

_WITH_UNIT: Final = re.compile(r"\s*[-+]?[\d._]+\s*[A-Za-z%/]+\s*")


def looks_like(pattern: str) -> str:
    """Return what should stand there; the pattern itself when nobody found words for it."""
    return IN_WORDS.get(pattern, f"a text like {pattern}")


def is_with_unit(given: object) -> bool:
    """Return whether this is a number with its unit in one text, like "30 s" or "1 GB"."""
    return isinstance(given, str) and _WITH_UNIT.fullmatch(given) is not None
