"""Does a quantity grow? A robust slope with its interval, and a verdict against a stated limit.

Samples are ten seconds apart and hang together: outages, garbage collection and merging files come in waves. They are
first put together to medians of equal shares of the time, so that an interval of independent points can be taken.
Theil and Sen's slope is the median of the slopes between all pairs: a third of the points may be anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.stats import theilslopes

POINTS = 24
"""Medians a run is put together to. Of ten there are already 45 pairs; of more, a wave shows in several."""
CONFIDENCE = 0.95


class Verdict(StrEnum):
    FLAT = "flat"
    GROWS = "grows"
    UNDECIDED = "undecided"
    """The interval holds the limit: the run was too short for it."""


@dataclass(frozen=True)
class Limit:
    """The most a quantity may grow in an hour, and why it may at all."""

    per_hour: float
    why: str = ""


@dataclass(frozen=True)
class Slope:
    """Growth in an hour, after the warm-up."""

    first: float
    last: float
    per_hour: float
    low: float
    high: float
    limit: Limit

    @property
    def verdict(self) -> Verdict:
        if self.high <= self.limit.per_hour:
            return Verdict.FLAT
        return Verdict.GROWS if self.low > self.limit.per_hour else Verdict.UNDECIDED


def slope_of(times_s: Sequence[float], values: Sequence[float], limit: Limit, *, points: int = POINTS) -> Slope:
    """The slope of what was sampled at `times_s`; at least three samples, in the order of time."""
    shares = np.array_split(np.arange(len(times_s)), min(points, len(times_s)))
    hours = np.array([np.mean(np.take(times_s, share)) for share in shares]) / 3_600.0
    medians = np.array([np.median(np.take(values, share)) for share in shares], np.float64)
    found = theilslopes(medians, hours, alpha=CONFIDENCE)
    low, high = min(found.low_slope, found.slope), max(found.high_slope, found.slope)
    return Slope(float(medians[0]), float(medians[-1]), float(found.slope), float(low), float(high), limit)
