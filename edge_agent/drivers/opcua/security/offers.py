"""What a server offers before anybody signs in: its endpoints, and the certificate they carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncua import Client, ua

from edge_agent.drivers.opcua.security.secure import MODES, policy_name

STRONGEST_FIRST: Final = ("aes256_sha256_rsapss", "basic256sha256", "aes128_sha256_rsaoaep")
_MODE_NAMES: Final = {mode: name for name, mode in MODES.items()}
_USERS: Final = {
    ua.UserTokenType.Anonymous: "anonymous",
    ua.UserTokenType.UserName: "user name",
    ua.UserTokenType.Certificate: "certificate",
    ua.UserTokenType.IssuedToken: "issued token",
}


@dataclass(frozen=True, slots=True)
class Offer:
    """One endpoint. `security` and `mode` as in the settings; `chain` is the certificate, with what signed it."""

    url: str
    security: str
    mode: str
    users: tuple[str, ...]
    chain: bytes
    application_name: str
    application_uri: str

    @property
    def is_secured(self) -> bool:
        """Return whether this is an endpoint with a policy that we speak, signed at least."""
        return self.security in STRONGEST_FIRST and self.mode in ("sign", "sign_and_encrypt")


async def ask_offers(client: Client) -> tuple[Offer, ...]:
    """Return the endpoints; anybody may ask. Raise TransientDriverError for no OPC UA, and the library's errors."""
    await client.connect_socket()
    await client.send_hello()
    await client.open_secure_channel()
    endpoints = await client.get_endpoints() or ()
    await client.close_secure_channel()
    return tuple(_offer(endpoint) for endpoint in endpoints)


def safest(offers: Sequence[Offer]) -> Offer | None:
    """Return the best secured endpoint that is offered; None when there is none that we speak."""
    secured = [offer for offer in offers if offer.is_secured]
    return min(secured, key=lambda one: (one.mode == "sign", STRONGEST_FIRST.index(one.security)), default=None)


def _offer(endpoint: Any) -> Offer:
    server = endpoint.Server
    return Offer(
        url=str(endpoint.EndpointUrl or ""),
        security=policy_name(endpoint.SecurityPolicyUri),
        mode=_MODE_NAMES.get(endpoint.SecurityMode, str(endpoint.SecurityMode)),
        users=tuple(
            dict.fromkeys(_USERS.get(one.TokenType, str(one.TokenType)) for one in endpoint.UserIdentityTokens or ())
        ),
        chain=bytes(endpoint.ServerCertificate or b""),
        application_name=str(server.ApplicationName.Text or "") if server and server.ApplicationName else "",
        application_uri=str(server.ApplicationUri or "") if server else "",
    )
