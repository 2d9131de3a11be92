"""The settings of an OPC UA server."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from edge_agent.drivers.opcua.node_address import parse_node_id
from edge_agent.settings.sources import TagSettings, TagSourceSettings


class OpcUaNodeSettings(TagSettings):
    """Where one number lives in an OPC UA server."""

    node_id: str = Field(description='For example "ns=2;s=Press3.Temperature" or "nsu=urn:maker:press;i=1042".')

    @field_validator("node_id")
    @classmethod
    def _is_a_node_id(cls, text: str) -> str:
        parse_node_id(text)
        return text


class OpcUaSettings(TagSourceSettings):
    """An OPC UA server, subscribed to, never written to."""

    driver: ClassVar[str] = "edge_agent.drivers.opcua.driver:OpcUaDriver"

    type: Literal["opcua"] = Field(description="Says which kind of source this is.")
    endpoint: str = Field(pattern=r"^opc\.tcp://[^\s]+$", description="For example opc.tcp://10.0.4.20:4840/plant.")
    security: Literal["none", "basic256sha256", "aes256_sha256_rsapss"] = Field(
        "none", description="Security policy, with signing and encryption."
    )
    allow_plaintext: bool = Field(False, description='Permit security = "none".')
    certificate_file: Path | None = Field(
        None, description="This gateway's own (PEM or DER); the server must trust it."
    )
    private_key_file: Path | None = Field(None, description="Its key, without a password.")
    username: str | None = Field(None, description="None signs in as an anonymous user.")
    password_file: Path | None = Field(None, description="A file that holds only the user's password.")
    publishing_interval_ms: float = Field(500.0, ge=10, description="How often the server sends what has changed.")
    sampling_interval_ms: float = Field(500.0, ge=0, description="How often the server looks; 0 is as fast as it can.")
    queue_size: int = Field(50, ge=1, le=10_000, description="Values the server keeps per node between publishes.")
    silent_after_s: float = Field(30.0, gt=0, description="No keep-alive for this long: the server is lost.")
    nodes: tuple[OpcUaNodeSettings, ...] = Field(min_length=1, description="What is subscribed to.")

    @model_validator(mode="after")
    def _security_is_deliberate(self) -> OpcUaSettings:
        if self.security == "none" and not self.allow_plaintext:
            raise ValueError('security is "none"; choose basic256sha256 or set allow_plaintext = true')
        if self.security != "none" and (self.certificate_file is None or self.private_key_file is None):
            raise ValueError(f'security = "{self.security}" needs certificate_file and private_key_file')
        return self

    @property
    def all_tags(self) -> tuple[TagSettings, ...]:
        """Return the nodes that are subscribed to."""
        return self.nodes
