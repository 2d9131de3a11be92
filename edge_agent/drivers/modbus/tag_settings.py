"""Where one value lives in a Modbus device, and how it is read: the settings of a tag."""

from __future__ import annotations

from pydantic import Field, model_validator

from edge_agent.drivers.modbus.types import BIT_TABLES, WIDTHS, DataType, Order, Table
from edge_agent.settings.sources import Factor, TagSettings


class ModbusTagSettings(TagSettings):
    """Where one number lives in a Modbus device. Addresses count from 0, as on the wire."""

    table: Table = Field("holding", description="Where the device keeps it.")
    address: int = Field(ge=0, le=65_535, description="From 0: the manual's 40001 is holding register 0.")
    data_type: DataType = Field("uint16", description="How the registers are read.")
    order: Order = Field("ABCD", description="Byte order of numbers over two and more registers.")
    scale: Factor = Field(1.0, description="value = raw * scale + offset")
    offset: float = Field(0.0, description="In `unit`; added after scaling.")

    @property
    def is_bit(self) -> bool:
        """Return whether it lies in a table of bits, where an address is one bit."""
        return self.table in BIT_TABLES

    @property
    def width(self) -> int:
        """Return how many registers it takes; bits in a table of bits."""
        return WIDTHS[self.data_type]

    @model_validator(mode="after")
    def _bits_are_bool(self) -> ModbusTagSettings:
        if self.is_bit != (self.data_type == "bool"):
            raise ValueError('coils and discrete inputs are data_type = "bool", registers are not')
        return self
