"""press-3: a milling machine that shows the rows of the AI4I 2020 data set, on a Modbus TCP server.

Rows come from a CSV file with the data set's own columns (UCI 601, CC BY 4.0). "Product type" L, M or H becomes
two registers, type_l and type_m, 0 or 1. The coil says whether the machine runs: it stands in a failure row.
"""

from __future__ import annotations

import csv
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edge_agent.demo.plant_sources import PRESS_REGISTER_COUNT, PRESS_REGISTERS, RUNNING_COIL, UNIT_ID
from edge_agent.errors import RecordingError

_COLUMNS: Final = {
    "air_temperature": "Air temperature [K]",
    "process_temperature": "Process temperature [K]",
    "rotational_speed": "Rotational speed [rpm]",
    "torque": "Torque [Nm]",
    "tool_wear": "Tool wear [min]",
}
_FORMATS: Final = {"float32": ">f", "uint16": ">H"}
# The simulator stores through the protocol's write functions; only this process calls them.
_STORE_REGISTERS: Final = 16
_STORE_COILS: Final = 15


@dataclass(frozen=True, slots=True)
class PressRow:
    """One row: the quantities by name, as the registers show them, and whether the machine runs."""

    quantities: Mapping[str, float]
    is_running: bool


def read_rows(path: Path) -> tuple[PressRow, ...]:
    """Return all rows, in file order.

    Raises
    ------
    RecordingError
        The file is missing, empty, or lacks one of the data set's columns.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = tuple(_row(fields) for fields in csv.DictReader(file))
    except (OSError, KeyError, ValueError) as exc:
        raise RecordingError(f"{path} is not the AI4I 2020 data set: {exc!r}") from exc
    if not rows:
        raise RecordingError(f"{path} has no rows")
    return rows


def registers_of(row: PressRow) -> list[int]:
    """Return the holding registers from address 0, with unused ones at 0."""
    registers = [0] * PRESS_REGISTER_COUNT
    for register in PRESS_REGISTERS:
        words = _words(row.quantities[register.quantity], register.data_type, register.order)
        registers[register.address : register.address + len(words)] = words
    return registers


class PressServer:
    """The Modbus TCP server. `start` before `show`; `stop` at the end."""

    def __init__(self) -> None:
        self._server: ModbusTcpServer | None = None

    async def start(self, port: int) -> int:
        """Serve on 127.0.0.1; port 0 lets the system choose. The port that was taken."""
        registers = [SimData(0, values=[0] * PRESS_REGISTER_COUNT, datatype=DataType.REGISTERS)]
        coils = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
        device = SimDevice(UNIT_ID, simdata=(coils, coils, registers, registers))
        self._server = ModbusTcpServer(device, address=("127.0.0.1", port))
        await self._server.serve_forever(background=True)
        taken: int = self._server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        return taken

    async def show(self, row: PressRow) -> None:
        server = self._started()
        await server.async_setValues(UNIT_ID, _STORE_REGISTERS, 0, registers_of(row))
        await server.async_setValues(UNIT_ID, _STORE_COILS, RUNNING_COIL, [row.is_running])

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]

    def _started(self) -> ModbusTcpServer:
        if self._server is None:
            raise RuntimeError("start the server before showing a row")
        return self._server


def _row(fields: Mapping[str, str]) -> PressRow:
    quantities = {quantity: float(fields[column]) for quantity, column in _COLUMNS.items()}
    product_type = fields["Type"]
    if product_type not in ("L", "M", "H"):
        raise ValueError(f"product type {product_type!r}")
    types = {"type_l": float(product_type == "L"), "type_m": float(product_type == "M")}
    return PressRow(quantities | types, is_running=fields["Machine failure"] == "0")


def _words(value: float, data_type: str, order: str) -> list[int]:
    number = int(value) if data_type == "uint16" else value
    content = struct.pack(_FORMATS[data_type], number)
    if len(content) == len(order):
        content = bytes(content["ABCD".index(letter)] for letter in order)
    return list(struct.unpack(f">{len(content) // 2}H", content))
