"""From verdicts to alarms: many anomalous windows raise one, fewer keep it. Pure.

UNKNOWN windows neither raise nor clear: they are not looked at.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from edge_agent.core.scores import Verdict
from edge_agent.settings import AlarmSettings


class AlarmChange(StrEnum):
    RAISED = "raised"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class AlarmState:
    """`since_ns` is when the alarm was raised, None while there is none."""

    is_standing: bool
    since_ns: int | None
    anomalous_fraction: float


class AlarmTracker:
    """One channel of one model."""

    def __init__(self, settings: AlarmSettings) -> None:
        self._settings = settings
        self._recent: deque[bool] = deque(maxlen=settings.over_windows)
        self._since_ns: int | None = None
        self.raised_total = 0

    def push(self, verdict: Verdict, end_ns: int) -> AlarmChange | None:
        """Return the change this window makes, if any. No alarm before `over_windows` windows were seen."""
        if verdict is Verdict.UNKNOWN:
            return None
        self._recent.append(verdict is Verdict.ANOMALOUS)
        fraction = self.state.anomalous_fraction
        is_full = len(self._recent) == self._settings.over_windows
        if self._since_ns is None and is_full and fraction >= self._settings.enter_fraction:
            self._since_ns = end_ns
            self.raised_total += 1
            return AlarmChange.RAISED
        if self._since_ns is not None and fraction <= self._settings.leave_fraction:
            self._since_ns = None
            return AlarmChange.CLEARED
        return None

    def forget(self) -> None:
        """Forget the windows before a long gap: they say nothing about those after it. A standing alarm stays."""
        self._recent.clear()

    @property
    def is_standing(self) -> bool:
        return self._since_ns is not None

    @property
    def state(self) -> AlarmState:
        fraction = sum(self._recent) / len(self._recent) if self._recent else 0.0
        return AlarmState(self.is_standing, self._since_ns, fraction)
