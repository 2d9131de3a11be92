"""pump-2: a centrifugal pump in a loop whose demand wanders, as plain arithmetic.

Each step: the demand drifts (a slow sine and a random walk that is pulled back); the pressure follows the pump's
curve, p = shut-off pressure - k * flow^2; the motor's current follows the hydraulic power, flow * p; the bearing
warms towards ambient + losses, losses growing with the current squared, with a time constant of minutes. Measured
values carry sensor noise. Sensors misbehave now and then: a quality of UNCERTAIN or BAD for a few seconds.

All numbers are those of a small process pump (11 kW class); none is taken from a real one. Knows no protocol.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from edge_agent.core.quality import Quality

SHUT_OFF_BAR: Final = 6.2
CURVE_BAR_PER_FLOW2: Final = 0.0011  # bar per (m3/h)^2
MEAN_FLOW_M3H: Final = 40.0
DEMAND_SWING_M3H: Final = 6.0
DEMAND_PERIOD_S: Final = 600.0
IDLE_CURRENT_A: Final = 7.5
AMPERE_PER_BAR_FLOW: Final = 0.055
AMBIENT_DEGC: Final = 22.0
LOSSES_DEGC_PER_A2: Final = 0.105
BEARING_TIME_CONSTANT_S: Final = 240.0

NOISE: Final = {"discharge_pressure": 0.02, "flow": 0.25, "motor_current": 0.08, "bearing_temperature": 0.05}
"""Standard deviation of each sensor's noise, in its unit."""

# About one UNCERTAIN spell in six minutes and one BAD spell in twenty, over the whole pump.
UNCERTAIN_PER_S: Final = 1 / 360
BAD_PER_S: Final = 1 / 1200
SPELL_S: Final = 4.0


@dataclass(frozen=True, slots=True)
class PumpState:
    """Measured values by quantity (bar, m3/h, A, degC), and the quality of each that is not GOOD."""

    values: dict[str, float]
    quality: dict[str, Quality]


class Pump:
    """The pump's inner state. The same seed and steps give the same values."""

    def __init__(self, *, seed: int = 2) -> None:
        self._random = random.Random(seed)  # noqa: S311  (noise, not secrets)
        self._time_s = 0.0
        self._wander_m3h = 0.0
        self._bearing_degc = AMBIENT_DEGC + LOSSES_DEGC_PER_A2 * _current(MEAN_FLOW_M3H) ** 2
        self._spells: dict[str, tuple[Quality, float]] = {}

    def step(self, dt_s: float) -> PumpState:
        """Move on by `dt_s` seconds and read the sensors."""
        self._time_s += dt_s
        flow = self._flow(dt_s)
        current = _current(flow)
        target = AMBIENT_DEGC + LOSSES_DEGC_PER_A2 * current**2
        self._bearing_degc += (target - self._bearing_degc) * -math.expm1(-dt_s / BEARING_TIME_CONSTANT_S)
        true = {
            "discharge_pressure": _pressure(flow),
            "flow": flow,
            "motor_current": current,
            "bearing_temperature": self._bearing_degc,
        }
        values = {quantity: value + self._random.gauss(0.0, NOISE[quantity]) for quantity, value in true.items()}
        return PumpState(values, self._quality(dt_s))

    def _flow(self, dt_s: float) -> float:
        self._wander_m3h += -self._wander_m3h * dt_s / 60.0 + self._random.gauss(0.0, 0.3 * math.sqrt(dt_s))
        swing = DEMAND_SWING_M3H * math.sin(2 * math.pi * self._time_s / DEMAND_PERIOD_S)
        return max(0.0, MEAN_FLOW_M3H + swing + self._wander_m3h)

    def _quality(self, dt_s: float) -> dict[str, Quality]:
        self._spells = {name: spell for name, spell in self._spells.items() if spell[1] > self._time_s}
        for quality, per_s in ((Quality.UNCERTAIN, UNCERTAIN_PER_S), (Quality.BAD, BAD_PER_S)):
            if self._random.random() < per_s * dt_s:
                self._spells[self._random.choice(sorted(NOISE))] = (quality, self._time_s + SPELL_S)
        return {name: quality for name, (quality, _) in self._spells.items()}


def _pressure(flow_m3h: float) -> float:
    return SHUT_OFF_BAR - CURVE_BAR_PER_FLOW2 * flow_m3h**2


def _current(flow_m3h: float) -> float:
    return IDLE_CURRENT_A + AMPERE_PER_BAR_FLOW * flow_m3h * _pressure(flow_m3h)
