"""Hours of the day in which a link is left alone. Pure: the time of day is handed in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import time

from cloud_sync.records import RecordClass


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start` (included) to `end` (not included), over midnight when `end` is the earlier one."""

    start: time
    end: time
    are_events_sent: bool = True

    def __post_init__(self) -> None:
        if self.start == self.end:
            raise ValueError("quiet hours that begin and end at the same time are none, or all day")

    def includes(self, now: time) -> bool:
        """Return whether this time of day lies in them."""
        if self.start < self.end:
            return self.start <= now < self.end
        return now >= self.start or now < self.end


def withheld_at(hours: Iterable[QuietHours], now: time) -> frozenset[RecordClass]:
    """Return the classes of records that wait at this time of day."""
    quiet = [one for one in hours if one.includes(now)]
    if not quiet:
        return frozenset()
    if all(one.are_events_sent for one in quiet):
        return frozenset({RecordClass.READING})
    return frozenset(RecordClass)
