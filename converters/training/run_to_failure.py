"""How an anomaly model does on runs to failure: alarms while all is well, and how long before the end one stands.

Constraints
- An alarm is what the agent would raise with its default settings: 12 of the newest 20 windows over the threshold
  raise it, 4 or fewer clear it; none before 20 windows were seen.
- A run is played window after window. Between two recordings of it there is nothing: days count by the clock, not by
  the seconds that were recorded.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

OVER_WINDOWS: Final = 20
ENTER_WINDOWS: Final = 12
LEAVE_WINDOWS: Final = 4
NO_LEAD: Final = 0.0
"""Of a run at whose end no alarm stands."""


def standing(is_over: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether an alarm stands after each window of one channel, (n,) -> (n,)."""
    stands = np.zeros(len(is_over), np.bool_)
    over = np.convolve(is_over.astype(np.int64), np.ones(OVER_WINDOWS, np.int64))[: len(is_over)]
    is_standing = False
    for index in range(OVER_WINDOWS - 1, len(is_over)):
        is_standing = over[index] > LEAVE_WINDOWS if is_standing else over[index] >= ENTER_WINDOWS
        stands[index] = is_standing
    return stands


def alarms(stands: NDArray[np.bool_]) -> int:
    """How many alarms were raised."""
    return int(stands[0]) + int(np.count_nonzero(stands[1:] & ~stands[:-1]))


def lead_time_s(stands: NDArray[np.bool_], times_s: NDArray[np.float64]) -> float:
    """From the raising of the alarm that stands at the end to the end; `NO_LEAD` when none does."""
    if not stands[-1]:
        return NO_LEAD
    quiet = np.flatnonzero(~stands)
    raised = int(quiet[-1]) + 1 if len(quiet) else 0
    return float(times_s[-1] - times_s[raised])
