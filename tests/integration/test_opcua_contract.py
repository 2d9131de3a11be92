"""The driver contract on OPC UA, over the simulated plant's own server process; and that process itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_agent.core.clock import SystemClock
from edge_agent.core.tags import Scan
from edge_agent.demo.plant_sources import modbus_source, opcua_source
from edge_agent.drivers.modbus.driver import ModbusDriver
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.opcua.driver import OpcUaDriver
from edge_agent.drivers.opcua.settings import OpcUaSettings
from tests.contract.behind_relay import BehindRelay
from tests.contract.check_driver import CHECKS
from tests.peers.processes import child, first_line
from tests.peers.relay import relay_to

DATA = Path(__file__).parents[1] / "data" / "ai4i" / "ai4i2020.csv"
EXIT_DEADLINE_S = 10.0


@dataclass(frozen=True)
class Plant:
    process: subprocess.Popen[str]
    modbus_port: int
    opcua_port: int


def plant_command() -> list[str]:
    return [sys.executable, "-m", "edge_agent.demo.plant", "--data", str(DATA)]


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    with child(plant_command()) as process:
        yield Plant(process, **json.loads(first_line(process)))


def quick_driver(port: int) -> OpcUaDriver:
    quick = {"silent_after_s": 1.5, "publishing_interval_ms": 50.0, "sampling_interval_ms": 50.0}
    return OpcUaDriver(OpcUaSettings.model_validate(opcua_source(port) | quick), SystemClock())


@pytest.fixture
async def bench(plant):
    async with relay_to(plant.opcua_port) as relay:
        yield BehindRelay(relay, quick_driver)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_driver_contract(check, bench):
    await check(bench)


async def test_the_plants_press_reads_as_a_row_of_the_data_set(plant):
    driver = ModbusDriver(ModbusSettings.model_validate(modbus_source(plant.modbus_port)), SystemClock())
    await driver.open()
    scan = await anext(driver.stream())
    await driver.close()
    assert isinstance(scan, Scan)
    row = {reading.tag.name.removeprefix("press-3."): reading.value for reading in scan.readings}
    # The data set's own ranges.
    assert 295 < row["air_temperature"] < 305
    assert 305 < row["process_temperature"] < 315
    assert 1100 < row["rotational_speed"] < 2900
    assert 3 < row["torque"] < 77
    assert 0 <= row["tool_wear"] < 260
    assert row["type_l"] + row["type_m"] <= 1
    assert row["running"] in (0.0, 1.0)


async def test_the_plants_pump_stamps_its_values_itself(plant):
    driver = OpcUaDriver(OpcUaSettings.model_validate(opcua_source(plant.opcua_port)), SystemClock())
    await driver.open()
    scan = await anext(driver.stream())
    await driver.close()
    assert isinstance(scan, Scan)
    assert {reading.tag.name for reading in scan.readings} == {
        "pump-2.discharge_pressure", "pump-2.flow", "pump-2.motor_current", "pump-2.bearing_temperature",
    }  # fmt: skip
    assert all(reading.source_time_ns is not None for reading in scan.readings)
    assert len({reading.source_time_ns for reading in scan.readings}) == 1


def test_the_plant_ends_when_its_standard_input_closes():
    with child(plant_command()) as process:
        first_line(process)
        process.stdin.close()
        assert process.wait(EXIT_DEADLINE_S) == 0


def test_the_plant_ends_on_sigterm(plant):
    """The last that needs it: a start takes seconds."""
    plant.process.send_signal(signal.SIGTERM)
    assert plant.process.wait(EXIT_DEADLINE_S) == 0
