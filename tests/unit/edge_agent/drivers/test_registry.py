"""The driver of a source: its protocol's library is loaded when a source needs it, not before."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edge_agent.core.clock import FakeClock
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.registry import build_driver
from edge_agent.errors import ConfigurationError

PROBE = """
import importlib, sys
importlib.import_module(sys.argv[1])
libraries = {"pymodbus", "asyncua", "sounddevice", "soundfile", "scipy"}
print(sorted(libraries & set(sys.modules)))
"""


def libraries_loaded_by(module: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", PROBE, module], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize(
    "module",
    [
        "edge_agent.drivers.base",
        "edge_agent.drivers.registry",
        "edge_agent.drivers.accelerometer.driver",
        "edge_agent.drivers.replay.driver",
        "edge_agent.drivers.sound.microphone",
        "edge_agent.drivers.synthetic.driver",
        "edge_agent.settings",
        "edge_agent.drivers.modbus",
        "edge_agent.drivers.modbus.plan",
        "edge_agent.drivers.modbus.codec",
        "edge_agent.drivers.opcua",
        "edge_agent.drivers.opcua.decoding.mapping",
        "edge_agent.demo.plant_sources",
    ],
)
def test_no_protocol_library_is_loaded(module):
    assert libraries_loaded_by(module) == "[]"


@pytest.mark.parametrize(
    ("module", "library"),
    [("edge_agent.drivers.modbus.driver", "['pymodbus']"), ("edge_agent.drivers.opcua.driver", "['asyncua']")],
)
def test_a_driver_loads_its_own_library_only(module, library):
    assert libraries_loaded_by(module) == library


def test_a_mistake_in_the_settings_that_a_driver_finds_is_the_configurations():
    tag = {"name": "press-3.torque", "unit": "Nm", "address": 65_535, "data_type": "float32"}
    settings = {"type": "modbus", "name": "plc", "host": "192.0.2.1", "poll_groups": [{"tags": [tag]}]}
    with pytest.raises(ConfigurationError, match=r"press-3\.torque"):
        build_driver(ModbusSettings.model_validate(settings), FakeClock())
