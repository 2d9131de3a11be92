"""How much and how fast: the first wait between tries, and what was too large once. Pure arithmetic.

Times are seconds of a monotonic clock that the caller hands in.
"""

from __future__ import annotations

from typing import Final

BACKOFF_FIRST_S: Final = 0.5

MAX_RECORDS: Final = 20_000
"""In one request: a refusal of each of them still fits into an answer."""

TOO_LARGE_FORGOTTEN_S: Final = 3_600.0
SMALLEST_REMEMBERED_BYTES: Final = 4_096
"""A 413 to less than this is about that record, not about the central's limit."""


class TooLarge:
    """Remembers for an hour the smallest body that was refused for its size, by whatever is between."""

    def __init__(self) -> None:
        self._bytes: int | None = None
        self._forgotten_at_s = 0.0

    def note(self, body_bytes: int, *, now_s: float) -> None:
        if body_bytes >= SMALLEST_REMEMBERED_BYTES:
            self._bytes = min(body_bytes, self._bytes or body_bytes)
            self._forgotten_at_s = now_s + TOO_LARGE_FORGOTTEN_S

    def forget(self) -> None:
        self._bytes = None

    def is_too_large(self, body_bytes: int, *, now_s: float) -> bool:
        """Return whether so much was refused before."""
        self._forget(now_s)
        return self._bytes is not None and body_bytes >= self._bytes

    def limited(self, body_bytes: int, *, now_s: float) -> int:
        """Return up to what to coalesce: half of what was too large, since a body is not the sum of its parts."""
        self._forget(now_s)
        return body_bytes if self._bytes is None else min(body_bytes, self._bytes // 2)

    def _forget(self, now_s: float) -> None:
        if now_s >= self._forgotten_at_s:
            self._bytes = None
