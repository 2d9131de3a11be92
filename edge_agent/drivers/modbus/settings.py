"""The settings of a Modbus device."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from edge_agent.drivers.modbus.connection_settings import ModbusConnectionSettings
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings
from edge_agent.settings.sources import Strict, TagSettings


class PollGroupSettings(Strict):
    """Tags of one device that are read together."""

    interval_s: float = Field(1.0, ge=0.01, le=86_400, description="Time between two reads.")
    tags: tuple[ModbusTagSettings, ...] = Field(min_length=1, description="What is read.")


class ModbusSettings(ModbusConnectionSettings):
    """A Modbus device, read only."""

    driver: ClassVar[str] = "edge_agent.drivers.modbus.driver:ModbusDriver"

    type: Literal["modbus"] = Field(description="Says which kind of source this is.")
    max_registers: int = Field(125, ge=1, le=125, description="Largest read the device accepts, in registers.")
    max_hole: int = Field(16, ge=0, le=124, description="Unused registers worth reading to save a request.")
    poll_groups: tuple[PollGroupSettings, ...] = Field(min_length=1, description="One per reading interval.")

    @property
    def all_tags(self) -> tuple[TagSettings, ...]:
        """Return the tags of all poll groups."""
        return tuple(tag for group in self.poll_groups for tag in group.tags)
