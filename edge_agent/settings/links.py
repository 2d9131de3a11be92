"""The links of a site in their order: Ethernet first, a modem when it fails."""

from __future__ import annotations

import ipaddress

from pydantic import Field, field_validator, model_validator

from edge_agent.settings.sources import Name, Strict


class LinkSettings(Strict):
    """One of several links to the central, named by this box's end of it."""

    name: Name = Field(description="As `status` calls it, such as ethernet or lte.")
    interface: str | None = Field(
        None, pattern=r"^[^\s/:]{1,15}$", description="The network interface (ip link), such as eth0 or wwan0."
    )
    source_address: str | None = Field(
        None, description="This box's own address on that link; the route out is then the routing table's (ip rule)."
    )

    metered: bool = Field(
        False, description="Profile, budget and quiet hours are about this link; when no link says so, about all."
    )

    @field_validator("source_address")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            raise ValueError(f"{value!r} is no IP address; see: ip addr") from None
        if address.is_unspecified or address.is_multicast:
            raise ValueError(f"{value} is no address that one link of this box has; see: ip addr")
        return value

    @model_validator(mode="after")
    def _has_an_end(self) -> LinkSettings:
        if self.interface is None and self.source_address is None:
            raise ValueError("a link needs an interface or a source_address, else it is no other than the ordinary one")
        return self
