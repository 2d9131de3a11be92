"""How a sensor is, in the four states of NAMUR NE 107 and in words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Ne107(StrEnum):
    """NAMUR NE 107, by the names OPC UA's DeviceHealth has for it; each weighs more than those before."""

    NORMAL = "NORMAL"
    MAINTENANCE_REQUIRED = "MAINTENANCE_REQUIRED"  # the value is right, and will not be for ever
    OFF_SPEC = "OFF_SPEC"  # outside of what the sensor is made for: the value is uncertain
    CHECK_FUNCTION = "CHECK_FUNCTION"  # no valid value for the moment: somebody works on it, or it only begins
    FAILURE = "FAILURE"  # the value is not valid


@dataclass(frozen=True, slots=True)
class SensorHealth:
    """`state` is a word of docs/SENSOR_HEALTH.md; `detail` and `do` are for people, `since_ns` is the agent's clock."""

    ne107: Ne107 = Ne107.NORMAL
    state: str = "ok"
    detail: str = ""
    do: str = ""
    since_ns: int | None = None


OK: Final = SensorHealth()
