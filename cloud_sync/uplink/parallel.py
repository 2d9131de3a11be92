"""How many requests carry a backlog at a time: more only while more of them deliver more.

Two fill a link whose bandwidth is the limit: one travels while the other waits for its answer. More help where each
request is at its largest and the round trip is long, and where each connection is slowed by losses. Which of the two
it is cannot be computed from the outside, so it is tried, as BBR's start-up does: half as many again, and back when
the rate did not follow.

Pure arithmetic; times are seconds of a monotonic clock that the caller hands in.
"""

from __future__ import annotations

import math
from typing import Final

TRY_AGAIN_S: Final = 600.0
PLATEAU: Final = 1.25
"""Growth of the rate below which the size of a request no longer raises it (BBR's start-up ends so)."""
WORTH: Final = 0.5
"""Of the added requests' share: what the rate must have grown by for them to stay."""

_GROWTH: Final = 1.5
_LEAST_ANSWERS: Final = 6


class Parallel:
    """`number` of requests, at most `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.number = min(2, most)
        self._before = 0
        """How many there were before the present trial; 0 while none is made."""
        self._rate_before: float | None = None
        self._not_before_s = 0.0
        self._answers = 0
        self._began_s = 0.0
        self._began_delivered = 0

    @property
    def floors(self) -> float:
        """A request shall take so many floors. One alone waits a floor for each answer and fills five sixths of the
        link; of two one travels while the other waits. When more are worth it, what each connection can do is the
        limit, and together they carry four floors' worth."""
        return {1: 5.0, 2: 1.5}.get(self.number, 4.0 / self.number)

    def note(self, *, is_full: bool, delivered: int, now_s: float) -> None:
        """A request with old records was answered; `delivered` bytes in all so far."""
        if not is_full:
            self._answers = 0  # there was not enough to tell
            return
        self._answers += 1
        if self._answers <= self.number:  # what went out before
            self._began_s, self._began_delivered = now_s, delivered
        if self._answers < self.number + max(self.number, _LEAST_ANSWERS) or now_s <= self._began_s:
            return
        self._answers = 0
        self._judge((delivered - self._began_delivered) / (now_s - self._began_s), now_s=now_s)

    def rest(self) -> None:
        """Something failed: what was measured meanwhile says nothing."""
        self._answers, self._rate_before = 0, None
        if self._before:
            self.number, self._before = self._before, 0

    def forget(self) -> None:
        """Begin anew: it is another link."""
        self.rest()
        self.number = min(2, self._most)
        self._not_before_s = 0.0

    def _judge(self, rate: float, *, now_s: float) -> None:
        before = self._rate_before
        self._rate_before = rate
        if before is None:
            return
        if self._before:
            added = (self.number - self._before) / self._before
            is_worth_it = rate >= before * (1.0 + WORTH * added)
            if not is_worth_it:
                self.number, self._rate_before = self._before, None
                self._not_before_s = now_s + TRY_AGAIN_S
            self._before = 0
            if not is_worth_it:
                return
        elif rate >= PLATEAU * before:
            return
        if self.number < self._most and now_s >= self._not_before_s:
            self._before = self.number
            self.number = min(self._most, math.ceil(_GROWTH * self.number))
