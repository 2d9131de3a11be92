"""The settings of a connection to an OPC UA server: where it is, how it is secured, whom we take for it, who we are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from edge_agent.settings.sources import TagSourceSettings

TRUST_FOLDER = "opcua"
"""Below gateway.state_dir: the servers that persons have confirmed, and this gateway's own certificate."""

_FINGERPRINT_DIGITS = 64


class OpcUaConnectionSettings(TagSourceSettings):
    """The connection to an OPC UA server."""

    endpoint: str = Field(pattern=r"^opc\.tcp://[^\s]+$", description="For example opc.tcp://10.0.4.20:4840/plant.")
    security: Literal["none", "basic256sha256", "aes128_sha256_rsaoaep", "aes256_sha256_rsapss"] = Field(
        "none", description="Security policy; another one than none needs the server to be trusted."
    )
    security_mode: Literal["sign", "sign_and_encrypt"] = Field(
        "sign_and_encrypt", description='With "sign" others may read along; not with security = "none".'
    )
    allow_plaintext: bool = Field(
        False, description='Permit security = "none", and a password that the server wants to be sent unencrypted.'
    )
    server_fingerprint: str | None = Field(
        None, description="SHA-256 of the server's certificate, 64 hexadecimal digits: this one and no other is taken."
    )
    ca_file: Path | None = Field(None, description="CA certificates (PEM or DER) that may sign the server's.")
    allow_other_host: bool = Field(
        False, description="Take the server's certificate although it is made out to another host name."
    )
    trust_dir: Path | None = Field(
        None,
        description="Holds the confirmed servers and our own certificate. Default: opcua in gateway.state_dir.",
    )
    certificate_file: Path | None = Field(
        None, description="This gateway's own (PEM or DER); the server must trust it. Default: one it makes itself."
    )
    private_key_file: Path | None = Field(None, description="Its key, without a password.")
    username: str | None = Field(None, description="None signs in as an anonymous user.")
    password_file: Path | None = Field(None, description="A file that holds only the user's password.")
    user_certificate_file: Path | None = Field(
        None, description="Sign in with this certificate (PEM or DER) in place of a name and a password."
    )
    user_private_key_file: Path | None = Field(None, description="Its key, without a password.")

    @field_validator("security", mode="before")
    @classmethod
    def _as_tools_write_it(cls, value: Any) -> Any:
        """Take Basic256Sha256 and Aes128_Sha256_RsaOaep, as the tools of OPC UA write them."""
        return value.lower() if isinstance(value, str) else value

    @field_validator("endpoint")
    @classmethod
    def _has_host_and_port(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError as exc:
            raise ValueError(f"is no address: {exc} (it is {value!r})") from exc
        if parts.username is not None or parts.password is not None:
            raise ValueError("must not hold a user or password: use username and password_file")
        if not parts.hostname or port == 0:
            raise ValueError(f"needs a host, and a port from 1 to 65535 (it is {value!r})")
        return value

    @field_validator("server_fingerprint")
    @classmethod
    def _is_sha256(cls, value: str | None) -> str | None:
        """Take what tools print: with colons or blanks, capital or small letters."""
        if value is None:
            return None
        digits = value.replace(":", "").replace(" ", "").lower()
        if len(digits) != _FINGERPRINT_DIGITS or set(digits) - set("0123456789abcdef"):
            raise ValueError(
                "should be SHA-256, 64 hexadecimal digits, as edge-agent probe opcua shows it"
                f" (these are {len(digits)} characters)"
            )
        return digits

    @model_validator(mode="after")
    def _security_is_deliberate(self) -> Self:
        if self.security == "none" and not self.allow_plaintext:
            raise ValueError('security is "none"; choose basic256sha256 or set allow_plaintext = true')
        if self.security == "none" and "security_mode" in self.model_fields_set:
            raise ValueError(f'security_mode = "{self.security_mode}" needs a security policy, and security is "none"')
        return self

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        for one, other in (
            ("certificate_file", "private_key_file"),
            ("user_certificate_file", "user_private_key_file"),
        ):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise ValueError(f"{one} and {other} belong together: give both, or none of them")
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs the username it belongs to")
        if self.username is not None and self.user_certificate_file is not None:
            raise ValueError("username and user_certificate_file both say who signs in; keep one")
        return self

    @property
    def sends_secrets(self) -> bool:
        """Return whether this source signs in as somebody."""
        return self.username is not None or self.user_certificate_file is not None

    @property
    def warnings(self) -> tuple[tuple[str, str], ...]:
        """Return what is permitted and yet dangerous: what it is, and what to do."""
        if self.security != "none" or self.username is None:
            return ()
        what = f"{self.name}: the password of {self.username} goes over an unencrypted connection (allow_plaintext)"
        return ((what, 'set security = "basic256sha256"; edge-agent probe opcua shows what the server offers'),)

    def placed_in(self, state_dir: Path) -> Self:
        """Return these settings with the folder of trust in the state folder, unless the file names another one."""
        return self if self.trust_dir is not None else self.model_copy(update={"trust_dir": state_dir / TRUST_FOLDER})
