"""What time the central has, as its answers say: how far its clock is from this box's time since boot, and within what.

An answer was made after its request began to be sent, and before it came: so far, and as far as its own time is
coarse, the central's clock is known from it (Cristian, Probabilistic clock synchronization, 1989). Answers that do not
contradict each other are taken together; of those that do the newest counts, for a central's clock may be set too.

Constraints
- Only what the central itself said is noted; who that is, the transports know.
- Nothing here reads a wall clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

DATE_SPAN_US: Final = 2_000_000
"""An HTTP Date names a second (RFC 9110, 5.6.7), and servers make it up to once in a second."""
_DRIFT_PER: Final = 5_000
"""What was heard is wider by a 5000th of its age: 200 ppm, twice what the crystal of a poor box is off."""


@dataclass(frozen=True, slots=True)
class CentralClock:
    """The central's UTC minus the time since this box's boot: `offset_us`, give or take `within_us`.

    `answers` have said the time by now.
    """

    offset_us: int
    within_us: int
    answers: int = 1


class CentralTime:
    """One per agent, shared by everything that hears the central; `now_us` is the time since boot, in microseconds."""

    def __init__(self, now_us: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000) -> None:
        self.now_us = now_us
        self._least_us = self._most_us = self._heard_us = 0
        self._answers = 0

    @property
    def clock(self) -> CentralClock | None:
        """Return the central's clock as far as it is known now; None before any answer."""
        if not self._answers:
            return None
        least_us, most_us = self._aged(self.now_us())
        return CentralClock((least_us + most_us) // 2, (most_us - least_us + 1) // 2, self._answers)

    def note(self, time_us: int, *, span_us: int = 0, asked_us: int, answered_us: int) -> None:
        """Take what an answer says: when it was made, the central's clock showed `time_us`, or up to `span_us` more.

        `asked_us` and `answered_us` are moments of `now_us`: the request began to go out, the answer was here.
        """
        least_us, most_us = time_us - answered_us, time_us + span_us - asked_us
        if self._answers:
            before_least_us, before_most_us = self._aged(answered_us)
            if before_least_us <= most_us and least_us <= before_most_us:
                least_us, most_us = max(least_us, before_least_us), min(most_us, before_most_us)
        self._least_us, self._most_us, self._heard_us = least_us, most_us, answered_us
        self._answers += 1

    def _aged(self, now_us: int) -> tuple[int, int]:
        by_us = max(0, now_us - self._heard_us) // _DRIFT_PER
        return self._least_us - by_us, self._most_us + by_us
