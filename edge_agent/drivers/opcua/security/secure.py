"""Open a session whose server is known before anything secret leaves: endpoint, secure channel, sign-in, in this order.

The library connects; what it leaves out is done here. A server's certificate is judged (trust.py) when it is offered,
and held against what the session says; a password goes only where it may.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from asyncua import Client, ua
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import InvalidSignature
from cryptography.exceptions import InvalidSignature as BadSignature

from edge_agent.drivers.opcua.client import refused
from edge_agent.drivers.opcua.refusals import NO_CHANNEL, SERVER_PROOF
from edge_agent.drivers.opcua.security.certificates import Certificate, CertificateError, KeyPair, read_certificate
from edge_agent.drivers.opcua.security.identity import ClientIdentity, Secured, load_identity, rules_of
from edge_agent.drivers.opcua.security.trust import TrustRules, check_server
from edge_agent.drivers.opcua.security_settings import OpcUaConnectionSettings
from edge_agent.errors import DeviceRejectedError, TransientDriverError

POLICIES: Final = {
    "none": security_policies.SecurityPolicyNone,
    "basic256sha256": security_policies.SecurityPolicyBasic256Sha256,
    "aes128_sha256_rsaoaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "aes256_sha256_rsapss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}
MODES: Final = {
    "none": ua.MessageSecurityMode.None_,
    "sign": ua.MessageSecurityMode.Sign,
    "sign_and_encrypt": ua.MessageSecurityMode.SignAndEncrypt,
}
TOKEN_GRACE: Final = 1.25
_NONE: Final = security_policies.SecurityPolicyNone.URI
_STRONG: Final = frozenset(policy.URI for name, policy in POLICIES.items() if name != "none")
_WEAK: Final = frozenset(
    {security_policies.SecurityPolicyBasic256.URI, security_policies.SecurityPolicyBasic128Rsa15.URI}
)
_IN_BETWEEN: Final = (
    "somebody in between may have changed the offer; compare with edge-agent probe opcua from another place"
)


async def connect_securely(client: Client, settings: OpcUaConnectionSettings, now: datetime) -> Secured:
    """Connect and sign in; the connection's certificates. Raise DeviceRejectedError, and what the library raises."""
    identity = await asyncio.to_thread(load_identity, settings, now)
    rules = rules_of(settings)
    server = None
    if identity.own is not None:
        chain = await _offered_certificate(client, settings)
        server = await asyncio.to_thread(check_server, settings.name, chain, rules, now)
        _secure(client, settings, identity.own, server)
    _sign_in_as(client, settings, identity)
    _guard_channel(client, settings, identity)
    _guard_session(client, settings, rules, server, now)
    await client.connect(auto_reconnect=False)
    return Secured(
        None if identity.own is None else identity.own.certificate,
        None if identity.user is None else identity.user.certificate,
        server,
    )


def policy_name(uri: str | None) -> str:
    """Return a policy as the settings write it; the end of its URI when we do not speak it."""
    known = next((name for name, policy in POLICIES.items() if uri == policy.URI), None)
    return known or str(uri or "").rpartition("#")[2] or "unknown"


async def _offered_certificate(client: Client, settings: OpcUaConnectionSettings) -> bytes:
    """Return the certificate, with its chain, of the endpoint with our policy and mode."""
    wanted = (POLICIES[settings.security].URI, MODES[settings.security_mode])
    endpoints = await client.connect_and_get_server_endpoints() or ()
    for endpoint in endpoints:
        if (endpoint.SecurityPolicyUri, endpoint.SecurityMode) == wanted and endpoint.ServerCertificate:
            return bytes(endpoint.ServerCertificate)
    offers = sorted({_offer_in_words(one) for one in endpoints})
    raise DeviceRejectedError(
        f'{settings.name}: {settings.endpoint} does not offer security = "{settings.security}" with security_mode ='
        f' "{settings.security_mode}"; it offers {", ".join(offers) or "nothing"}',
        hint=f"set security to one of them; if it did offer it before, {_IN_BETWEEN}",
    )


def _offer_in_words(endpoint: Any) -> str:
    name = policy_name(endpoint.SecurityPolicyUri)
    mode = next((mode for mode, value in MODES.items() if value == endpoint.SecurityMode), "")
    return name if name == "none" else f"{name} {mode}".strip()


