"""Until when a request and its answer are waited for; only what this side sends moves it.

Constraints
- Each piece of the request has `answer_timeout_s`, and so has what the kernel still holds, as long as the other side
  acknowledges it.
- A proxy, a modem or a relay may acknowledge a body at once and carry it on slowly: when all of it is acknowledged, the
  answer has as much more time, once, as the body needs at the pace that a central bears. A body that nobody
  acknowledges has none.
"""

from __future__ import annotations

import asyncio
from typing import Final

SLOWEST_BYTES_PER_S: Final = 100.0
"""A central ends requests that come more slowly (`cloud_sync/central/ingress/slow_clients.py`)."""
MOST_MORE: Final = 4.0
"""Times `answer_timeout_s`: who takes bodies and never answers is found out."""


class RequestDeadline:
    """Moves the end of `timeout`, the scope in which one request is made."""

    def __init__(self, timeout: asyncio.Timeout, *, answer_timeout_s: float, body_bytes: int) -> None:
        self._timeout = timeout
        self._answer_timeout_s = answer_timeout_s
        self._more_s = min(body_bytes / SLOWEST_BYTES_PER_S, MOST_MORE * answer_timeout_s)
        self._is_handed_over = body_bytes == 0
        self._is_acknowledged = False

    def go_on(self, *, is_last: bool = False) -> None:
        """Start the time over: the request goes out, or one more piece of it has. `is_last`: the kernel has all."""
        self._is_handed_over = self._is_handed_over or is_last
        self._end_in(self._answer_timeout_s)

    def record_unacknowledged(self, left_bytes: int) -> None:
        """Give more time: the other side has acknowledged some of what the kernel held, and so much is left."""
        if self._is_acknowledged:
            return
        self._is_acknowledged = self._is_handed_over and left_bytes == 0
        more_s = self._more_s if self._is_acknowledged else 0.0
        self._end_in(self._answer_timeout_s + more_s, at_least_s=self._timeout.when() or 0.0)

    def _end_in(self, seconds: float, *, at_least_s: float = 0.0) -> None:
        if not self._timeout.expired():
            ends_s = asyncio.get_running_loop().time() + seconds
            self._timeout.reschedule(max(ends_s, at_least_s))
