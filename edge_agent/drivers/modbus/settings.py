"""The settings of a Modbus device."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from edge_agent.drivers.modbus.connection_settings import ModbusConnectionSettings
from edge_agent.drivers.modbus.data.types import Order
from edge_agent.drivers.modbus.register_map.address_column import Counting
from edge_agent.drivers.modbus.register_map.source_tags import with_all_tags
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings
from edge_agent.settings.sources import Name, Strict, TagSettings


class PollGroupSettings(Strict):
    """Tags of one device that are read together."""

    interval_s: float = Field(1.0, ge=0.01, le=86_400, description="Time between two reads.")
    tags: tuple[ModbusTagSettings, ...] = Field((), description="What is read; with a register_map, more than it has.")
    register_map: Path | None = Field(None, description="A vendor's register map as CSV; its rows are tags, too.")
    asset: Name | None = Field(None, description="Before the names of the register_map; none is the source's name.")
    map_addresses: Counting | None = Field(
        None, description='How the map counts: "from_0", "from_1", "manual" (40001); none: as its numbers tell.'
    )

    @model_validator(mode="after")
    def _reads_something(self) -> PollGroupSettings:
        if not self.tags:
            raise ValueError("a poll group needs tags, or a register_map")
        return self


class ModbusSettings(ModbusConnectionSettings):
    """A Modbus device, read only."""

    driver: ClassVar[str] = "edge_agent.drivers.modbus.driver:ModbusDriver"

    type: Literal["modbus"] = Field(description="Says which kind of source this is.")
    max_registers: int = Field(125, ge=1, le=125, description="Largest read the device accepts, in registers.")
    max_hole: int = Field(16, ge=0, le=124, description="Unused registers worth reading to save a request.")
    order: Order = Field("ABCD", description="Byte order of the numbers of all tags that name none of their own.")
    register_map: Path | None = Field(
        None, description="A register map that is a poll group of its own, read every second."
    )
    poll_groups: tuple[PollGroupSettings, ...] = Field(
        (), description="One per reading interval; needed without a register_map."
    )

    @model_validator(mode="before")
    @classmethod
    def _complete_the_tags(cls, given: Any) -> Any:
        return with_all_tags(given) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _reads_something(self) -> ModbusSettings:
        if not self.poll_groups:
            raise ValueError("it reads nothing: [[sources.poll_groups]] with tags, or a register_map")
        return self

    @property
    def all_tags(self) -> tuple[TagSettings, ...]:
        """Return the tags of all poll groups."""
        return tuple(tag for group in self.poll_groups for tag in group.tags)
