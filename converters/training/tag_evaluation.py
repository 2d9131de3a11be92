"""How a model over one tag does on a series it has not seen: false alarms, and faults that were put in.

Constraints
- An alarm is what the agent would raise: three of the newest five scores over the threshold.
- A fault counts as found when an alarm is raised within an hour of it that is not raised without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from converters.training.synthetic_sensors import FAULTS, READINGS_PER_DAY, SensorSeries, with_fault

OVER_READINGS: Final = 5
ENTER_READINGS: Final = 3
FOUND_WITHIN: Final = 12
"""Readings; an hour."""

Scores = Callable[[SensorSeries], NDArray[np.float64]]
"""A series to one score per reading; NaN where there is none yet."""


def alarm_readings(scores: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """Return where three of the newest five scores are over the threshold."""
    with np.errstate(invalid="ignore"):
        is_over = (scores > threshold).astype(np.int64)
    over = np.convolve(is_over, np.ones(OVER_READINGS, np.int64))[: len(scores)]
    return np.asarray(over >= ENTER_READINGS, dtype=np.bool_)


def false_alarms(scores: Scores, series: Sequence[SensorSeries], threshold: float, *, start: int) -> dict[str, float]:
    """Count alarms over the readings from `start` on, none of which is faulty."""
    over, alarms, days = 0, 0, 0.0
    for one in series:
        got = scores(one)
        stands = alarm_readings(got, threshold)[start:]
        over += int(np.count_nonzero(got[start:] > threshold))
        alarms += int(stands[0]) + int(np.count_nonzero(stands[1:] & ~stands[:-1]))
        days += len(stands) / READINGS_PER_DAY
    return {
        "evaluated_sensor_days": days,
        "false_alarms_per_day": alarms / days,
        "false_alarm_share_of_readings": over / (days * READINGS_PER_DAY),
    }


def faults_found(
    scores: Scores, series: Sequence[SensorSeries], threshold: float, *, starts: Sequence[int]
) -> dict[str, float]:
    """Return the share of each kind of fault that raises an alarm within an hour; every start of every series."""
    found = {f"found_share_{fault}": 0.0 for fault in FAULTS}
    for one in series:
        before = alarm_readings(scores(one), threshold)
        for fault in FAULTS:
            for start in starts:
                after = alarm_readings(scores(with_fault(one, fault, start)), threshold)
                is_new = (after & ~before)[start : start + FOUND_WITHIN]
                found[f"found_share_{fault}"] += is_new.any() / (len(series) * len(starts))
    return found
