"""How many samples really come in a second, by the monotonic clock. A sensor's own oscillator is off by up to some
per cent, a crystal by some 50 ppm.

Arrivals are late, never early: of each period the promptest one counts. So the error shrinks with the time looked at:
5 ms of jitter are 0.5 % after a second, and 50 ppm after 100 s.
"""

from __future__ import annotations

from collections import deque
from typing import Final

_PERIOD_S: Final = 0.5
_PERIODS: Final = 240  # two minutes: a chip's rate moves with its temperature, but slower
_SURE_AFTER_S: Final = 10.0


class RateMeter:
    """Of one stream. `rate_hz` is the newest estimate, None for the first second.

    `known_hz`: a rate that something better than the first seconds' arrivals says. It holds until ten seconds are over.
    """

    def __init__(self, nominal_hz: float, *, known_hz: float | None = None) -> None:
        self.rate_hz: float | None = known_hz
        self._least_s = _PERIOD_S if known_hz is None else _SURE_AFTER_S
        self._nominal_hz = nominal_hz
        self._prompt: deque[tuple[int, float]] = deque(maxlen=_PERIODS)
        self._best: tuple[int, float] | None = None
        self._period_start_s: float | None = None
        self._count = 0

    @property
    def sure_rate_hz(self) -> float | None:
        """Return the rate once it has been measured for ten seconds, to show it to people."""
        long_enough = len(self._prompt) > 1 and self._prompt[-1][1] - self._prompt[0][1] >= _SURE_AFTER_S
        return self.rate_hz if long_enough else None

    def add(self, n_samples: int, *, arrived_s: float) -> None:
        """Take in `n_samples` that were complete at `arrived_s` (monotonic)."""
        self._count += n_samples
        if self._period_start_s is None:
            self._period_start_s = arrived_s
        if self._best is None or self._lateness_s(self._count, arrived_s) < self._lateness_s(*self._best):
            self._best = self._count, arrived_s
        if arrived_s - self._period_start_s >= _PERIOD_S:
            self._end_period(self._best, arrived_s)

    def restart(self) -> None:
        """Count from here on: samples were lost. The estimate stays until there is a new one."""
        self._prompt.clear()
        self._best, self._period_start_s = None, None

    def _end_period(self, best: tuple[int, float], arrived_s: float) -> None:
        self._prompt.append(best)
        self._best, self._period_start_s = None, arrived_s
        (first_count, first_s), (last_count, last_s) = self._prompt[0], self._prompt[-1]
        if last_s - first_s >= self._least_s:
            self.rate_hz = (last_count - first_count) / (last_s - first_s)

    def _lateness_s(self, count: int, arrived_s: float) -> float:
        return arrived_s - count / (self.rate_hz or self._nominal_hz)
