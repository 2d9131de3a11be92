"""Passes that take longer than their interval: counted, and a problem when it lasts. Pure."""

from __future__ import annotations

from typing import Final

from edge_agent.drivers.report import SourceProblem

LASTS: Final = 3
"""So many slow passes one after the other are a problem; so many in time end it."""


class SlowScans:
    """The passes of one poll group."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._in_a_row = 0
        self._in_time = 0
        self._first_ns = 0
        self._longest_s = 0.0
        self._is_standing = False
        self._n_requests = 0

    def take(self, pass_s: float, now_ns: int, n_requests: int) -> None:
        """Take how long a pass took that was answered throughout."""
        if pass_s <= self._interval_s:
            self._end()
            return
        if not self._in_a_row and not self._is_standing:
            self._first_ns, self._longest_s = now_ns, 0.0
        self._in_time = 0
        self._in_a_row += 1
        self._longest_s = max(pass_s, self._longest_s)
        self._n_requests = n_requests
        self._is_standing = self._is_standing or self._in_a_row >= LASTS

    def problem(self) -> SourceProblem | None:
        """Return what is wrong, when slow passes last."""
        if not self._is_standing:
            return None
        what = (
            f"a scan every {self._interval_s:g} s takes up to {self._longest_s:.3g} s "
            f"({self._n_requests} request{'s' if self._n_requests != 1 else ''}): values come later than configured"
        )
        return SourceProblem(
            what,
            self._first_ns,
            "raise interval_s, read fewer tags, or put rarely needed ones into "
            "a poll group of their own with a longer interval",
        )

    def _end(self) -> None:
        self._in_a_row = 0
        self._in_time += 1
        if self._in_time >= LASTS:
            self._is_standing = False
