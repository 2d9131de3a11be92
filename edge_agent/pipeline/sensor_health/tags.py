"""Whether a tag's value can be one: inside its range, not faster than it can change, not stuck. Pure.

Constraints
- What fails a check is BAD: never a row, a feature or a speed, but a gap with the value in its words.
- A value that jumps further than it can is withheld until it has stood for a second. One that stays there is real.
- Times are those of arrival: a device's clock may be set or stand still.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

from edge_agent.core.health import OK, Ne107, SensorHealth
from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading
from edge_agent.settings import TagSettings

CONFIRM_S: Final = 1.0
"""A disturbance is shorter. Changes within a second are judged as if they had taken one: noise has any rate."""

_RANGE_DO: Final = "check the sensor, its cable and its scaling; widen valid_range when such values are real"
_RATE_DO: Final = "check cable and connectors for disturbances; raise max_rate_per_s when it can change that fast"
_STUCK_DO: Final = "check the sensor, and that the device's program still runs; raise stuck_after_s when it may rest"


class _Seen(NamedTuple):
    value: float
    received_ns: int
    time_ns: int


class TagCheck:
    """The checks of one tag, and how it is. `health` is OK also while the device itself says that a value is bad."""

    def __init__(self, settings: TagSettings) -> None:
        self.health = OK
        self._unit = f" {settings.unit}" if settings.unit else ""
        self._range = settings.valid_range
        self._rate = settings.max_rate_per_s
        self._stuck_s = settings.stuck_after_s
        self._accepted: _Seen | None = None
        self._jump: tuple[_Seen, _Seen] | None = None  # the first and the newest value on the other side of a jump
        self._still: tuple[float, int] | None = None  # the value, and since when it has not changed

    def judge(self, reading: Reading) -> Reading:
        """Return the reading, or a BAD one in its place that says why it is none."""
        if reading.value is None:
            self.health, self._jump, self._still = OK, None, None
            return reading
        seen = _Seen(reading.value, reading.received_time_ns, reading.time_ns)
        found = self._out_of_range(seen) or self._too_fast(seen) or self._stuck(seen)
        if found is None:
            self.health = OK
            return reading
        since_ns = self.health.since_ns if self.health.state == found.state else seen.received_ns
        self.health = replace(found, since_ns=since_ns)
        return reading._replace(value=None, quality=Quality.BAD, status=found.detail)

    def why_impossible(self, value: float) -> str:
        """Return why this can be no value, whatever came before it; empty when it can."""
        if self._range is None or self._range[0] <= value <= self._range[1]:
            return ""
        low, high = self._range
        return f"{value:.6g}{self._unit} is outside valid_range {low:g}..{high:g}"

    def _out_of_range(self, seen: _Seen) -> SensorHealth | None:
        detail = self.why_impossible(seen.value)
        if not detail:
            return None
        self._jump = self._still = None
        return SensorHealth(Ne107.FAILURE, "out_of_range", detail, _RANGE_DO)

    def _too_fast(self, seen: _Seen) -> SensorHealth | None:
        before = self._accepted
        if self._rate is None or before is None or self._can_follow(seen, before) or self._is_confirmed(seen):
            self._accepted, self._jump = seen, None
            return None
        change = f"from {before.value:.6g} to {seen.value:.6g}{self._unit} in {_elapsed_s(seen, before):.3g} s"
        detail = f"{change} is faster than max_rate_per_s {self._rate:g}"
        return SensorHealth(Ne107.FAILURE, "impossible_rate", detail, _RATE_DO)

    def _can_follow(self, seen: _Seen, before: _Seen) -> bool:
        return abs(seen.value - before.value) <= (self._rate or 0.0) * max(_elapsed_s(seen, before), CONFIRM_S)

    def _is_confirmed(self, seen: _Seen) -> bool:
        """Return whether the value has stood beyond a jump for long enough; takes note of it."""
        if self._jump is None or not self._can_follow(seen, self._jump[1]):
            self._jump = seen, seen
            return False
        first = self._jump[0]
        self._jump = first, seen
        return _elapsed_s(seen, first) >= CONFIRM_S

    def _stuck(self, seen: _Seen) -> SensorHealth | None:
        if self._stuck_s is None:
            return None
        if self._still is None or self._still[0] != seen.value or seen.received_ns < self._still[1]:
            self._still = seen.value, seen.received_ns
        still_s = (seen.received_ns - self._still[1]) / 1e9
        if still_s < self._stuck_s:
            return None
        detail = f"stuck at {seen.value:.6g}{self._unit}: unchanged for stuck_after_s {self._stuck_s:g}"
        return SensorHealth(Ne107.FAILURE, "stuck", detail, _STUCK_DO)


def check_of(settings: TagSettings) -> TagCheck | None:
    """Return the checks of a tag, or None when its settings ask for none."""
    asked = (settings.valid_range, settings.max_rate_per_s, settings.stuck_after_s)
    return None if all(each is None for each in asked) else TagCheck(settings)


def _elapsed_s(seen: _Seen, before: _Seen) -> float:
    """Return the longer of both clocks' times: values that were queued arrive together."""
    return max(seen.received_ns - before.received_ns, seen.time_ns - before.time_ns) / 1e9
