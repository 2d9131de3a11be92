"""How many requests carry a backlog at a time: more only while more of them deliver more.

Two fill a link whose bandwidth is the limit: one travels while the other waits for its answer. More help where each
request is at its largest and the round trip is long, and where each connection is slowed by losses. Which of the two
it is cannot be computed from the outside, so it is tried, as BBR's start-up does: twice as many, and back when the rate
did not follow.

Pure arithmetic; times are seconds of a monotonic clock that the caller hands in.
"""

from __future__ import annotations

from typing import Final

TRY_AGAIN_S: Final = 600.0
PLATEAU: Final = 1.25
"""Growth of the rate below which the size of a request no longer raises it (BBR's start-up ends so)."""
LEAST_GAIN: Final = 0.3
"""Of the added requests' share: what the rate must have grown by for them to stay."""

_GROWTH: Final = 2
_LEAST_ANSWERS: Final = 4
_SETTLE: Final = 1
_SETTLE_TRIAL: Final = 3
"""Answers for each request at a time that are not counted: new connections are made, and TCP's windows grow."""


class Parallel:
    """`number` of requests, at most `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.number = min(2, most)
        self._before = 0
        """How many there were before the present attempt; 0 while none is made."""
        self._rate_before: float | None = None
        self._not_before_s = 0.0
        self._answers = 0
        self._began_s = 0.0
        self._bytes = 0

    @property
    def floors(self) -> float:
        """Return how many floors a request shall take.

        One alone waits a floor for each answer and fills five sixths of the link; of two one travels while the other
        waits. When more pay, what each connection can do is the limit, and together they carry what six floors do.
        """
        return {1: 5.0, 2: 1.5}.get(self.number, 6.0 / self.number)

    def note(self, body_bytes: int, *, is_full: bool, now_s: float) -> None:
        """Learn from the answer to a request with so many old bytes."""
        if not is_full:
            self.pause()
            return
        self._answers += 1
        self._bytes += body_bytes
        settling = (_SETTLE_TRIAL if self._before else _SETTLE) * self.number
        if self._answers <= settling:
            self._began_s, self._bytes = now_s, 0
        elif self._answers >= settling + max(2 * self.number, _LEAST_ANSWERS) and now_s > self._began_s:
            self._judge(self._bytes / (now_s - self._began_s), now_s=now_s)
            self._answers = 0

    def pause(self) -> None:
        """Start the measurement over: there was not enough in flight to tell."""
        self._answers = 0

    def rest(self) -> None:
        """Drop what was measured meanwhile: something failed."""
        self._answers, self._rate_before = 0, None
        if self._before:
            self.number, self._before = self._before, 0

    def forget(self) -> None:
        """Start over: it is another link."""
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
            pays = rate >= before * (1.0 + LEAST_GAIN * added)
            if not pays:
                self._go_back(now_s)
                return
            self._before = 0
        elif rate >= PLATEAU * before:
            return
        if self.number < self._most and now_s >= self._not_before_s:
            self._before = self.number
            self.number = min(self._most, _GROWTH * self.number)

    def _go_back(self, now_s: float) -> None:
        self.number, self._before, self._rate_before = self._before, 0, None
        self._not_before_s = now_s + TRY_AGAIN_S
