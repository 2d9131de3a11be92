"""How far a device's clock is off this gateway's: the median of the newest differences. Pure; times in ns."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Final

SKEW_BOUND_S: Final = 60.0
"""A skew above this is a problem: rows of two devices can no longer be laid beside each other."""

_NEWEST: Final = 51  # so many differences; a majority of them outlasts a clock that jumps
_ENOUGH: Final = 3  # of them, before values say more than a device's own word
_LOOK_EVERY_NS: Final = 1_000_000_000


class ClockSkew:
    """Takes when values changed by the device's clock, and when it says it sent messages: they count while none does.

    `is_ours_known` is False while nobody knows how far this gateway's clock is off. `bound_s` is what is no problem.
    """

    def __init__(self, *, bound_s: float) -> None:
        self.is_ours_known = True
        self._since_ns: int | None = None
        self._newest_ns = 0
        self._bound_s = bound_s
        self._of_values: deque[int] = deque(maxlen=_NEWEST)
        self._of_messages: deque[int] = deque(maxlen=_NEWEST)
        self._look_again_ns = 0

    def take_value(self, at_ns: int, received_ns: int, is_ours_known: bool) -> None:
        """Take the time of a value that changed just now."""
        if is_ours_known is not self.is_ours_known:
            self._begin_again(is_ours_known=is_ours_known)
        self._of_values.append(at_ns - received_ns)
        self._newest_ns = received_ns
        if received_ns >= self._look_again_ns:
            self._look(received_ns)

    def take_message(self, sent_ns: int, received_ns: int, *, is_ours_known: bool) -> None:
        """Take when a message was sent."""
        if is_ours_known is not self.is_ours_known:
            self._begin_again(is_ours_known=is_ours_known)
        self._of_messages.append(sent_ns - received_ns)
        self._newest_ns = received_ns
        if received_ns >= self._look_again_ns:
            self._look(received_ns)

    def seconds(self) -> float | None:
        """Return the device's clock minus this gateway's; None while nothing was heard."""
        newest = self._of_values if len(self._of_values) >= _ENOUGH else self._of_messages or self._of_values
        return round(median(newest) / 1e9, 3) if newest else None

    def is_of_values_alone(self) -> bool:
        """Return whether the device's messages show its own clock to be within the bound: values come with another."""
        return bool(self._of_messages) and abs(median(self._of_messages)) / 1e9 <= self._bound_s

    def beyond_since_ns(self) -> int | None:
        """Return since when the skew is beyond the bound; None while it is not."""
        self._look(self._newest_ns)
        return self._since_ns

    def _begin_again(self, *, is_ours_known: bool) -> None:
        """Forget what was measured against another clock of this gateway's."""
        self.is_ours_known = is_ours_known
        self._of_values.clear()
        self._of_messages.clear()
        self._look_again_ns = 0

    def _look(self, at_ns: int) -> None:
        """Remember since when the skew is beyond the bound."""
        self._look_again_ns = at_ns + _LOOK_EVERY_NS
        if abs(self.seconds() or 0.0) <= self._bound_s:
            self._since_ns = None
        elif self._since_ns is None:
            self._since_ns = at_ns
