"""The client of an OPC UA server: certificate, user, and the library's errors as ours.

Secrets are read when they are needed and kept nowhere.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from asyncua import Client, ua
from asyncua.common.utils import NotEnoughData, ServiceError, SocketClosedException
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import CertProperties, InvalidSignature
from asyncua.ua.uaerrors import (
    UaInvalidParameterError,
    UaStatusCodeError,
    UaStringParsingError,
    UaStructParsingError,
)
from cryptography import x509

from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.errors import DeviceRejectedError, DriverError, TransientDriverError

POLICIES: Final = {
    "basic256sha256": security_policies.SecurityPolicyBasic256Sha256,
    "aes256_sha256_rsapss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}

MAX_MESSAGE_BYTES: Final = 4_000_000
"""Values of some ten thousand nodes in one notification. The library itself would wait for 4 GB, and keep any number of
chunks."""

_CHUNK_BYTES: Final = 65_535  # the largest we allow in the greeting
_MAX_CHUNKS: Final = MAX_MESSAGE_BYTES // _CHUNK_BYTES
_NO_OPC_UA: Final = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, struct.error)
"""What the library raises when it reads an answer whose bytes are not what the protocol says."""

_CREDENTIALS_HINT: Final = "check username and password_file, and that the server allows this user"
_CERTIFICATE_HINT: Final = (
    "on the server, move this gateway's certificate from the rejected to the trusted ones; its validity, clock and "
    "application URI must be right too"
)
_SECURITY_HINT: Final = (
    'ask the server\'s administrator which security policies it offers; set "security" to one of them'
)

REJECTIONS: Final[dict[int, str]] = {
    ua.StatusCodes.BadUserAccessDenied: _CREDENTIALS_HINT,
    ua.StatusCodes.BadIdentityTokenInvalid: _CREDENTIALS_HINT,
    ua.StatusCodes.BadIdentityTokenRejected: _CREDENTIALS_HINT,
    ua.StatusCodes.BadCertificateUntrusted: _CERTIFICATE_HINT,
    ua.StatusCodes.BadCertificateInvalid: _CERTIFICATE_HINT,
    ua.StatusCodes.BadCertificateTimeInvalid: _CERTIFICATE_HINT,
    ua.StatusCodes.BadCertificateUriInvalid: _CERTIFICATE_HINT,
    ua.StatusCodes.BadCertificateUseNotAllowed: _CERTIFICATE_HINT,
    ua.StatusCodes.BadCertificateChainIncomplete: _CERTIFICATE_HINT,
    ua.StatusCodes.BadCertificateRevoked: _CERTIFICATE_HINT,
    ua.StatusCodes.BadSecurityChecksFailed: _CERTIFICATE_HINT,
    ua.StatusCodes.BadSecurityPolicyRejected: _SECURITY_HINT,
    ua.StatusCodes.BadSecurityModeRejected: _SECURITY_HINT,
    ua.StatusCodes.BadSecurityModeInsufficient: _SECURITY_HINT,
}
"""Statuses that will be the same tomorrow, and what to do. After every other status it is tried again."""

TRANSLATION: Final[dict[type[Exception], type[DriverError]]] = {
    UaStatusCodeError: TransientDriverError,
    ServiceError: TransientDriverError,
    SocketClosedException: TransientDriverError,
    NotEnoughData: TransientDriverError,
    UaStructParsingError: TransientDriverError,
    UaStringParsingError: DeviceRejectedError,
    UaInvalidParameterError: DeviceRejectedError,
}


@contextlib.contextmanager
def translated(source: str, endpoint: str) -> Iterator[None]:
    """Let only our errors out of this block."""
    try:
        yield
    except ua.UaError as exc:
        raise _translation(exc, f"{source}: {endpoint}") from exc
    except (AssertionError, InvalidSignature) as exc:
        # The library asserts that the server opened the secure channel, and says nothing when it did not.
        raise DeviceRejectedError(
            f"{source}: {endpoint} refused the secure channel: it does not trust this gateway's certificate",
            hint=_CERTIFICATE_HINT,
        ) from exc
    except _NO_OPC_UA as exc:
        raise TransientDriverError(
            f"{source}: {endpoint} answers something that is not OPC UA: {type(exc).__name__}: {exc}",
            hint="is this the right port, and an OPC UA server?",
        ) from exc
    except OSError as exc:
        reason = str(exc) or "no answer in time"
        raise TransientDriverError(
            f"{source}: no connection to the OPC UA server at {endpoint}: {reason}",
            hint="check that the server runs, and that host and port are right",
        ) from exc


def bound_messages(client: Client) -> None:
    """End a connection whose server sends a message longer than any is, before the library has kept it."""
    make = client.uaclient._make_protocol

    def bounded() -> Any:
        protocol = make()
        take = protocol.data_received

        def data_received(data: bytes) -> None:
            take(data)
            waiting = len(protocol.receive_buffer or b"")
            if waiting > 2 * _CHUNK_BYTES or len(protocol._connection._incoming_parts) > _MAX_CHUNKS:
                protocol.disconnect_socket()

        protocol.data_received = data_received
        return protocol

    client.uaclient._make_protocol = bounded


async def apply_identity(client: Client, settings: OpcUaSettings) -> None:
    """Give the client its user and, unless `security` is "none", its certificate and policy."""
    if settings.username is not None:
        client.set_user(settings.username)
    if settings.password_file is not None:
        client.set_password(_read(settings, "password_file", settings.password_file).decode().rstrip("\r\n"))
    if settings.security == "none" or settings.certificate_file is None or settings.private_key_file is None:
        return
    certificate = _read(settings, "certificate_file", settings.certificate_file)
    key = _read(settings, "private_key_file", settings.private_key_file)
    try:
        client.application_uri = _application_uri(certificate)
        await client.set_security(
            POLICIES[settings.security],
            CertProperties(certificate, extension=_encoding(certificate)),
            CertProperties(key, extension=_encoding(key)),
        )
    except (ValueError, TypeError, x509.ExtensionNotFound) as exc:
        raise DeviceRejectedError(
            f"{settings.name}: certificate_file {settings.certificate_file} and private_key_file "
            f"{settings.private_key_file} cannot be used: {exc}",
            hint="PEM or DER, the key without password; the certificate's subjectAltName holds an application URI",
        ) from exc


def _translation(exc: ua.UaError, where: str) -> DriverError:
    code = exc.code if isinstance(exc, UaStatusCodeError) else None
    if code in REJECTIONS:
        return DeviceRejectedError(f"{where} refuses us: {exc}", hint=REJECTIONS[code])
    ours = next((ours for theirs, ours in TRANSLATION.items() if isinstance(exc, theirs)), None)
    if ours is None:  # a bare UaError: the library compared what we want with what the server offers
        return DeviceRejectedError(f"{where}: {exc}", hint=_SECURITY_HINT)
    return ours(f"{where}: {exc}")


def _application_uri(certificate: bytes) -> str:
    """Return the URI the certificate is made out to; servers refuse a client that says another one."""
    is_pem = _encoding(certificate) == "pem"
    parsed = x509.load_pem_x509_certificate(certificate) if is_pem else x509.load_der_x509_certificate(certificate)
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if not uris:
        raise ValueError("the certificate names no application URI")
    return uris[0]


def _encoding(content: bytes) -> str:
    return "pem" if content.lstrip().startswith(b"-----BEGIN") else "der"


def _read(settings: OpcUaSettings, field: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise DeviceRejectedError(
            f"{settings.name}: {field} {path} cannot be read: {exc.strerror}",
            hint="the file must exist and be readable by the agent's user",
        ) from exc
