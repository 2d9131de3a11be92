"""How many bytes a link may carry in a day or a month, and what goes while they last. Pure arithmetic.

Constraints
- What is charged stays charged: a clock that jumps, or goes back, starts no new period. One begins when its first
  moment is seen to pass, or is there by a clock that is synchronised.
- A share is kept for events. They are sent whatever is left: an alarm is worth more than the last kilobyte.

The pace is a straight line from nothing at the period's begin to all but the reserve at its end. What is above it is
forecast to run out, since it is as far above as the use so far, gone on with, would end above the limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from datetime import time as time_of_day
from enum import StrEnum
from typing import Final

HEAD_START: Final = 1 / 24
"""Of the period, at its begin: what the first minutes need says nothing about the whole."""
LATEST_START: Final = 28
"""The last day of the month that each month has."""


class Period(StrEnum):
    DAY = "day"
    MONTH = "month"


class Level(StrEnum):
    """What goes, from most to least."""

    EVERYTHING = "everything"
    NEWEST = "newest"  # events and the newest readings, less often; older readings wait
    EVENTS = "events"  # readings wait until the period ends


@dataclass(frozen=True, slots=True)
class Span:
    start: datetime
    end: datetime

    def share(self, now: datetime) -> float:
        """Return how much of it has passed, 0 to 1."""
        return min(1.0, max(0.0, (now - self.start) / (self.end - self.start)))


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """`zone` is that of the calendar, None the box's own; a month begins on its day `starts_on`."""

    period: Period
    limit_bytes: int
    reserve_share: float = 0.1
    zone: tzinfo | None = None
    starts_on: int = 1

    def __post_init__(self) -> None:
        if self.limit_bytes <= 0:
            raise ValueError(f"a budget of {self.limit_bytes} bytes would send nothing")
        if not 0 <= self.reserve_share < 1:
            raise ValueError(f"a reserve of {self.reserve_share} leaves nothing for readings")
        if not 1 <= self.starts_on <= LATEST_START:
            raise ValueError(f"a month cannot begin on day {self.starts_on}; 1 to {LATEST_START}")

    @property
    def usable_bytes(self) -> float:
        """Return what readings may use."""
        return self.limit_bytes * (1 - self.reserve_share)

    def span_of(self, now: datetime) -> Span:
        """Return the period that a moment lies in."""
        today = now.astimezone(self.zone).date()
        if self.period is Period.DAY:
            return Span(self._midnight(today), self._midnight(today + timedelta(days=1)))
        first = today.replace(day=self.starts_on)
        if today < first:
            first = _month_before(first)
        return Span(self._midnight(first), self._midnight(_month_after(first)))

    def _midnight(self, day: date) -> datetime:
        begin = datetime.combine(day, time_of_day(), self.zone)
        return begin if self.zone is not None else begin.astimezone()


@dataclass(frozen=True, slots=True)
class Spent:
    """What is kept between two starts: the period, and the bytes charged to it."""

    start: datetime
    used_bytes: int


class Budget:
    """One rule, and what was charged. `before` is from an earlier run, None when there was none."""

    def __init__(self, rule: BudgetRule, now: datetime, before: Spent | None = None) -> None:
        self.rule = rule
        self._now = now
        self._seen = rule.span_of(now)
        """The period of the newest charge by the clock, whether the clock is believed or not."""
        self.spent = before or Spent(self._seen.start, 0)

    def charge(self, count: int, now: datetime, *, is_synced: bool, is_continuous: bool) -> None:
        """Add bytes. `is_continuous`: since the charge before, the clock went on by as much as time passed."""
        span = self.rule.span_of(now)
        has_passed = is_continuous and span.start > self._seen.start
        self._now, self._seen = now, span
        if span.start > self.spent.start and (is_synced or has_passed):
            self.spent = Spent(span.start, 0)
        elif span.start < self.spent.start and is_synced:
            self.spent = Spent(span.start, self.spent.used_bytes)
        if count:
            self.spent = Spent(self.spent.start, self.spent.used_bytes + count)

    @property
    def span(self) -> Span:
        """Return the period that is charged."""
        return self.rule.span_of(self.spent.start)

    @property
    def level(self) -> Level:
        """Return what may go now."""
        if self.spent.used_bytes >= self.rule.usable_bytes:
            return Level.EVENTS
        return Level.NEWEST if self.allowance_bytes <= 0 else Level.EVERYTHING

    @property
    def allowance_bytes(self) -> float:
        """Return what may be used now without being ahead of the pace; negative when it is."""
        return self.rule.usable_bytes * max(HEAD_START, self.span.share(self._now)) - self.spent.used_bytes

    @property
    def forecast_bytes(self) -> int:
        """Return what the whole period will take, when it goes on as it did so far."""
        return round(self.spent.used_bytes / max(HEAD_START, self.span.share(self._now)))

    def seconds_for(self, count: float) -> float:
        """Return how long it takes until the rest of the period has so many bytes for readings to spare."""
        left_s = (self.span.end - self._now).total_seconds()
        left = self.rule.usable_bytes - self.spent.used_bytes
        if left_s <= 0:
            return 0.0
        return left_s if left <= 0 else min(left_s, count * left_s / left)


def spent_unknown(rule: BudgetRule, now: datetime) -> Spent:
    """Return what is taken for spent when nothing is known of it: as much as the pace allows by now."""
    span = rule.span_of(now)
    return Spent(span.start, round(rule.usable_bytes * span.share(now)))


def _month_before(day: date) -> date:
    return (day.replace(day=1) - timedelta(days=1)).replace(day=day.day)


def _month_after(day: date) -> date:
    return (day.replace(day=LATEST_START) + timedelta(days=4)).replace(day=day.day)
