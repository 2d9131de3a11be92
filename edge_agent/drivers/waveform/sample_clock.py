"""When samples were taken, from when they arrived and how many there were; and whether some never came.

Constraints
- Inside a stream time is counted, so that it runs evenly. Samples arrive late, never early, and a crystal is
  off by some 50 ppm: counted time follows the promptest arrivals, gently.
- Samples missing without a flag (a hung sound server) show as arrivals that stay late: fewer samples
  came in a second than the rate says. After half a second of silence nothing is taken on trust.
- A chip that makes its own rate is off by per cent, which would look like lost samples: for it, counted time goes by
  the measured rate.
- When the wall clock is set, stamps follow at once, and that is a seam.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge_agent.core.clock import Clock
from edge_agent.drivers.waveform.rate_meter import RateMeter

# Ten times faster back than forth: of late and prompt arrivals, the prompt tenth is believed.
_SLEW_FORTH: Final = 100e-6
_SLEW_BACK: Final = 1000e-6
_PERIOD_S: Final = 1.0  # longer than the burst that follows a late call-back, which makes up for it
_LOSS_S: Final = 0.1  # lateness that no arrival of a whole period made up for
_SILENCE_S: Final = 0.5  # five blocks of the default length
_WALL_STEP_S: Final = 0.1  # NTP slews what is smaller


@dataclass(frozen=True, slots=True)
class Stamp:
    """Of samples that arrived together. `seam` is why they do not continue the ones before them, unless the caller
    said so; `lost` is how many are missing in between, when that is known."""

    start_ns: int
    seam: str | None = None
    lost: int | None = None


class SampleClock:
    """Of one stream, from its first samples to its last. `follows`: a meter whose rate is the one to count by."""

    def __init__(self, clock: Clock, *, sample_rate_hz: float, follows: RateMeter | None = None) -> None:
        self.meter = follows or RateMeter(sample_rate_hz)
        self._clock = clock
        self._follows = follows is not None
        self._rate_hz = sample_rate_hz
        self._begin_s = 0.0  # monotonic time of the sample that `_count` counts from
        self._count = 0
        self._wall_offset_s: float | None = None  # wall minus monotonic
        self._last_arrival_s: float | None = None
        self._period_start_s = 0.0
        self._least_late_s = float("inf")

    def stamp(self, n_samples: int, *, arrived_s: float, is_seam: bool = False) -> Stamp:
        """Return the time of the first of `n_samples` that arrived at `arrived_s` (monotonic).

        `is_seam`: the caller knows that they do not continue the ones before.
        """
        span_s = n_samples / self._rate_hz
        silence_s = 0.0 if self._last_arrival_s is None else arrived_s - self._last_arrival_s - span_s
        is_first, self._last_arrival_s = self._last_arrival_s is None, arrived_s
        seam, lost = None, None
        if is_first or is_seam or silence_s > _SILENCE_S:
            seam = f"no samples came for {silence_s:.1f} s" if silence_s > _SILENCE_S else None
            if is_seam and not is_first:
                lost = max(0, round((arrived_s - span_s - self.counted_s) * self._rate_hz)) or None
            self._restart(max(arrived_s - span_s, self.counted_s) if not is_first else arrived_s - span_s, arrived_s)
        elif (late_s := self._steady_lateness_s(n_samples, arrived_s)) > _LOSS_S:
            lost = round(late_s * self._rate_hz)
            seam = f"{lost} samples are missing by the clock"
            self._restart(self.counted_s + late_s, arrived_s)
        start_s = self.counted_s
        wall_seam = self._follow(start_s + span_s, arrived_s, span_s)
        self._count += n_samples
        self._measure(n_samples, arrived_s)
        return Stamp(round((start_s + (self._wall_offset_s or 0.0)) * 1e9), seam or wall_seam, lost)

    def settle(self, n_samples: int, *, arrived_s: float) -> None:
        """Take in samples that are not delivered: the first arrivals of a sound device come in bursts."""
        begin_s = arrived_s - (self._count + n_samples) / self._rate_hz
        if self._last_arrival_s is None:
            self._restart(begin_s, arrived_s)
        self._begin_s = min(self._begin_s, begin_s)
        self._count += n_samples
        self._last_arrival_s = arrived_s
        self._measure(n_samples, arrived_s)

    @property
    def counted_s(self) -> float:
        """Return the monotonic time of the next sample, if none is missing."""
        return self._begin_s + self._count / self._rate_hz

    def _restart(self, begin_s: float, arrived_s: float) -> None:
        self._begin_s, self._count = begin_s, 0
        self._period_start_s, self._least_late_s = arrived_s, float("inf")
        self.meter.restart()

    def _measure(self, n_samples: int, arrived_s: float) -> None:
        self.meter.add(n_samples, arrived_s=arrived_s)
        measured_hz = self.meter.rate_hz
        if self._follows and measured_hz is not None and measured_hz != self._rate_hz:
            self._begin_s, self._count = self.counted_s, 0
            self._rate_hz = measured_hz

    def _steady_lateness_s(self, n_samples: int, arrived_s: float) -> float:
        """Return how late the promptest arrival of the period was, once the period is over; else 0."""
        self._least_late_s = min(self._least_late_s, arrived_s - self.counted_s - n_samples / self._rate_hz)
        if arrived_s - self._period_start_s < _PERIOD_S:
            return 0.0
        least_s, self._least_late_s = self._least_late_s, float("inf")
        self._period_start_s = arrived_s
        return least_s

    def _follow(self, counted_end_s: float, arrived_s: float, span_s: float) -> str | None:
        """Move towards the arrivals and the wall clock; a wall clock that was set is the seam returned."""
        self._begin_s += _slewed(arrived_s - counted_end_s, span_s)
        offset_s = self._clock.now_ns() / 1e9 - self._clock.monotonic_s()
        step_s = 0.0 if self._wall_offset_s is None else offset_s - self._wall_offset_s
        if self._wall_offset_s is None or abs(step_s) > _WALL_STEP_S:
            self._wall_offset_s = offset_s
        else:
            self._wall_offset_s += _slewed(step_s, span_s)
        return f"the wall clock was set by {step_s:+.1f} s" if abs(step_s) > _WALL_STEP_S else None


def _slewed(step_s: float, span_s: float) -> float:
    return min(max(step_s, -_SLEW_BACK * span_s), _SLEW_FORTH * span_s)
