"""What the simulated plant offers, and the configuration that reads it.

One table per machine, used by its server and by the source settings, so that the two cannot disagree.
Knows no protocol library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

UNIT_ID: Final = 1
NAMESPACE_URI: Final = "urn:smart-maintenance-edge:plant"
NAMESPACE_INDEX: Final = 2  # 0 is the standard's, 1 the server's own
POLL_INTERVAL_S: Final = 1.0
PUBLISHING_INTERVAL_MS: Final = 500.0


@dataclass(frozen=True, slots=True)
class PressRegister:
    """One quantity of press-3: its holding register and the row field it shows."""

    quantity: str
    address: int
    data_type: str
    order: str
    unit: str
    sensor_type: str


@dataclass(frozen=True, slots=True)
class PumpNode:
    """One quantity of pump-2 and its OPC UA node."""

    quantity: str
    browse_name: str
    unit: str
    sensor_type: str

    @property
    def node_id(self) -> str:
        return f"ns={NAMESPACE_INDEX};s=Pump2.{self.browse_name}"


# Orders are mixed on purpose: a real plant's are. Registers 9 and 12 to 15 are unused.
PRESS_REGISTERS: Final = (
    PressRegister("air_temperature", 0, "float32", "ABCD", "K", "temperature"),
    PressRegister("process_temperature", 2, "float32", "CDAB", "K", "temperature"),
    PressRegister("rotational_speed", 4, "uint16", "ABCD", "rpm", "manufacturing"),
    PressRegister("torque", 6, "float32", "DCBA", "Nm", "manufacturing"),
    PressRegister("tool_wear", 8, "uint16", "ABCD", "min", "manufacturing"),
    PressRegister("type_l", 10, "uint16", "ABCD", "", "manufacturing"),
    PressRegister("type_m", 11, "uint16", "ABCD", "", "manufacturing"),
)
PRESS_REGISTER_COUNT: Final = 16
RUNNING_COIL: Final = 0

PUMP_NODES: Final = (
    PumpNode("discharge_pressure", "DischargePressure", "bar", "pressure"),
    PumpNode("flow", "Flow", "m3/h", "pump"),
    PumpNode("motor_current", "MotorCurrent", "A", "pump"),
    PumpNode("bearing_temperature", "BearingTemperature", "degC", "bearing"),
)


def modbus_source(port: int) -> dict[str, Any]:
    """Return source settings (`type = "modbus"`) for press-3 on this machine."""
    registers = [
        {
            "name": f"press-3.{register.quantity}",
            "unit": register.unit,
            "sensor_type": register.sensor_type,
            "table": "holding",
            "address": register.address,
            "data_type": register.data_type,
            "order": register.order,
        }
        for register in PRESS_REGISTERS
    ]
    running = {
        "name": "press-3.running",
        "unit": "",
        "sensor_type": "manufacturing",
        "table": "coil",
        "address": RUNNING_COIL,
        "data_type": "bool",
    }
    return {
        "type": "modbus",
        "name": "press-3",
        "host": "127.0.0.1",
        "port": port,
        "unit_id": UNIT_ID,
        "timeout_s": 2.0,
        "poll_groups": [{"interval_s": POLL_INTERVAL_S, "tags": [*registers, running]}],
    }


def opcua_source(port: int) -> dict[str, Any]:
    """Return source settings (`type = "opcua"`) for pump-2 on this machine; plaintext, since it never leaves it."""
    return {
        "type": "opcua",
        "name": "pump-2",
        "endpoint": f"opc.tcp://127.0.0.1:{port}/plant",
        "security": "none",
        "allow_plaintext": True,
        "publishing_interval_ms": PUBLISHING_INTERVAL_MS,
        "sampling_interval_ms": PUBLISHING_INTERVAL_MS,
        "nodes": [
            {
                "name": f"pump-2.{node.quantity}",
                "unit": node.unit,
                "sensor_type": node.sensor_type,
                "node_id": node.node_id,
            }
            for node in PUMP_NODES
        ],
    }
