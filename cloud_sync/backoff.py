"""How long to wait between two tries. Pure arithmetic: the caller sleeps, and hands in the jitter."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

DOUBLINGS_MOST: Final = 20
"""More would overflow nothing yet, and reach no ceiling that anybody sets."""


class Backoff:
    """A ceiling that doubles with each failure, from `first_s` up to `max_s`, and a random part of it.

    `least` is the share of the ceiling that is always waited. 0, full jitter, spreads a fleet best when all of it was
    cut off at one time; 0.5 leaves whatever cannot be reached alone for a while after each try.
    """

    def __init__(
        self, first_s: float, max_s: float, *, least: float = 0.0, jitter: Callable[[], float] = random.random
    ) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._least = least
        self._jitter = jitter

    def wait_s(self, failures: int, *, retry_after_s: float | None = None) -> float:
        """Return the wait after so many failures in a row, 1 being the first.

        What the other side asked for (`retry_after_s`) comes on top: it is kept to, and the fleet is still spread.
        """
        ceiling_s = min(self._max_s, self._first_s * 2.0 ** min(max(failures - 1, 0), DOUBLINGS_MOST))
        return (retry_after_s or 0.0) + self._part_of(ceiling_s, self._least)

    def long_wait_s(self) -> float:
        """Return at least half of the longest wait: for what only a person can mend, such as a wrong key."""
        return self._part_of(self._max_s, 0.5)

    def spread_s(self, bound_s: float) -> float:
        """Return a random part of `bound_s`."""
        return self._part_of(bound_s, 0.0)

    def _part_of(self, ceiling_s: float, least: float) -> float:
        return ceiling_s * (least + (1.0 - least) * self._jitter())
