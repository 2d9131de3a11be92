"""Fifteen sensors that never were: the platform's demonstration series, made again from their description.

Constraints
- sensor-001 to sensor-015, five kinds in turn, a reading every five minutes from 2026-01-05 00:00 UTC (a Monday).
- Per sensor a base drawn evenly from 20 to 80; value = base + 10 U, but base - 10 U at every 50th reading; quality
  is normal around 0.98 with deviation 0.02, cut to 0..1, three decimals. U is even over 0..1.
- Each sensor has its own generator, seeded with (SEED, its number), and draws reading by reading: a longer series
  begins as the shorter one does. Values and qualities are rounded to float32, as the edge will hold them.

There is no physics in these: no trend, no daily wave, no wear. A model trained on them shows the road, not a plant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from edge_agent.bundles.manifest import TrainingData

SEED: Final = 1507
N_SENSORS: Final = 15
N_READINGS: Final = 600
STEP_S: Final = 300
START_S: Final = 1_767_571_200
READINGS_PER_DAY: Final = 86_400 // STEP_S
KINDS: Final = (("temperature", "C"), ("vibration", "mm/s"), ("pressure", "kPa"), ("humidity", "%"), ("voltage", "V"))
OUTLIER_EVERY: Final = 50

Fault = Literal["step", "drift", "stuck", "spike"]
FAULTS: Final[tuple[Fault, ...]] = ("step", "drift", "stuck", "spike")
STEP_SIZE: Final = 25.0
DRIFT_PER_READING: Final = 1.0
SPIKE_SIZE: Final = 40.0

TRAINING_DATA: Final = TrainingData(
    name="Fifteen synthetic sensors",
    source=f"converters.training.synthetic_sensors, seed {SEED}",
    licence="Apache-2.0, as this project",
    citation="Generated here; no measurement.",
    part_used=f"{N_READINGS} readings per sensor, five minutes apart",
)


@dataclass(frozen=True, slots=True, eq=False)
class SensorSeries:
    """One sensor's readings in order of time. `values`, `qualities` are float64 that float32 holds exactly."""

    sensor_id: str
    sensor_type: str
    unit: str
    times_s: NDArray[np.int64]
    values: NDArray[np.float64]
    qualities: NDArray[np.float64]


def synthetic_sensors(n_readings: int = N_READINGS) -> tuple[SensorSeries, ...]:
    """Return all of them, the same at every call."""
    return tuple(synthetic_sensor(number, n_readings) for number in range(1, N_SENSORS + 1))


def synthetic_sensor(number: int, n_readings: int = N_READINGS) -> SensorSeries:
    """Return sensor-<number>, 1 to 15."""
    rng = np.random.default_rng((SEED, number))
    base = rng.uniform(20.0, 80.0)
    draws = np.array([(rng.random(), rng.normal(0.98, 0.02)) for _ in range(n_readings)])
    is_outlier = np.arange(n_readings) % OUTLIER_EVERY == OUTLIER_EVERY - 1
    values = base + np.where(is_outlier, -10.0, 10.0) * draws[:, 0]
    qualities = np.round(np.clip(draws[:, 1], 0.0, 1.0), 3)
    kind, unit = KINDS[(number - 1) % len(KINDS)]
    times_s = START_S + STEP_S * np.arange(n_readings)
    return SensorSeries(f"sensor-{number:03d}", kind, unit, times_s, _float32(values), _float32(qualities))


def with_fault(series: SensorSeries, fault: Fault, start: int) -> SensorSeries:
    """Return the series with a fault from reading `start` on: a step up, a steady climb, a value that stays, or one
    spike.
    """
    values, since = series.values.copy(), np.arange(len(series.values) - start)
    match fault:
        case "step":
            values[start:] += STEP_SIZE
        case "drift":
            values[start:] += DRIFT_PER_READING * since
        case "stuck":
            values[start:] = values[start - 1]
        case "spike":
            values[start] += SPIKE_SIZE
    return replace(series, values=_float32(values))


def _float32(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.astype(np.float32).astype(np.float64)
