"""The settings of a Modbus TCP device."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from edge_agent.settings.sources import Factor, Strict, TagSettings, TagSourceSettings


class ModbusTagSettings(TagSettings):
    """Where one number lives in a Modbus device. Addresses count from 0, as on the wire."""

    table: Literal["holding", "input", "coil", "discrete"] = Field("holding", description="Where the device keeps it.")
    address: int = Field(ge=0, le=65_535, description="From 0: the manual's 40001 is holding register 0.")
    data_type: Literal["uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "bool"] = Field(
        "uint16", description="How the registers are read."
    )
    order: Literal["ABCD", "DCBA", "BADC", "CDAB"] = Field(
        "ABCD", description="Byte order of numbers over two and more registers."
    )
    scale: Factor = Field(1.0, description="value = raw * scale + offset")
    offset: float = Field(0.0, description="In `unit`; added after scaling.")

    @model_validator(mode="after")
    def _bits_are_bool(self) -> ModbusTagSettings:
        is_bit = self.table in ("coil", "discrete")
        if is_bit != (self.data_type == "bool"):
            raise ValueError('coils and discrete inputs are data_type = "bool", registers are not')
        return self


class PollGroupSettings(Strict):
    """Tags of one device that are read together."""

    interval_s: float = Field(1.0, ge=0.01, le=86_400, description="Time between two reads.")
    tags: tuple[ModbusTagSettings, ...] = Field(min_length=1, description="What is read.")


class ModbusSettings(TagSourceSettings):
    """A Modbus TCP device, read only."""

    driver: ClassVar[str] = "edge_agent.drivers.modbus.driver:ModbusDriver"

    type: Literal["modbus"] = Field(description="Says which kind of source this is.")
    host: str = Field(min_length=1, description="Name or address of the device.")
    port: int = Field(502, ge=1, le=65_535, description="502 is Modbus TCP's own.")
    unit_id: int = Field(1, ge=0, le=255, description="The device behind a gateway; most devices ignore it.")
    timeout_s: float = Field(3.0, gt=0, le=60, description="How long to wait for one answer.")
    max_registers: int = Field(125, ge=1, le=125, description="Largest read the device accepts, in registers.")
    max_hole: int = Field(16, ge=0, le=124, description="Unused registers worth reading to save a request.")
    poll_groups: tuple[PollGroupSettings, ...] = Field(min_length=1, description="One per reading interval.")

    @property
    def all_tags(self) -> tuple[TagSettings, ...]:
        """Return the tags of all poll groups."""
        return tuple(tag for group in self.poll_groups for tag in group.tags)
