"""The numbers of a subscription's notifications: which never came. Pure.

They go up by one and start over at 1 (OPC 10000-4, 5.14.1.1). A keep-alive has no number of its own: it shows the next.
"""

from __future__ import annotations

from typing import Final

_LAST: Final = 2**32 - 1


class SequenceWatch:
    """Knows the number that comes next; `expected` is None before the first notification."""

    def __init__(self) -> None:
        self.expected: int | None = None

    def missing_before(self, number: int) -> range:
        """Return the numbers that never came before this one; none when it is older, or the first."""
        return range(0) if self.expected is None else range(self.expected, number)

    def take(self, number: int) -> None:
        """Take the notification of this number as come, or one that never will; one sent again moves nothing."""
        if self.expected is None or number >= self.expected or number == 1:
            self.expected = 1 if number >= _LAST else number + 1
