"""How an anomaly model does on runs to failure: alarms while all is well, and how long before the end one stands.

Constraints
- An alarm is what the agent would raise: enough of the newest windows over the threshold raise it, few clear it, none
  before so many were seen.
- A run is played window after window. Between two recordings of it there is nothing: days count by the clock, not by
  the seconds that were recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

DAY_S: Final = 86_400.0
NO_LEAD: Final = 0.0
"""Of a run at whose end no alarm stands."""


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """Of the newest `over` windows, `enter` anomalous ones raise an alarm; `leave` or fewer clear it."""

    over: int
    enter: int
    leave: int


AGENT_DEFAULT: Final = AlarmRule(over=20, enter=12, leave=4)


def standing(is_over: NDArray[np.bool_], rule: AlarmRule = AGENT_DEFAULT) -> NDArray[np.bool_]:
    """Return whether an alarm stands after each window of one channel, (n,) -> (n,)."""
    stands = np.zeros(len(is_over), np.bool_)
    over = np.convolve(is_over.astype(np.int64), np.ones(rule.over, np.int64))[: len(is_over)]
    is_standing = False
    for index in range(rule.over - 1, len(is_over)):
        is_standing = bool(over[index] > rule.leave if is_standing else over[index] >= rule.enter)
        stands[index] = is_standing
    return stands


def alarms(stands: NDArray[np.bool_]) -> int:
    """Return how many alarms were raised."""
    return int(stands[0]) + int(np.count_nonzero(stands[1:] & ~stands[:-1]))


def lead_time_s(stands: NDArray[np.bool_], times_s: NDArray[np.float64]) -> float:
    """Return the time from the raising of the alarm that stands at the end to the end; `NO_LEAD` when none does."""
    if not stands[-1]:
        return NO_LEAD
    quiet = np.flatnonzero(~stands)
    raised = int(quiet[-1]) + 1 if len(quiet) else 0
    return float(times_s[-1] - times_s[raised])
