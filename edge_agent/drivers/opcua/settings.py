"""The settings of an OPC UA server."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from edge_agent.drivers.opcua.node_address import parse_browse_path, parse_node_id
from edge_agent.drivers.opcua.security_settings import OpcUaConnectionSettings
from edge_agent.drivers.row_time import TIME_BOUND_S, TimeChoice
from edge_agent.settings.sources import Factor, TagSettings


class OpcUaNodeSettings(TagSettings):
    """Where one number lives in an OPC UA server."""

    node_id: str | None = Field(
        None, description='For example "ns=2;s=Press3.Temperature" or "nsu=urn:maker:press;i=1042".'
    )
    browse_path: str | None = Field(
        None,
        description='In place of node_id: names below Root, "Objects/2:Machine/*/Temperature"; one node must match.',
    )
    index: int | tuple[int, ...] | None = Field(
        None, description="The element of an array, from 0; a list of numbers for more dimensions."
    )
    parse: bool = Field(False, description='The value is a text that holds a number, "42.5" or "42,5".')
    scale: Factor = Field(1.0, description="value = raw * scale + offset")
    offset: float = Field(0.0, description="In `unit`; added after scaling.")
    time: TimeChoice | None = Field(None, description="Whose clock this node's rows have; none: as the source says.")

    @field_validator("node_id")
    @classmethod
    def _is_a_node_id(cls, text: str | None) -> str | None:
        if text is not None:
            parse_node_id(text)
        return text

    @field_validator("browse_path")
    @classmethod
    def _is_a_browse_path(cls, text: str | None) -> str | None:
        if text is not None:
            parse_browse_path(text)
        return text

    @field_validator("index", mode="before")
    @classmethod
    def _is_a_place(cls, index: object) -> object:
        places = index if isinstance(index, list | tuple) and index else [index]
        if index is None or all(type(place) is int and place >= 0 for place in places):
            return index
        raise ValueError(f"is a number from 0, or a list of them, not {index}")

    @model_validator(mode="after")
    def _has_one_address(self) -> OpcUaNodeSettings:
        if (self.node_id is None) == (self.browse_path is None):
            raise ValueError("a node needs node_id or browse_path, one of the two")
        return self

    @property
    def address(self) -> str:
        """Return how the site's file names the node."""
        return self.node_id or self.browse_path or ""

    @property
    def indexes(self) -> tuple[int, ...]:
        """Return the place in the array, dimension by dimension; none for a scalar."""
        return () if self.index is None else (self.index,) if isinstance(self.index, int) else self.index


class OpcUaSettings(OpcUaConnectionSettings):
    """An OPC UA server, subscribed to or polled, never written to."""

    driver: ClassVar[str] = "edge_agent.drivers.opcua.driver:OpcUaDriver"

    type: Literal["opcua"] = Field(description="Says which kind of source this is.")
    mode: Literal["subscription", "polling"] = Field(
        "subscription", description='"polling" reads all nodes at an interval: for servers without subscriptions.'
    )
    polling_interval_ms: float = Field(1_000.0, ge=50, le=3_600_000, description="How often polling reads all nodes.")
    publishing_interval_ms: float = Field(
        500.0, ge=10, le=3_600_000, description="How often the server sends what has changed."
    )
    sampling_interval_ms: float = Field(
        500.0, ge=0, le=3_600_000, description="How often the server looks; 0 is as fast as it can."
    )
    queue_size: int = Field(50, ge=1, le=10_000, description="Values the server keeps per node between publishes.")
    silent_after_s: float = Field(
        30.0, ge=0.1, le=86_400, description="No keep-alive for this long: the server is lost."
    )
    time: TimeChoice = Field(
        "auto",
        description="Whose clock rows have; auto: the value's source, if it can be right, else the server, else ours.",
    )
    time_bound_s: float = Field(
        TIME_BOUND_S,
        gt=0,
        le=86_400,
        description="A time further from the receipt than this, and an interval, is not believed.",
    )
    nodes: tuple[OpcUaNodeSettings, ...] = Field(min_length=1, description="What is read.")

    @property
    def interval_s(self) -> float:
        """Return how late a value may come that changed just now."""
        interval_ms = self.polling_interval_ms if self.mode == "polling" else self.publishing_interval_ms
        return interval_ms / 1_000

    @property
    def all_tags(self) -> tuple[TagSettings, ...]:
        """Return the nodes that are read."""
        return self.nodes
