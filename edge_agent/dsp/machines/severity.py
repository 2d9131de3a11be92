"""Zones of vibration severity: which of A to D a velocity is in, given the limits of the machine's group.

The limits are data that somebody is answerable for (`edge_agent.reference_tables.read` reads them); the rule is here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edge_agent.errors import SignalError

SEVERITY: Final = "velocity_rms"
"""The feature that zones are of."""


class Zone(StrEnum):
    """ISO 20816-1's evaluation zones."""

    A = "A"
    """Newly commissioned machines."""
    B = "B"
    """Acceptable for unrestricted long-term operation."""
    C = "C"
    """Unsatisfactory for long-term operation: run until there is an opportunity to repair."""
    D = "D"
    """Severe enough to cause damage."""


@dataclass(frozen=True, slots=True)
class MachineGroup:
    """Limits in mm/s RMS for one group of machines on one kind of support, with whose they are.

    `low_hz` to `high_hz` is the band the velocity must be measured in. Raises SignalError unless 0 < a_b < b_c < c_d
    and the band rises.
    """

    name: str
    description: str
    a_b_mm_s: float
    b_c_mm_s: float
    c_d_mm_s: float
    low_hz: float
    high_hz: float
    source: str
    edition: str
    note: str

    def __post_init__(self) -> None:
        limits = (0.0, self.a_b_mm_s, self.b_c_mm_s, self.c_d_mm_s)
        if not all(math.isfinite(limit) for limit in limits) or not limits[0] < limits[1] < limits[2] < limits[3]:
            raise SignalError(f"{self.name}: the limits A/B, B/C, C/D must rise from above 0, not {limits[1:]}")
        if not 0 < self.low_hz < self.high_hz < math.inf:
            raise SignalError(
                f"{self.name}: the band must rise from above 0, not {self.low_hz:g} to {self.high_hz:g} Hz"
            )


def zone_of(velocity_rms_mm_s: float, group: MachineGroup) -> Zone:
    """Return the zone of a velocity.

    On a boundary it is the worse one. Raises SignalError for a value that is no RMS.
    """
    if not (math.isfinite(velocity_rms_mm_s) and velocity_rms_mm_s >= 0):
        raise SignalError(f"a velocity RMS is a number from 0 up, not {velocity_rms_mm_s}")
    if velocity_rms_mm_s < group.a_b_mm_s:
        return Zone.A
    if velocity_rms_mm_s < group.b_c_mm_s:
        return Zone.B
    return Zone.C if velocity_rms_mm_s < group.c_d_mm_s else Zone.D
