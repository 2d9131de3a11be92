"""A protocol's library is loaded when a source needs it, not before."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
        "edge_agent.drivers.opcua.mapping",
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
