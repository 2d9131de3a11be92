"""An OPC UA value with its status and timestamp, as a reading.

The two highest bits of a StatusCode are its severity (OPC 10000-4, 7.39.1); a reserved severity counts as
bad. A BAD reading has no value, whatever the server sent along. Pure: knows no library.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading, Tag

_SEVERITY_SHIFT: Final = 30
_SEVERITIES: Final = (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD)

# InfoType "DataValue" (bits 10 and 11 are 01) with the overflow bit (OPC 10000-4, 7.39.2).
_INFO_TYPE_MASK: Final = 0x0C00
_INFO_TYPE_DATA_VALUE: Final = 0x0400
_OVERFLOW_BIT: Final = 0x0080

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST: Final = datetime(2010, 1, 1, tzinfo=UTC)
"""Clocks that were never set start in 1601, 1970, 1990 or 2000: such a timestamp says nothing."""


class SequenceWatch:
    """Counts the notifications that never came. Numbers go up by one and start over at 1 (OPC 10000-4, 5.14.1.1)."""

    def __init__(self) -> None:
        self._expected: int | None = None

    def missed_before(self, sequence_number: int) -> int:
        """Return how many are missing between the notification before and this one; 0 when it is older or the first."""
        expected, self._expected = self._expected, sequence_number + 1
        return 0 if expected is None else max(0, sequence_number - expected)


def to_reading(
    tag: Tag,
    *,
    value: object,
    status_code: int,
    status_name: str,
    source_time: datetime | None,
    received_time_ns: int,
    of_utc: Callable[[int], int | None] = lambda utc_ns: utc_ns,
) -> Reading:
    """Return the reading; `status` keeps the server's code and name, or says why the value is no number.

    `of_utc` gives the server's time on our clock; None while nobody knows how far ours is off.
    """
    quality = quality_of(status_code)
    status = f"0x{status_code:08X} {status_name}"
    number: float | None = None
    if quality is not Quality.BAD:
        number = _number(value)
        if number is None:
            quality = Quality.BAD
            status += f", but the value is {_described(value)}, not a finite number"
    source_ns = source_time_ns(source_time)
    return Reading(tag, number, quality, None if source_ns is None else of_utc(source_ns), received_time_ns, status)


def quality_of(status_code: int) -> Quality:
    """Return the severity of a StatusCode."""
    return _SEVERITIES[status_code >> _SEVERITY_SHIFT & 0b11]


def says_overflow(status_code: int) -> bool:
    """Return whether the server's queue for this node was full: values between this one and its neighbour are lost."""
    return status_code & _INFO_TYPE_MASK == _INFO_TYPE_DATA_VALUE and bool(status_code & _OVERFLOW_BIT)


def source_time_ns(source_time: datetime | None) -> int | None:
    """Return UTC, ns since the epoch; None when the server gives none, or one its clock was never set to.

    A naive datetime is UTC, as everything in OPC UA.
    """
    if source_time is None:
        return None
    aware = source_time.replace(tzinfo=UTC) if source_time.tzinfo is None else source_time
    if aware < _EARLIEST:
        return None
    return (aware - _EPOCH) // timedelta(microseconds=1) * 1_000


def _number(value: object) -> float | None:
    if not isinstance(value, (bool, int, float)):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _described(value: object) -> str:
    if value is None:
        return "empty"
    return str(value) if isinstance(value, float) else f"a {type(value).__name__}"