def _secure(client: Client, settings: OpcUaConnectionSettings, own: KeyPair, server: Certificate) -> None:
    """Give the client its policy, its certificate and key, and the one server whose key it encrypts for."""
    client.application_uri = own.certificate.application_uri
    policy = POLICIES[settings.security]
    client.security_policy = policy(
        server.parsed, own.certificate.parsed, own.private_key, MODES[settings.security_mode]
    )
    _keep_keys_longer(client.security_policy)
    client.uaclient.set_security(client.security_policy)


def _keep_keys_longer(policy: Any) -> None:
    """Take messages secured by an expired token for another quarter of its life, as the standard asks for.

    A server answers a waiting Publish under the token it came with. The library keeps the token so long, and not its
    key: it ended the connection at such an answer (OPC 10000-4, 5.5.2.1).
    """
    make = policy.make_remote_symmetric_key
    policy.make_remote_symmetric_key = lambda secret, seed, lifetime: make(secret, seed, lifetime * TOKEN_GRACE)


def _sign_in_as(client: Client, settings: OpcUaConnectionSettings, identity: ClientIdentity) -> None:
    if settings.username is not None:
        client.set_user(settings.username)
    if identity.password is not None:
        client.set_password(identity.password)
    if identity.user is not None:
        client.user_certificate = identity.user.certificate.parsed
        client.user_private_key = identity.user.private_key


@dataclass(slots=True)
class _Channel:
    """What was seen while the secure channel was being opened: a StatusCode of the server, or a wrong signature."""

    code: int | None = None
    is_unproven: bool = False


def _guard_channel(client: Client, settings: OpcUaConnectionSettings, identity: ClientIdentity) -> None:
    """Say in words why a secure channel was not opened; the library says that the connection was lost."""
    seen = _Channel()
    make, open_channel = client.uaclient._make_protocol, client.open_secure_channel
    where = f"{settings.name}: {settings.endpoint}"
    own = "" if identity.own is None else _in_words(identity.own)

    def watched() -> Any:
        protocol = make()
        receive = protocol._connection.receive_from_header_and_body

        def received(header: Any, body: Any) -> Any:
            if protocol._open_secure_channel_exchange is None:
                return receive(header, body)
            try:
                message = receive(header, body)
            except (InvalidSignature, BadSignature):
                seen.is_unproven = True
                raise
            seen.code = _code_in(message)
            return message

        protocol._connection.receive_from_header_and_body = received
        return protocol

    async def open_secure_channel(renew: bool = False) -> None:
        try:
            await open_channel(renew)
        except (AssertionError, ConnectionError, TimeoutError, ua.UaError) as exc:
            if renew or identity.own is None:
                raise
            if seen.is_unproven:
                raise DeviceRejectedError(f"{where}: {SERVER_PROOF.words}", hint=SERVER_PROOF.do) from exc
            code = exc.code if isinstance(exc, ua.UaStatusCodeError) else seen.code
            if code is not None:
                raise refused(code, where, own) from exc
            how = "no answer in time" if isinstance(exc, TimeoutError) else "it ended the connection"
            raise TransientDriverError(f"{where}: {NO_CHANNEL.words} ({how})", hint=f"{NO_CHANNEL.do}; {own}") from exc

    client.uaclient._make_protocol = watched
    client.open_secure_channel = open_secure_channel


def _in_words(own: KeyPair) -> str:
    return f"ours is {own.file}, SHA-256 {own.certificate.fingerprint}, SHA-1 {own.certificate.thumbprint}"


def _code_in(message: Any) -> int | None:
    """Return the StatusCode of a message that is a refusal; None for every other one."""
    if isinstance(message, ua.ErrorMessage):
        return None if message.Error is None else int(message.Error.value)
    if isinstance(message, ua.Message):
        body = message.body().copy()
        if ua.ua_binary.nodeid_from_binary(body).Identifier == ua.ObjectIds.ServiceFault_Encoding_DefaultBinary:
            return int(ua.ua_binary.struct_from_binary(ua.ResponseHeader, body).ServiceResult.value)
    return None


