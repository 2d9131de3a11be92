"""A token bucket: a rate with a burst. Pure; time is handed in."""

from __future__ import annotations


class TokenBucket:
    """Fills with `rate` tokens a second up to `burst`, and is full at first.

    It may be overdrawn: what must not wait, or whose size is only known afterwards, is charged all the same.
    """

    def __init__(self, rate: float, burst: float, *, now_s: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at_s = burst, now_s

    def take(self, tokens: float, *, now_s: float) -> None:
        self._fill(now_s)
        self._tokens -= tokens

    def wait_s(self, *, now_s: float, wanted: float = 0.0) -> float:
        """Return the seconds until so many tokens are there; 0 when they are there now."""
        self._fill(now_s)
        return max(0.0, wanted - self._tokens) / self._rate

    def _fill(self, now_s: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
