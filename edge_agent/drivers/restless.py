"""A source that is lost again and again: a few of its losses are logged each, then they are counted.

Pure: the caller brings the time.
"""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_S: Final = 600.0
MANY: Final = 5
"""So many losses within `WINDOW_S` are one lasting fault, not five: said once, and each `WINDOW_S` it lasts."""
_KEPT: Final = 1_000


class LossesLately:
    """The newest losses of one source that was read in between. Times are the agent's, in nanoseconds."""

    def __init__(self) -> None:
        self._times_ns: deque[int] = deque(maxlen=_KEPT)
        self._said_ns: int | None = None

    def add(self, now_ns: int) -> None:
        """Take that the source was lost."""
        self._times_ns.append(now_ns)

    def count(self, now_ns: int) -> int:
        """Return how often it was lost within the window."""
        while self._times_ns and now_ns - self._times_ns[0] > WINDOW_S * 1e9:
            self._times_ns.popleft()
        return len(self._times_ns)

    def are_many(self, now_ns: int) -> bool:
        """Return whether it is lost again and again."""
        return self.count(now_ns) >= MANY

    @property
    def since_ns(self) -> int | None:
        """Return the first loss within the window; None when there is none."""
        return self._times_ns[0] if self._times_ns else None

    def is_to_be_said(self, now_ns: int) -> bool:
        """Return whether many losses are to be logged now, as one line; what is returned is taken to be done."""
        if self._said_ns is not None and now_ns - self._said_ns <= WINDOW_S * 1e9:
            return False
        self._said_ns = now_ns
        return True
