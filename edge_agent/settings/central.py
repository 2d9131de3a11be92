"""How this gateway reaches its central: address, identity, routes, pace and bounds of delivery."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator

from edge_agent.settings.central_mqtt import CentralMqttSettings
from edge_agent.settings.links import LinkSettings
from edge_agent.settings.metered import BudgetSettings, MeteredSettings, QuietHoursSettings
from edge_agent.settings.proxy import CentralProxySettings
from edge_agent.settings.sources import Strict


class CentralSettings(Strict):
    """Where batches go. TLS unless plaintext is explicitly allowed."""

    url: str | None = Field(
        None, pattern=r"^https?://[^\s/]+(/.*)?$",
        description="The central's address, without /api. A site that has only a broker leaves it out.",
    )  # fmt: skip
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
    connect_timeout_s: float = Field(
        30.0, gt=0, description="How long the look-up of the name, TCP and a proxy's answer may take, each."
    )
    tls_timeout_s: float = Field(
        90.0, gt=0, description="How long the TLS handshake may take: about 5 kB, 20 to 40 s at 2 kbit/s."
    )
    answer_timeout_s: float = Field(
        30.0, gt=0, description="How long each piece of a request may take, and the answer, which comes after COMMIT."
    )
    backoff_max_s: float = Field(60.0, gt=0, description="Longest wait between two tries while the central is away.")
    api: Literal["auto", "batch", "single"] = Field(
        "auto", description="What the central takes: batches, or one reading per request (docs/PLATFORM.md); auto asks."
    )
    proof: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Whether the central must prove each answer: auto wants it once it has (docs/DELIVERY.md); never "
        "is for one that was set back to an older version.",
    )
    single_in_flight: int = Field(
        20, ge=1, le=100, description="Single readings in flight at once; of one sensor, one."
    )
    live_weight: float = Field(
        3.0, ge=1, le=100, description="While a backlog drains: bytes of new data sent for each byte of it."
    )
    batches_in_flight: int = Field(
        8, ge=1, le=8, description="Most requests in flight at a time; a backlog takes more than 2 while that pays."
    )
    max_kbit_s: float | None = Field(
        None, gt=0, description="Rate at which a backlog is sent; new data is counted, but never waits for it."
    )
    stagger_s: float = Field(
        5.0, ge=0, description="After an outage the backlog waits for a random part of this: a fleet comes back apart."
    )
    reconcile_every_s: float = Field(
        3_600.0, ge=0, description="Ask this often whether the central still holds what it acknowledged; 0 never asks."
    )
    heartbeat_s: float = Field(
        62.0,  # a report a minute is a heartbeat itself, and needs none beside it
        ge=0,
        le=1_200,
        description="With nothing to send, a heartbeat this often: so the central notices another box with this id."
        " Silent three times as long (at least 60 s), this box may lose the id to another. 0 sends none: an hour.",
    )
    prefer: Literal["https", "mqtt"] = Field(
        "https", description="The route that is used while it works; the other one, if configured, is the fallback."
    )
    proxy: CentralProxySettings | None = Field(
        None, description="The proxy before the central and its broker: [central.proxy]; else the environment names it."
    )
    mqtt: CentralMqttSettings | None = Field(
        None, description="A route through a broker, beside url or in its place: [central.mqtt]."
    )

    transport: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$",
        description="A transport that another installed package offers (docs/how-to/add-a-transport.md): used before "
        "url and the broker, which are its fallback.",
    )  # fmt: skip
    options: dict[str, Any] = Field(
        {}, repr=False, description="Settings of that transport, checked by its package: [central.options]."
    )
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
    links: tuple[LinkSettings, ...] = Field(
        (),
        description="Several links in order of preference: [[central.links]]; none: the routing table.",
    )

    @property
    def address(self) -> str:
        """Return where the central is, as a URL for people: its own, the broker's, or its only transport's name."""
        return self.url or (self.mqtt.address if self.mqtt is not None else self.transport or "")

    @property
    def is_plaintext(self) -> bool:
        return self.url is not None and self.url.startswith("http://")

    @model_validator(mode="after")
    def _central_is_somewhere(self) -> CentralSettings:
        if self.url is not None:
            return self
        if self.mqtt is None and self.transport is None:
            raise ValueError('url = "https://..." is missing, or a table [central.mqtt] with the broker\'s host')
        if self.prefer == "https" and "prefer" in self.model_fields_set:
            raise ValueError('prefer = "https" needs url, which is not set')
        if self.client_certificate_file is not None:
            raise ValueError("client_certificate_file is for url; the broker's is central.mqtt.certificate_file")
        if self.allow_plaintext:
            raise ValueError("allow_plaintext is for url; the broker's is central.mqtt.allow_plaintext")
        return self

    @property
    def sparing(self) -> MeteredSettings | None:
        """Return what a metered link is used with; None for a normal one."""
        return (self.metered or MeteredSettings()) if self.link_profile == "metered" else None

    def is_metered(self, link: LinkSettings | None) -> bool:
        """Return whether profile, budget and quiet hours are about this link."""
        return not any(one.metered for one in self.links) or (link is not None and link.metered)

    @property
    def longest_backoff_s(self) -> float:
        """Return the longest wait between two tries: on a metered link each of them costs a connection."""
        return max(self.backoff_max_s, self.sparing.backoff_max_s if self.sparing else 0.0)

    def asked_every_s(self, wished_s: float) -> float:
        """Return how often something is asked that carries no data; 0, never, stays 0."""
        return max(wished_s, self.sparing.poll_every_s) if self.sparing and wished_s else wished_s

    @model_validator(mode="after")
    def _links_are_an_order(self) -> CentralSettings:
        names = [link.name for link in self.links]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two links are called {twice!r}; names must differ")
        saves = self.sparing is not None or self.budget is not None or self.quiet_hours
        if not saves and (metered := next((link.name for link in self.links if link.metered), None)):
            raise ValueError(
                f'link {metered!r}: metered = true has no use without link_profile = "metered", a budget or quiet hours'
            )
        return self

    @model_validator(mode="after")
    def _plaintext_is_allowed_explicitly(self) -> CentralSettings:
        if self.is_plaintext and not self.allow_plaintext:
            raise ValueError("url is http://, which is not encrypted; use https:// or set allow_plaintext = true")
        return self

    @model_validator(mode="after")
    def _client_certificate_is_whole(self) -> CentralSettings:
        if (self.client_certificate_file is None) != (self.client_key_file is None):
            raise ValueError("client_certificate_file and client_key_file belong together")
        if self.client_certificate_file is not None and self.is_plaintext:
            raise ValueError("url is http://, without TLS, so client_certificate_file has no use; remove one of them")
        return self

    @model_validator(mode="after")
    def _options_have_a_use(self) -> CentralSettings:
        if self.options and self.transport is None:
            raise ValueError('[central.options] has no use without transport = "NAME"; set it, or remove the table')
        return self

    @model_validator(mode="after")
    def _metered_values_have_a_use(self) -> CentralSettings:
        if self.link_profile != "metered" and self.metered is not None:
            raise ValueError(
                '[central.metered] has no use without link_profile = "metered"; set it, or remove the table'
            )
        return self

    @model_validator(mode="after")
    def _preferred_transport_exists(self) -> CentralSettings:
        if self.prefer == "mqtt" and self.mqtt is None:
            raise ValueError('prefer = "mqtt" needs a table [central.mqtt] with the broker\'s host')
        if self.api == "single" and self.mqtt is not None:
            raise ValueError('api = "single" is for a central without [central.mqtt]; over MQTT go batches only')
        if self.api == "single" and self.proof == "always":
            raise ValueError('proof = "always" is for a central that takes batches; one of single readings has none')
        return self
