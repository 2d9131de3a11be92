"""Which driver serves which settings. A protocol's library is imported when a source needs it, not before."""

from __future__ import annotations

from edge_agent.core.clock import Clock
from edge_agent.drivers.base import Driver
from edge_agent.settings import (
    AccelerometerSettings,
    MicrophoneSettings,
    ModbusSettings,
    OpcUaSettings,
    ReplaySettings,
    SourceSettings,
    SyntheticSettings,
)


def build_driver(settings: SourceSettings, clock: Clock) -> Driver:
    """The driver for this source, not opened yet."""
    match settings:
        case MicrophoneSettings():
            from edge_agent.drivers.sound.microphone import MicrophoneDriver

            return MicrophoneDriver(settings, clock)
        case AccelerometerSettings():
            from edge_agent.drivers.accelerometer.accelerometer import AccelerometerDriver

            return AccelerometerDriver(settings, clock)
        case ReplaySettings():
            from edge_agent.drivers.replay import ReplayDriver

            return ReplayDriver(settings, clock)
        case SyntheticSettings():
            from edge_agent.drivers.synthetic import SyntheticDriver

            return SyntheticDriver(settings, clock)
        case ModbusSettings():
            from edge_agent.drivers.modbus.driver import ModbusDriver

            return ModbusDriver(settings, clock)
        case OpcUaSettings():
            from edge_agent.drivers.opcua.driver import OpcUaDriver

            return OpcUaDriver(settings, clock)
