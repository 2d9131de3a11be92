"""Models over one tag on the whole pipeline: a Modbus device, the agent, the shipped bundles, records at a central.

The device shows the synthetic sensor the models were trained on, one reading per poll, then a fault. The isolated
outliers that belong to that sensor (every fiftieth reading) are left out: how often one is polled is not ours to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_sync.records import Event, EventKind
from cloud_sync.transports.memory import MemoryTransport
from converters.training import lightgbm_challenger, prophet_forecaster
from converters.training.synthetic_sensors import (
    N_READINGS,
    OUTLIER_EVERY,
    START_S,
    STEP_S,
    STEP_SIZE,
    synthetic_sensor,
)
from edge_agent.app import Agent
from edge_agent.core.clock import SystemClock
from edge_agent.errors import ConfigurationError
from edge_agent.settings import Settings
from tests.integration.test_agent import ask, settings_of, until
from tests.peers.scripted_modbus import Request, register_answer, scripted_device
from tests.support.bundle_workshop import make_workshop

TAG = "sensor-001.temperature"
BEAT_S = 0.1


class ShiftedClock(SystemClock):
    """The machine's clock as it was when the forecast was fresh: models trained on a week in January know no other."""

    def __init__(self, start_ns: int) -> None:
        self._shift_ns = start_ns - super().now_ns()

    def now_ns(self) -> int:
        return super().now_ns() + self._shift_ns


class Sensor:
    """A register pair that shows the next reading at every request, `STEP_SIZE` too high once it is faulty."""

    def __init__(self, values: Iterator[float]) -> None:
        self._values = values
        self.is_faulty = False

    def __call__(self, request: Request) -> bytes:
        value = next(self._values) + (STEP_SIZE if self.is_faulty else 0.0)
        return register_answer(request.function, list(struct.unpack(">HH", struct.pack(">f", value))))


def healthy_readings() -> Iterator[float]:
    values = synthetic_sensor(1, N_READINGS + 300).values[N_READINGS:]
    usual = np.arange(len(values)) % OUTLIER_EVERY != OUTLIER_EVERY - 1
    return itertools.cycle(values[usual].tolist())


def site(folder: Path, port: int, models: Path, model: str, **tag_model: Any) -> Settings:
    plc = {
        "type": "modbus", "name": "plc", "host": "127.0.0.1", "port": port,
        "poll_groups": [{"interval_s": BEAT_S, "tags": [
            {"name": TAG, "unit": "C", "sensor_type": "temperature", "address": 0, "data_type": "float32"}]}],
    }  # fmt: skip
    given = {"name": "watch", "asset": "sensor-001", "model": model, "inputs": {"value": TAG}, "interval_s": BEAT_S}
    given["max_gap_steps"] = 100  # a test machine may stall
    return settings_of(folder, plc, models=models, tag_models=[{**given, **tag_model}])


@contextlib.asynccontextmanager
async def running(settings: Settings, transport: MemoryTransport, clock: SystemClock) -> AsyncIterator[None]:
    agent = Agent.build(settings, clock=clock, transport=transport)
    stop = asyncio.Event()
    task = asyncio.create_task(agent.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


def alarms(central: MemoryTransport) -> list[Event]:
    return [event for event in central.events.values() if event.kind is EventKind.ALARM]


def scores(central: MemoryTransport) -> int:
    return sum(sensor_id == "sensor-001.watch.score" for sensor_id, _ in central.rows)


def fast_history(models: Path) -> str:
    """The LightGBM bundle with readings a tenth of a second apart: the arithmetic knows no step."""
    workshop = make_workshop(models, lightgbm_challenger.NAME)
    path = workshop.bundle(lightgbm_challenger.NAME)
    workshop.change_manifest(path, lambda manifest: manifest["feature_spec"]["parameters"].update(step_s=BEAT_S))
    return lightgbm_challenger.NAME


def shipped_forecast(models: Path) -> str:
    make_workshop(models, prophet_forecaster.NAME)
    return prophet_forecaster.NAME


@pytest.mark.parametrize("bundle", [shipped_forecast, fast_history])
async def test_a_fault_of_one_tag_raises_the_alarm_and_nothing_does_before(
    tmp_path: Path, bundle: Callable[[Path], str]
) -> None:
    models, central, sensor = tmp_path / "models", MemoryTransport(), Sensor(healthy_readings())
    clock = ShiftedClock((START_S + N_READINGS * STEP_S) * 10**9)
    async with scripted_device(sensor) as device:
        settings = site(tmp_path, device.port, models, bundle(models))
        async with running(settings, central, clock):
            await until(lambda: scores(central) >= 20, "twenty scores at the central")
            assert alarms(central) == []
            healthy = await ask(settings)
            sensor.is_faulty = True
            await until(lambda: bool(alarms(central)), "the alarm at the central")
            faulty = await ask(settings)
    (before,), (after,) = healthy["tag_models"], faulty["tag_models"]
    assert (before["verdict"], before["is_alarm"], before["scored_total"] > 0) == ("normal", False, True)
    assert (after["verdict"], after["is_alarm"]) == ("anomalous", True)
    assert alarms(central)[0].body["state"] == "raised"
    assert alarms(central)[0].subject == faulty["alarms"][0]["subject"] == "sensor-001"


async def test_a_history_that_is_not_whole_is_a_problem_in_status_and_a_gap_at_the_central(tmp_path: Path) -> None:
    models, central, sensor = tmp_path / "models", MemoryTransport(), Sensor(healthy_readings())
    async with scripted_device(sensor) as device:
        settings = site(tmp_path, device.port, models, fast_history(models))
        async with running(settings, central, SystemClock()):
            await until(lambda: bool(central.events), "the gap at the central")
            gap = next(iter(central.events.values()))
            assert gap.subject == "sensor-001.watch"
            await until(lambda: scores(central) > 0, "a score")
            document = await ask(settings)
    assert document["problems"] == []
    assert document["tag_models"][0]["refused_total"] >= 13


async def test_a_history_at_another_step_than_the_models_is_refused_before_the_start(tmp_path: Path) -> None:
    models = tmp_path / "models"
    make_workshop(models, lightgbm_challenger.NAME)
    settings = site(tmp_path, 1, models, lightgbm_challenger.NAME, interval_s=60.0)
    with pytest.raises(ConfigurationError, match="trained on readings 300 s apart"):
        Agent.build(settings, clock=SystemClock(), transport=MemoryTransport())
