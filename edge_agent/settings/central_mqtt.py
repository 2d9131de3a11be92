"""The broker of a gateway that delivers over MQTT: address, trust, identity, and what this broker asks for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from cloud_sync.transports.mqtt.options import wrong_prefix
from edge_agent.settings.sources import Strict

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_HEADER_VALUE = re.compile(r"[ -~]+")


class CentralMqttSettings(Strict):
    """A route to the central through a broker where the central listens. TLS unless plaintext is explicitly allowed."""

    host: str = Field(min_length=1, pattern=r"^[^\s/]+$", description="Name or address of the broker.")
    port: int = Field(
        8_883, ge=1, le=65_535, description="8883 is the default for TLS, 1883 for plaintext, 443 for WebSockets."
    )
    protocol: Literal["5", "3.1.1"] = Field(
        "5", description="MQTT version. 5 names the cause of a refusal; 3.1.1 is for brokers that have only that."
    )
    transport: Literal["tcp", "websockets"] = Field("tcp", description="websockets where only HTTPS gets through.")
    websocket_path: str = Field("/mqtt", pattern=r"^/[!-~]*$", description="Where the broker takes WebSockets.")
    websocket_headers: dict[str, SecretStr] = Field(
        {}, description="Headers that a front end before the broker asks for; never shown."
    )
    ca_file: Path | None = Field(None, description="The CA that signed the broker's certificate, if private.")
    certificate_file: Path | None = Field(None, description="This gateway's own (PEM), if the broker asks for one.")
    private_key_file: Path | None = Field(None, description="Its key (PEM), without a password.")
    alpn: str | None = Field(
        None, pattern=r"^[!-~]+$", max_length=255,
        description="A protocol name in the TLS greeting, for brokers that share port 443: x-amzn-mqtt-ca.",
    )  # fmt: skip
    username: str | None = Field(None, description="None signs in by the certificate alone, or as nobody.")
    password_file: Path | None = Field(
        None,
        description="A file that holds only the password or token, read at each connection; else the systemd credential"
        " central-mqtt-password. With a certificate none is needed.",
    )
    client_id: str | None = Field(
        None, pattern=r"^[!-~]+$", max_length=128,
        description="None is sm- and gateway.id. Of two clients with one id the broker puts one out.",
    )  # fmt: skip
    topic_prefix: str = Field(
        "", max_length=128, description="Levels before sm/v1, on a shared broker; the central needs the same."
    )
    qos: Literal[1, 2] = Field(
        1, description="1 is enough: what arrives twice counts once. 2 is for sites whose rules ask for it."
    )
    keep_alive_s: int | None = Field(
        None, ge=5, le=1_200, description="A silent broker is noticed within twice this; None is 30."
    )
    max_packet_bytes: int | None = Field(
        None, ge=16_384, le=268_435_455,
        description="Largest message the broker takes, if it does not announce it itself (3.1.1 cannot).",
    )  # fmt: skip
    state_messages: Literal["retained", "plain", "off"] = Field(
        "retained", description="online and offline on the state topic; plain or off where the broker keeps nothing."
    )
    allow_plaintext: bool = Field(False, description="Speak without TLS. Anyone on the path reads and forges data.")

    @model_validator(mode="after")
    def _security_is_whole(self) -> CentralMqttSettings:
        of_tls = ("ca_file", "certificate_file", "private_key_file", "alpn")
        useless = [name for name in of_tls if getattr(self, name)]
        if self.allow_plaintext and useless:
            raise ValueError(
                f"allow_plaintext = true speaks without TLS, so {useless[0]} has no use; remove one of them"
            )
        if (self.certificate_file is None) != (self.private_key_file is None):
            raise ValueError("certificate_file and private_key_file belong together")
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs a username")
        return self

    @model_validator(mode="after")
    def _websocket_is_wanted(self) -> CentralMqttSettings:
        given = [name for name in ("websocket_path", "websocket_headers") if name in self.model_fields_set]
        if given and self.transport != "websockets":
            raise ValueError(f'{given[0]} has a use only with transport = "websockets"')
        for name, value in self.websocket_headers.items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value.get_secret_value()):
                raise ValueError(f"websocket_headers: {name!r} or its value is no HTTP header")
        return self

    @model_validator(mode="after")
    def _prefix_is_a_topic(self) -> CentralMqttSettings:
        if (wrong := wrong_prefix(self.topic_prefix)) is not None:
            raise ValueError(f"topic_prefix = {self.topic_prefix!r}: {wrong}")
        return self

    @property
    def address(self) -> str:
        """Return the broker's address as a URL, for people."""
        plain, secure = ("mqtt", "mqtts") if self.transport == "tcp" else ("ws", "wss")
        host = f"[{self.host}]" if ":" in self.host else self.host
        path = "" if self.transport == "tcp" else self.websocket_path
        return f"{plain if self.allow_plaintext else secure}://{host}:{self.port}{path}"
