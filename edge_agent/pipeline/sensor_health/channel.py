"""One channel of a waveform source as its samples show it: what is wrong, since when, and what windows are good for.

A fault begins with the first second that shows it and ends after three that do not, so that a doubtful signal is no
flood of events. It is a gap where nothing can be computed from the samples.
"""

from __future__ import annotations

from typing import Final

from edge_agent.core.gaps import Gap, GapCause, GapSpan
from edge_agent.core.health import OK, Ne107, SensorHealth
from edge_agent.dsp.machines.sensor_faults import FaultKind, SensorFault
from edge_agent.pipeline.sensor_health.uses import Use

CLEAR_LOOKS: Final = 3

_RANGE_DO: Final = "lower the gain, or choose a sensor with a larger range"
_DO: Final[dict[FaultKind, str]] = {
    "not_finite": "look at the device that sends the samples: NaN and infinity are no measurements",
    "flat": "check cable, mounting and power of the sensor",
    "clipped": _RANGE_DO,
    "saturated": f"check the amplifier's supply; {_RANGE_DO}",
    "light_clipping": f"the machine is judged all the same; {_RANGE_DO}",
    "bias": "check the sensor's supply (IEPE bias), its mounting and mean_range",
    "mains_hum": "check shield, earth and connectors; where a shaft turns at the mains' frequency, say its shaft_hz",
}


class ChannelHealth:
    """`subject` is `<asset>.<point>`."""

    def __init__(self, point: str, subject: str) -> None:
        self.point = point
        self.subject = subject
        self.health = OK
        self._gap = GapSpan(subject)
        self._clear_looks = 0

    @property
    def use(self) -> Use:
        """Return what its samples are good for now."""
        if self.health is OK:
            return Use.SCORED
        return Use.NOTHING if self.health.ne107 is Ne107.FAILURE else Use.UNCERTAIN

    def look(self, fault: SensorFault | None, start_ns: int, end_ns: int) -> list[Gap]:
        """Take what some samples show; return the gaps that end and begin with it."""
        if fault is None:
            self._clear_looks += 1
            if self.health is OK or self._clear_looks < CLEAR_LOOKS:
                return []
            self.health = OK
            return self._end(end_ns)
        self._clear_looks = 0
        is_same = fault.kind == self.health.state
        ended = [] if is_same else self._end(start_ns)
        since_ns = self.health.since_ns if is_same else start_ns
        ne107 = Ne107.OFF_SPEC if fault.kind == "light_clipping" else Ne107.FAILURE
        self.health = SensorHealth(ne107, fault.kind, fault.words, _DO[fault.kind], since_ns)
        begun = None
        if self.use is Use.NOTHING:
            begun = self._gap.begin(GapCause.SENSOR_FAULT, start_ns, fault.words)
        return [*ended, *([begun] if begun else [])]

    def flush(self, at_ns: int) -> list[Gap]:
        """Return how far an open gap came: before a stop."""
        return self._end(at_ns)

    def _end(self, at_ns: int) -> list[Gap]:
        ended = self._gap.end(at_ns)
        return [] if ended is None else [ended]
