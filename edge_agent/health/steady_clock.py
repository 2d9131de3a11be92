"""A clock without steps: what the wall clock said when the agent began, and counted on since the boot from there.

Everything that is measured is stamped by it, so that nothing in the agent sees a wall clock that is set. Slewing
does not show either: the kernel slews the time since boot alike. `scale` says what its times are in UTC.
"""

from __future__ import annotations

from typing import Final

from cloud_sync.timescale import Timescale
from edge_agent.core.clock import Clock

_LOOKS: Final = 5
"""The two clocks cannot be read at one moment; the closest of some looks counts."""


class SteadyClock:
    """Over the machine's own clocks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.offset_us = wall_offset_us(clock)
        """What its times are later than the time since boot."""
        self.scale = Timescale(self.now_ns() // 1000)
        self.is_known = True
        """False while nobody knows what its times are in UTC."""

    def now_ns(self) -> int:
        return self._clock.boottime_ns() + self.offset_us * 1000

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()

    def boottime_ns(self) -> int:
        return self._clock.boottime_ns()

    def of_utc(self, utc_ns: int) -> int | None:
        return utc_ns - self.scale.by_us * 1000 if self.is_known else None

    def to_utc(self, time_ns: int) -> int:
        return time_ns if self.scale.is_identity else self.scale.utc_us(time_ns // 1000) * 1000

    def wall_offset_us(self) -> int:
        """Return how much later the wall clock is than the time since boot, now."""
        return wall_offset_us(self._clock)

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


class UtcClock:
    """A steady clock's time in UTC, as far as it is known: for what is not measured. Steps when it becomes known."""

    def __init__(self, steady: SteadyClock) -> None:
        self._steady = steady

    def now_ns(self) -> int:
        return self._steady.to_utc(self._steady.now_ns())

    def monotonic_s(self) -> float:
        return self._steady.monotonic_s()

    def boottime_ns(self) -> int:
        return self._steady.boottime_ns()

    def of_utc(self, utc_ns: int) -> int | None:
        return utc_ns

    def to_utc(self, time_ns: int) -> int:
        return time_ns

    async def sleep(self, seconds: float) -> None:
        await self._steady.sleep(seconds)


def wall_offset_us(clock: Clock) -> int:
    """Return how much later the wall clock is than the time since boot, now."""
    looks = []
    for _ in range(_LOOKS):
        before_ns, wall_ns, after_ns = clock.boottime_ns(), clock.now_ns(), clock.boottime_ns()
        looks.append((after_ns - before_ns, wall_ns - (before_ns + after_ns) // 2))
    return min(looks)[1] // 1000
