"""Through which proxy the central and its broker are reached: [central.proxy]."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import Field, field_validator, model_validator

from cloud_sync.transports.proxies.bypass import parse_bypass
from cloud_sync.transports.proxies.proxy import parse_proxy
from edge_agent.settings.sources import Strict

NEVER: Final = "none"


class CentralProxySettings(Strict):
    """The proxy before the central and its broker. Without this table HTTPS_PROXY, ALL_PROXY and NO_PROXY count."""

    url: str = Field(
        description='http://, https://, socks5:// or socks5h:// (names are looked up there) with host and port; "none"'
        " uses no proxy, whatever the environment says."
    )
    username: str | None = Field(None, min_length=1, description="For the proxy; None signs in as nobody.")
    password_file: Path | None = Field(
        None, description="A file that holds only the password; else the systemd credential central-proxy-password."
    )
    ca_file: Path | None = Field(
        None, description="The CA that signed the certificate of an https:// proxy, if private."
    )
    no_proxy: list[str] = Field(
        [],
        description="Reached directly: host, .domain, address, network (10.0.0.0/8), each with or without :PORT; or *.",
    )

    @field_validator("url")
    @classmethod
    def _is_a_proxy(cls, url: str) -> str:
        if url == NEVER:
            return url
        if "://" not in url:
            raise ValueError('it begins with http://, https://, socks5:// or socks5h://; or it is "none"')
        if "@" in url:
            raise ValueError("a user name and password do not belong here; username and password_file are for them")
        parse_proxy(url, source="central.proxy.url")
        return url

    @field_validator("no_proxy")
    @classmethod
    def _are_hosts(cls, entries: list[str]) -> list[str]:
        parse_bypass(entries)
        return entries

    @model_validator(mode="after")
    def _fits_together(self) -> CentralProxySettings:
        given = [name for name in ("username", "password_file", "ca_file", "no_proxy") if getattr(self, name)]
        if self.url == NEVER and given:
            raise ValueError(f'url = "none" uses no proxy, so {given[0]} has no use; remove one of them')
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs a username")
        if self.ca_file is not None and not self.url.startswith("https://"):
            raise ValueError("ca_file is for a proxy whose url begins with https://")
        return self
