"""The settings of an OPC UA server."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from edge_agent.drivers.opcua.node_address import parse_node_id
from edge_agent.drivers.opcua.security_settings import OpcUaConnectionSettings
from edge_agent.settings.sources import TagSettings


class OpcUaNodeSettings(TagSettings):
    """Where one number lives in an OPC UA server."""

    node_id: str = Field(description='For example "ns=2;s=Press3.Temperature" or "nsu=urn:maker:press;i=1042".')

    @field_validator("node_id")
    @classmethod
    def _is_a_node_id(cls, text: str) -> str:
        parse_node_id(text)
        return text


class OpcUaSettings(OpcUaConnectionSettings):
    """An OPC UA server, subscribed to, never written to."""

    driver: ClassVar[str] = "edge_agent.drivers.opcua.driver:OpcUaDriver"

    type: Literal["opcua"] = Field(description="Says which kind of source this is.")
    publishing_interval_ms: float = Field(500.0, ge=10, description="How often the server sends what has changed.")
    sampling_interval_ms: float = Field(500.0, ge=0, description="How often the server looks; 0 is as fast as it can.")
    queue_size: int = Field(50, ge=1, le=10_000, description="Values the server keeps per node between publishes.")
    silent_after_s: float = Field(30.0, gt=0, description="No keep-alive for this long: the server is lost.")
    nodes: tuple[OpcUaNodeSettings, ...] = Field(min_length=1, description="What is subscribed to.")

    @property
    def all_tags(self) -> tuple[TagSettings, ...]:
        """Return the nodes that are subscribed to."""
        return self.nodes
