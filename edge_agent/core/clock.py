"""Time as a constructor parameter: wall clock for stamps, monotonic for durations and deadlines; stamps as text."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    def now_ns(self) -> int:
        """Return UTC, ns since the epoch. May jump."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that only ever go forward. No meaning between processes."""
        ...

    def boottime_ns(self) -> int:
        """Return nanoseconds since the box was started, suspended time included. Never jumps."""
        ...

    def of_utc(self, utc_ns: int) -> int | None:
        """Return a device's own UTC time on this clock; None while nobody knows how far this clock is off."""
        ...

    def to_utc(self, time_ns: int) -> int:
        """Return a time of this clock in UTC, as far as that is known."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait so long."""


class SystemClock:
    """The machine's own clocks."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()

    def boottime_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def of_utc(self, utc_ns: int) -> int | None:
        return utc_ns

    def to_utc(self, time_ns: int) -> int:
        return time_ns

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FakeClock:
    """A clock that moves only when told to, or when somebody sleeps on it."""

    def __init__(self, start_ns: int = 1_700_000_000_000_000_000) -> None:
        self._wall_ns = start_ns
        self._monotonic_s = 0.0

    def now_ns(self) -> int:
        return self._wall_ns

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def boottime_ns(self) -> int:
        return round(self._monotonic_s * 1e9)

    def of_utc(self, utc_ns: int) -> int | None:
        return utc_ns

    def to_utc(self, time_ns: int) -> int:
        return time_ns

    def advance(self, seconds: float) -> None:
        """Move time on, and wake who sleeps until then."""
        self._monotonic_s += seconds
        self._wall_ns += round(seconds * 1e9)

    def step_wall(self, seconds: float) -> None:
        """Make the wall clock jump (NTP, an operator); durations are not touched."""
        self._wall_ns += round(seconds * 1e9)

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)


def instant(time_us: int, timespec: str = "auto") -> str:
    """Return it as RFC 3339, UTC; the number itself where no calendar reaches: a record may hold any 64 bits."""
    try:
        return (_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec=timespec).replace("+00:00", "Z")
    except OverflowError:
        return f"{time_us} us"
