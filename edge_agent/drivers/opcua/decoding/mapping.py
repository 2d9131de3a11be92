"""An OPC UA value with its status and timestamp, as a reading.

The two highest bits of a StatusCode are its severity (OPC 10000-4, 7.39.1); a reserved severity counts as
bad. A BAD reading has no value, whatever the server sent along. Pure: knows no library.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading, Tag
from edge_agent.drivers.opcua.decoding.number import Number
from edge_agent.drivers.row_time import RowStamp, TimeOf

_SEVERITY_SHIFT: Final = 30
_SEVERITIES: Final = (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD)

# InfoType "DataValue" (bits 10 and 11 are 01) with the overflow bit (OPC 10000-4, 7.39.2).
_INFO_TYPE_MASK: Final = 0x0C00
_INFO_TYPE_DATA_VALUE: Final = 0x0400
_OVERFLOW_BIT: Final = 0x0080

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH: Final = _EPOCH.replace(tzinfo=None)
_ZERO: Final = datetime(1601, 1, 1, tzinfo=UTC) - _EPOCH
_ZERO_DAYS: Final = _ZERO.days


def to_reading(
    tag: Tag, *, number: Number, status_code: int, status: str, stamp: RowStamp, received_time_ns: int, word: str = ""
) -> Reading:
    """Return the reading. `status` is the code in words; the reading's adds what is wrong with value or time."""
    quality = quality_of(status_code)
    value = number.value
    if quality is Quality.BAD:
        value = None
    elif value is None:
        quality = Quality.BAD
        status += f", but {number.detail}"
    else:
        if not number.is_exact or stamp.is_ahead:
            quality = Quality.UNCERTAIN
        status += f"; {number.detail}" if number.detail else ""
    if stamp.detail and value is not None:
        status += f"; {stamp.detail}: the row has the {stamp.of.value}'s"
    source_time_ns = None if stamp.of is TimeOf.GATEWAY else stamp.time_ns
    return Reading(tag, value, quality, source_time_ns, received_time_ns, status, word if value is not None else "")


def quality_of(status_code: int) -> Quality:
    """Return the severity of a StatusCode."""
    return _SEVERITIES[status_code >> _SEVERITY_SHIFT & 0b11]


def says_overflow(status_code: int) -> bool:
    """Return whether the server's queue for this node was full: values between this one and its neighbour are lost."""
    return status_code & _INFO_TYPE_MASK == _INFO_TYPE_DATA_VALUE and bool(status_code & _OVERFLOW_BIT)


def utc_ns(time: datetime | None) -> int | None:
    """Return UTC, ns since the epoch; None when the server gives none.

    A naive datetime is UTC, as everything in OPC UA. Its zero, the year 1601, is how a server says that it has none.
    """
    if time is None:
        return None
    since = time - (_NAIVE_EPOCH if time.tzinfo is None else _EPOCH)
    if since.days <= _ZERO_DAYS and since <= _ZERO:
        return None
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000
