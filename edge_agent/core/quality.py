"""How far a value can be trusted: OPC UA's three severities, and the central's 0..1 scale."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Quality(IntEnum):
    """Worst wins when values are combined: `max(a, b)`."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


CENTRAL_QUALITY: Final = {Quality.GOOD: 1.0, Quality.UNCERTAIN: 0.4, Quality.BAD: 0.0}
"""The number sent to the central. BAD never leaves as a row: it is a gap with a cause."""

UNSYNCED_CLOCK_CAP: Final = 0.5
"""No value stamped by an unsynchronised clock may claim more quality than this."""

EXACT_MAX: Final = 2**53
"""Up to here, on both sides of zero, every integer is a double of its own; a larger one is UNCERTAIN (decision 36)."""


def exact_digits(raw: int) -> str:
    """Return the status of a reading whose integer is beyond EXACT_MAX: the digits that its row cannot hold."""
    return f"exactly {raw}; beyond 2^53 a row holds only the nearest double"
