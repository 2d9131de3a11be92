"""How this gateway reaches its central: address, identity, ways, pace and bounds of delivery."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from edge_agent.settings.metered import BudgetSettings, MeteredSettings, QuietHoursSettings
from edge_agent.settings.sources import Strict


class CentralMqttSettings(Strict):
    """A second way to the central: an MQTT 5 broker that the central listens at. TLS unless allowed out loud."""

    host: str = Field(min_length=1, pattern=r"^[^\s/]+$", description="Name or address of the broker.")
    port: int = Field(8_883, ge=1, le=65_535, description="8883 is usual for TLS, 1883 for plaintext.")
    ca_file: Path | None = Field(None, description="The CA that signed the broker's certificate, if private.")
    certificate_file: Path | None = Field(None, description="This gateway's own (PEM), if the broker asks for one.")
    private_key_file: Path | None = Field(None, description="Its key (PEM), without a password.")
    username: str | None = Field(None, description="None signs in by the certificate alone, or as nobody.")
    password_file: Path | None = Field(
        None, description="A file that holds only the password; else the systemd credential central-mqtt-password."
    )
    allow_plaintext: bool = Field(False, description="Speak without TLS. Anyone on the path reads and forges data.")

    @model_validator(mode="after")
    def _security_is_whole(self) -> CentralMqttSettings:
        files = [name for name in ("ca_file", "certificate_file", "private_key_file") if getattr(self, name)]
        if self.allow_plaintext and files:
            raise ValueError(f"allow_plaintext = true speaks without TLS, so {files[0]} has no use; remove one of them")
        if (self.certificate_file is None) != (self.private_key_file is None):
            raise ValueError("certificate_file and private_key_file belong together")
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs a username")
        return self


class CentralSettings(Strict):
    """Where batches go. TLS unless plaintext is allowed out loud."""

    url: str = Field(pattern=r"^https?://[^\s/]+(/.*)?$", description="The central's address, without /api.")
    allow_plaintext: bool = Field(False, description="Permit http://. Anyone on the path reads and forges data.")
    ca_file: Path | None = Field(None, description="The CA that signed the central's certificate, if private.")
    client_certificate_file: Path | None = Field(
        None, description="This gateway's own (PEM, with its chain), if the central asks for one."
    )
    client_key_file: Path | None = Field(None, description="Its key (PEM), without a password.")
    api_key: SecretStr | None = Field(
        None, description="From EDGE_CENTRAL__API_KEY or the systemd credential central-api-key; not from the file."
    )
    api_key_file: Path | None = Field(None, description="A file that holds only the key; readable by the agent alone.")
    connect_timeout_s: float = Field(5.0, gt=0, description="How long to wait for a connection.")
    answer_timeout_s: float = Field(30.0, gt=0, description="The central answers after COMMIT; give it time.")
    backoff_max_s: float = Field(60.0, gt=0, description="Longest wait between two tries while the central is away.")
    api: Literal["auto", "batch", "single"] = Field(
        "auto", description="What the central takes: batches, or one reading per request (docs/PLATFORM.md); auto asks."
    )
    single_in_flight: int = Field(
        20, ge=1, le=100, description="Single readings on their way at once; of one sensor, one."
    )
    live_weight: float = Field(
        3.0, ge=1, le=100, description="While a backlog drains: bytes of new data sent for each byte of it."
    )
    batches_in_flight: int = Field(2, ge=1, le=8, description="Requests on their way at a time, once one was answered.")
    max_kbit_s: float | None = Field(
        None, gt=0, description="Rate at which a backlog is sent; new data is counted, but never waits for it."
    )
    stagger_s: float = Field(
        5.0, ge=0, description="After an outage the backlog waits for a random part of this: a fleet comes back apart."
    )
    reconcile_every_s: float = Field(
        3_600.0, ge=0, description="Ask this often whether the central still holds what it acknowledged; 0 never asks."
    )
    prefer: Literal["https", "mqtt"] = Field(
        "https", description="The way that is used while it works; the other one, if configured, stands in."
    )
    mqtt: CentralMqttSettings | None = Field(None, description="A second way, through a broker: [central.mqtt].")
    link_profile: Literal["normal", "metered"] = Field(
        "normal", description="metered: few requests and few bytes around the data; [central.metered] has the values."
    )
    metered: MeteredSettings | None = Field(
        None, description='Other values for link_profile = "metered": [central.metered].'
    )
    budget: BudgetSettings | None = Field(None, description="How many bytes the link may carry: [central.budget].")
    quiet_hours: tuple[QuietHoursSettings, ...] = Field(
        (), description="Hours in which the link is left alone: [[central.quiet_hours]]."
    )

    @property
    def sparing(self) -> MeteredSettings | None:
        """What a metered link is used with; None for a normal one."""
        return (self.metered or MeteredSettings()) if self.link_profile == "metered" else None

    @property
    def longest_backoff_s(self) -> float:
        """Between two tries: on a metered link each of them costs a connection."""
        return max(self.backoff_max_s, self.sparing.backoff_max_s if self.sparing else 0.0)

    def asked_every_s(self, wished_s: float) -> float:
        """How often something is asked that carries no data; 0, never, stays 0."""
        return max(wished_s, self.sparing.poll_every_s) if self.sparing and wished_s else wished_s

    @model_validator(mode="after")
    def _plaintext_is_loud(self) -> CentralSettings:
        if self.url.startswith("http://") and not self.allow_plaintext:
            raise ValueError("url is http://, which is not encrypted; use https:// or set allow_plaintext = true")
        return self

    @model_validator(mode="after")
    def _client_certificate_is_whole(self) -> CentralSettings:
        if (self.client_certificate_file is None) != (self.client_key_file is None):
            raise ValueError("client_certificate_file and client_key_file belong together")
        if self.client_certificate_file is not None and self.url.startswith("http://"):
            raise ValueError("url is http://, without TLS, so client_certificate_file has no use; remove one of them")
        return self

    @model_validator(mode="after")
    def _metered_values_have_a_use(self) -> CentralSettings:
        if self.link_profile != "metered" and self.metered is not None:
            raise ValueError(
                '[central.metered] has no use without link_profile = "metered"; set it, or remove the table'
            )
        return self

    @model_validator(mode="after")
    def _preferred_way_exists(self) -> CentralSettings:
        if self.prefer == "mqtt" and self.mqtt is None:
            raise ValueError('prefer = "mqtt" needs a table [central.mqtt] with the broker\'s host')
        if self.api == "single" and self.mqtt is not None:
            raise ValueError('api = "single" is for a central without [central.mqtt]; over MQTT go batches only')
        return self