def _guard_session(
    client: Client, settings: OpcUaConnectionSettings, rules: TrustRules, server: Certificate | None, now: datetime
) -> None:
    """Look at who answers between the session's making and the sign-in."""
    create, activate = client.create_session, client.activate_session
    where = f"{settings.name}: {settings.endpoint}"
    is_pinned = server is None and settings.sends_secrets and rules.names_somebody

    async def create_session() -> Any:
        try:
            result = await create()
        except (InvalidSignature, BadSignature) as exc:
            raise DeviceRejectedError(f"{where}: {SERVER_PROOF.words}", hint=SERVER_PROOF.do) from exc
        except ua.UaError as exc:
            if type(exc) is not ua.UaError:
                raise
            # A bare one: the library compared what the session says with the channel.
            raise DeviceRejectedError(
                f"{where}: its session is not that of its endpoint: {exc}", hint=_IN_BETWEEN
            ) from exc
        if is_pinned:
            await asyncio.to_thread(check_server, settings.name, bytes(result.ServerCertificate or b""), rules, now)
        elif server is not None:
            _compare(result.ServerEndpoints or (), settings, server)
        return result

    async def activate_session(username: Any = None, password: Any = None, certificate: Any = None) -> Any:
        _check_sign_in(client, settings, must_encrypt=is_pinned or not settings.allow_plaintext)
        return await activate(username=username, password=password, certificate=certificate)

    client.create_session, client.activate_session = create_session, activate_session


def _compare(endpoints: Any, settings: OpcUaConnectionSettings, server: Certificate) -> None:
    """Raise DeviceRejectedError when the session names another certificate for our endpoint than the one we trust."""
    wanted = (POLICIES[settings.security].URI, MODES[settings.security_mode])
    for endpoint in endpoints:
        # The standard lets a server leave the certificate out here: the channel has proved it.
        if (endpoint.SecurityPolicyUri, endpoint.SecurityMode) != wanted or not endpoint.ServerCertificate:
            continue
        with contextlib.suppress(CertificateError):
            if read_certificate(bytes(endpoint.ServerCertificate)).fingerprint == server.fingerprint:
                continue
        raise DeviceRejectedError(
            f"{settings.name}: {settings.endpoint} names another certificate in its session than at its endpoint",
            hint=_IN_BETWEEN,
        )


def _check_sign_in(client: Client, settings: OpcUaConnectionSettings, *, must_encrypt: bool) -> None:
    """Choose the safest way of signing in that is offered. Raise DeviceRejectedError when none may be used."""
    kind, words = _kind_of(settings)
    client._policy_ids = sorted(client._policy_ids or (), key=_rank(client))
    offered = {policy.TokenType for policy in client._policy_ids}
    if offered and kind not in offered:
        names = ", ".join(sorted(_TOKENS.get(one, str(one)) for one in offered))
        raise DeviceRejectedError(
            f"{settings.name}: {settings.endpoint} does not let {words} sign in at this endpoint; it takes {names}",
            hint="set username and password_file, or user_certificate_file, or neither (of edge-agent probe opcua:"
            " --user, --password-file, --user-certificate); or choose another security",
        )
    is_channel_open_to_read = client.security_policy.Mode != ua.MessageSecurityMode.SignAndEncrypt
    is_plain = (client.server_policy(kind).SecurityPolicyUri or _NONE) == _NONE
    if kind == ua.UserTokenType.UserName and is_plain and is_channel_open_to_read and must_encrypt:
        raise DeviceRejectedError(
            f"{settings.name}: {settings.endpoint} wants {settings.username}'s password unencrypted; it was not sent",
            hint='set security_mode = "sign_and_encrypt" and a security policy; allow_plaintext = true would permit it'
            " for a server that is not pinned",
        )


_TOKENS: Final = {
    ua.UserTokenType.Anonymous: "anonymous users",
    ua.UserTokenType.UserName: "user names",
    ua.UserTokenType.Certificate: "user certificates",
    ua.UserTokenType.IssuedToken: "issued tokens",
}


def _kind_of(settings: OpcUaConnectionSettings) -> tuple[Any, str]:
    if settings.user_certificate_file is not None:
        return ua.UserTokenType.Certificate, "a user certificate"
    if settings.username is not None:
        return ua.UserTokenType.UserName, f"the user {settings.username}"
    return ua.UserTokenType.Anonymous, "an anonymous user"


def _rank(client: Client) -> Any:
    """Return what sorts ways of signing in: strong encryption first, none and what we do not speak last."""

    def rank(policy: Any) -> int:
        uri = policy.SecurityPolicyUri or client.security_policy.URI
        return 0 if uri in _STRONG else 1 if uri in _WEAK else 2 if uri == _NONE else 3

    return rank
