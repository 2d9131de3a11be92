"""When a condition indicator is worth an alarm: a zone of severity that lasts, a fault line that stands.

Constraints
- One report or window decides nothing: a start-up passes through every zone, and noise alone shows a line now and then.
- What is missing neither raises nor clears.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

from edge_agent.dsp.machines.bearing import FaultLine
from edge_agent.dsp.machines.severity import MachineGroup, Zone, zone_of
from edge_agent.pipeline.alarms import AlarmChange

ALARM_ZONES: Final = frozenset({Zone.C, Zone.D})

PARTS: Final = {
    FaultLine.BPFO: "outer race",
    FaultLine.BPFI: "inner race",
    FaultLine.BSF: "rolling element",
    FaultLine.FTF: "cage",
}


class ZoneTracker:
    """The zone a machine is in, by its newest `reports` reports: it changes when all of them say so."""

    def __init__(self, group: MachineGroup, *, reports: int) -> None:
        self.group = group
        self.newest: Zone | None = None
        self.zone = Zone.A
        """What `reports` in a row agree on; before, nothing is wrong."""
        self.since_ns: int | None = None
        self._recent: deque[Zone] = deque(maxlen=reports)

    @property
    def is_alarm(self) -> bool:
        return self.zone in ALARM_ZONES

    def push(self, velocity_rms_mm_s: float, end_ns: int) -> AlarmChange | None:
        """Return RAISED when C or D is entered, or changed for the other; CLEARED when both are left."""
        self.newest = zone_of(velocity_rms_mm_s, self.group)
        self._recent.append(self.newest)
        if len(self._recent) < (self._recent.maxlen or 0):
            return None
        before, mildest, worst = self.zone, min(self._recent), max(self._recent)
        self.zone = mildest if mildest > before else worst if worst < before else before
        if self.zone is before:
            return None
        was_alarm = before in ALARM_ZONES
        self.since_ns = end_ns
        if self.is_alarm:
            return AlarmChange.RAISED
        return AlarmChange.CLEARED if was_alarm else None

    def in_words(self) -> str:
        """Return the words for a technician: 'velocity in zone D (from 7.1 mm/s, 20816-3.group-1.rigid)'."""
        limits = {
            Zone.A: "below {0.a_b_mm_s:g}",
            Zone.B: "from {0.a_b_mm_s:g}",
            Zone.C: "from {0.b_c_mm_s:g}",
            Zone.D: "from {0.c_d_mm_s:g}",
        }
        return f"velocity in zone {self.zone} ({limits[self.zone].format(self.group)} mm/s, {self.group.name})"


class FaultLineTracker:
    """One fault line of one channel: it stands once `windows` in a row are at or over `alarm_db`, and until as many
    in a row are under it."""

    def __init__(self, line: FaultLine, order: float, *, alarm_db: float, windows: int) -> None:
        self.line = line
        self.order = order
        self.alarm_db = alarm_db
        self.since_ns: int | None = None
        self.hz: float | None = None
        self._recent_db: deque[float] = deque(maxlen=windows)
        self._first_ns: int | None = None  # of the present run over the limit

    @property
    def part(self) -> str:
        return PARTS[self.line]

    @property
    def snr_db(self) -> float | None:
        """Return the mean of the newest windows."""
        return float(np.mean(self._recent_db)) if self._recent_db else None

    @property
    def is_standing(self) -> bool:
        return self.since_ns is not None

    def push(self, snr_db: float, shaft_hz: float, end_ns: int) -> AlarmChange | None:
        """Take one window's ratio to the background, in dB; return the change it makes, if any."""
        self.hz = self.order * shaft_hz
        self._recent_db.append(snr_db)
        if snr_db < self.alarm_db:
            self._first_ns = None
        elif self._first_ns is None:
            self._first_ns = end_ns
        if len(self._recent_db) < (self._recent_db.maxlen or 0):
            return None
        if self.since_ns is None and min(self._recent_db) >= self.alarm_db:
            self.since_ns = self._first_ns
            return AlarmChange.RAISED
        if self.since_ns is not None and max(self._recent_db) < self.alarm_db:
            self.since_ns = None
            return AlarmChange.CLEARED
        return None

    def in_words(self) -> str:
        """Return the words for a technician: 'outer race: BPFO 236 Hz stands 26 dB above its background'."""
        if self.hz is None or self.snr_db is None:
            return f"{self.part}: {self.line.upper()} was not looked for yet"
        return f"{self.part}: {self.line.upper()} {self.hz:.0f} Hz stands {self.snr_db:.0f} dB above its background"
