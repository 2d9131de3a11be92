"""The settings of a broker whose messages carry values."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from edge_agent.drivers.row_time import TIME_BOUND_S
from edge_agent.settings.sources import Factor, TagSettings, TagSourceSettings


class MqttTagSettings(TagSettings):
    """Where one value is: in the messages of a topic, or a metric of Sparkplug B."""

    topic: str | None = Field(None, max_length=1_000, description="Plain or JSON messages: the whole topic, no + or #.")
    value_field: str = Field(
        "", max_length=500, description='In JSON: "hydraulics.pressure", "values.0"; empty: the message is the value.'
    )
    time_field: str | None = Field(
        None, max_length=500, description="In JSON: when it was measured; ISO 8601, or seconds to nanoseconds of 1970."
    )
    sparkplug: str | None = Field(
        None, pattern=r"^[^/+#]+/[^/+#]+(/[^/+#]+)?$", max_length=1_000,
        description='Sparkplug B: "group/edge node" or "group/edge node/device".',
    )  # fmt: skip
    metric: str | None = Field(None, min_length=1, max_length=500, description="Sparkplug B: the metric's name.")
    stale_after_s: float | None = Field(
        None, gt=0, le=86_400, description="No message for this long: the tag is bad. None: the last one counts."
    )
    scale: Factor = Field(1.0, description="value = number * scale + offset")
    offset: float = Field(0.0, description="In `unit`; added after scaling.")

    @field_validator("topic")
    @classmethod
    def _one_topic(cls, topic: str | None) -> str | None:
        if topic is not None and (not topic or set(topic) & {"+", "#", "\0"}):
            raise ValueError("a tag has one topic, without the wildcards + and #")
        return topic

    @model_validator(mode="after")
    def _one_place(self) -> MqttTagSettings:
        if (self.topic is None) == (self.sparkplug is None):
            raise ValueError("give either topic or sparkplug")
        if (self.sparkplug is None) != (self.metric is None):
            raise ValueError("sparkplug and metric belong together")
        if self.sparkplug is not None and (self.value_field or self.time_field):
            raise ValueError("value_field and time_field are for JSON; a Sparkplug metric carries its own time")
        return self


class MqttSettings(TagSourceSettings):
    """A broker that is subscribed to, never published to. TLS unless plaintext is explicitly allowed."""

    driver: ClassVar[str] = "edge_agent.drivers.mqtt.driver:MqttDriver"

    type: Literal["mqtt"] = Field(description="Says which kind of source this is.")
    host: str = Field(min_length=1, pattern=r"^[^\s/]+$", description="Name or address of the broker.")
    port: int = Field(8_883, ge=1, le=65_535, description="8883 is the default for TLS, 1883 for plaintext.")
    protocol: Literal["5", "3.1.1"] = Field("5", description="MQTT version; 3.1.1 for brokers that have only that.")
    ca_file: Path | None = Field(None, description="The CA that signed the broker's certificate, if private.")
    certificate_file: Path | None = Field(None, description="This gateway's own (PEM), if the broker asks for one.")
    private_key_file: Path | None = Field(None, description="Its key (PEM), without a password.")
    username: str | None = Field(None, description="None signs in by the certificate alone, or as nobody.")
    password_file: Path | None = Field(None, description="Holds only the password; read at each connection.")
    client_id: str | None = Field(
        None, pattern=r"^[!-~]+$", max_length=128,
        description="None is sm-reader and a random part: of two clients with one id the broker puts one out.",
    )  # fmt: skip
    keep_alive_s: int = Field(15, ge=2, le=1_200, description="A silent broker is noticed within twice this.")
    connect_timeout_s: float = Field(10.0, gt=0, le=60, description="How long to wait for the connection.")
    time: Literal["auto", "source", "gateway"] = Field(
        "auto", description="Whose clock rows have; auto: the message's own time if it can be right, else ours."
    )
    time_bound_s: float = Field(
        TIME_BOUND_S, gt=0, le=86_400, description="A time further from the receipt than this is not believed."
    )
    allow_plaintext: bool = Field(False, description="Read without TLS. Anyone on the path reads and forges values.")
    tags: tuple[MqttTagSettings, ...] = Field(min_length=1, description="What is read.")

    @model_validator(mode="after")
    def _security_is_whole(self) -> MqttSettings:
        useless = [name for name in ("ca_file", "certificate_file", "private_key_file") if getattr(self, name)]
        if self.allow_plaintext and useless:
            raise ValueError(f"allow_plaintext = true reads without TLS: {useless[0]} has no use; remove one of them")
        if (self.certificate_file is None) != (self.private_key_file is None):
            raise ValueError("certificate_file and private_key_file belong together")
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs a username")
        return self

    @property
    def all_tags(self) -> tuple[TagSettings, ...]:
        """Return the tags."""
        return self.tags
