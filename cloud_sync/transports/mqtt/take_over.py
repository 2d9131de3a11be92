"""Two clients with one client id: each sign-in puts the other one out, over and over.

Constraints
- A broker of MQTT 5 may say so (0x8E). Others close the connection without a word: then it is what remains when that
  happens soon after each of several sign-ins. A line that breaks is no such end.
- Who was put out stays away, longer each time, so that the other one can work meanwhile and both can say why.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cloud_sync.backoff import Backoff

SOON_S: Final = 10.0
"""Two clients that put each other out come back within seconds; a bad line seldom does so three times in a row."""
SUSPICIOUS_AFTER: Final = 3
FIRST_AWAY_S: Final = 15.0
LONGEST_AWAY_S: Final = 300.0
LONGEST_ON_SUSPICION_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class TakeOver:
    """The broker said it (`is_certain`), or it looks like it; for how long it is best to stay away."""

    times: int
    is_certain: bool
    stays_away_s: float


class TakeOvers:
    """Hears of sign-ins and losses, and tells when another client seems to have our name."""

    def __init__(
        self, *, now_s: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        self._now_s = now_s
        self._jitter = jitter
        self._connected_s = float("-inf")
        self._in_a_row = 0
        self._back_at_s = float("-inf")
        self.total = 0

    def record_connected(self) -> None:
        self._connected_s = self._now_s()

    def record_failed_sign_in(self) -> None:
        """Forget what went before: the broker is away or does not let us in, so it was no other client."""
        self._in_a_row = 0

    def record_lost(self, *, is_certain: bool, is_unexplained: bool) -> TakeOver | None:
        """Return the take-over that a lost connection looks like, or None.

        `is_certain`: the broker said that another client took over; `is_unexplained`: it closed without a word.
        """
        lasted_s = self._now_s() - self._connected_s
        # Once it looks like it, the other one may be staying away itself: then it comes back later than soon.
        soon_s = SOON_S if self._in_a_row < SUSPICIOUS_AFTER - 1 else 2 * LONGEST_ON_SUSPICION_S
        if not is_certain and not (is_unexplained and lasted_s < soon_s):
            self._in_a_row = 0
            return None
        self._in_a_row = 1 if lasted_s > 2 * LONGEST_AWAY_S else self._in_a_row + 1
        if not is_certain and self._in_a_row < SUSPICIOUS_AFTER:
            return None
        self.total += 1
        away_s = self._away_s(is_certain=is_certain)
        self._back_at_s = self._now_s() + away_s
        return TakeOver(self._in_a_row, is_certain, away_s)

    @property
    def away_for_s(self) -> float:
        """Return how long it is still best to stay away, in seconds; 0 when a sign-in does no harm."""
        return max(0.0, self._back_at_s - self._now_s())

    def _away_s(self, *, is_certain: bool) -> float:
        first, ceiling_s = (1, LONGEST_AWAY_S) if is_certain else (SUSPICIOUS_AFTER, LONGEST_ON_SUSPICION_S)
        backoff = Backoff(FIRST_AWAY_S, ceiling_s, least=0.5, jitter=self._jitter)
        return backoff.wait_s(self._in_a_row - first + 1)
