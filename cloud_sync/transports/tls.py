"""Whom a TLS connection to the central trusts, and the certificate this gateway shows when it is asked for one.

Constraints
- The other side's certificate is verified; there is no switch for it.
- Files that cannot be used are refused by name before anything is sent. A date that has passed is named, and not
  refused: the central decides, and the gateway goes on recording.
- A renewed certificate is used by the next connection, without a restart.
"""

from __future__ import annotations

import logging
import re
import ssl
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import certifi
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from cloud_sync.errors import CredentialsError
from cloud_sync.transports.tls_sessions import TlsSessions

logger = logging.getLogger(__name__)

# How the other side of a TLS connection says that it does not take our certificate. With TLS 1.3 it says so only
# after our side believes the handshake to be over.
_REFUSED: Final = re.compile(
    r"ALERT_(CERTIFICATE_REQUIRED|UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_EXPIRED|CERTIFICATE_REVOKED"
    r"|CERTIFICATE_UNKNOWN|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED|DECRYPT_ERROR|HANDSHAKE_FAILURE)",
    re.IGNORECASE,
)


_NO_CERTIFICATE: Final = ("NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE")


def refused_alert(said: str) -> str | None:
    """Return what the other side said of our certificate, in words; None when this was about something else."""
    found = _REFUSED.search(said)
    return found[1].lower().replace("_", " ") if found else None


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """PEM files: this gateway's certificate (with the chain, if there is one) and its key, without a password."""

    certificate_file: Path
    private_key_file: Path

    def load_into(self, context: ssl.SSLContext) -> None:
        """Load it, for connections to show. Raises CredentialsError, naming the file that cannot be used."""
        self.check()
        try:
            # Without the last argument an encrypted key would ask on the terminal, and wait for ever.
            context.load_cert_chain(self.certificate_file, self.private_key_file, password=lambda: b"")
        except OSError as exc:
            raise CredentialsError(
                f"this gateway's certificate {self.certificate_file} or its key cannot be used: {exc}",
                hint="both must be PEM, belong together, be readable, and the key must have no password",
            ) from exc

    def check(self) -> None:
        """Check that both can be read and belong together. Raises CredentialsError."""
        self._check_key(self._certificate())

    def out_of_date(self, now: datetime) -> str | None:
        """Return in words when it is valid, if not at this moment. Raises CredentialsError like `load_into`."""
        certificate = self._certificate()
        if now > certificate.not_valid_after_utc:
            return f"{self.certificate_file} has expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        if now < certificate.not_valid_before_utc:
            return f"{self.certificate_file} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        return None

    def changed_at_ns(self) -> tuple[int, int] | None:
        """Return when each file was last written; None when that cannot be told now."""
        try:
            return self.certificate_file.stat().st_mtime_ns, self.private_key_file.stat().st_mtime_ns
        except OSError:
            return None

    def _certificate(self) -> x509.Certificate:
        try:
            return x509.load_pem_x509_certificates(self.certificate_file.read_bytes())[0]
        except OSError as exc:
            raise _unreadable("certificate", self.certificate_file, exc) from exc
        except ValueError as exc:
            raise CredentialsError(
                f"this gateway's certificate {self.certificate_file} cannot be used: it holds no PEM certificate",
                hint="it begins with -----BEGIN CERTIFICATE-----",
            ) from exc

    def _check_key(self, certificate: x509.Certificate) -> None:
        file = self.private_key_file
        try:
            key = serialization.load_pem_private_key(file.read_bytes(), password=None)
        except OSError as exc:
            raise _unreadable("key", file, exc) from exc
        except TypeError as exc:
            raise CredentialsError(
                f"the key {file} has a password", hint="the agent has nobody to ask: write it without one, mode 0400"
            ) from exc
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise CredentialsError(
                f"the key {file} cannot be used: it holds no PEM private key",
                hint="it begins with -----BEGIN PRIVATE KEY-----",
            ) from exc
        if _public(key.public_key()) != _public(certificate.public_key()):
            raise CredentialsError(
                f"the key {file} does not belong to the certificate {self.certificate_file}",
                hint="copy both of them again, from the same request",
            )


@dataclass(slots=True)
class ClientTls:
    """What every HTTPS connection of one client is made with; `context` is `verify` of the HTTP library.

    Without `ca_file` the system's and the well-known public CAs are trusted.
    """

    ca_file: Path | None = None
    own: ClientCertificate | None = None
    context: ssl.SSLContext = field(init=False, repr=False)
    sessions: TlsSessions = field(init=False, repr=False, default_factory=TlsSessions)
    _loaded_ns: tuple[int, int] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        """Reads the files. Raises CredentialsError, naming the one that cannot be used."""
        self.context = trusting(self.ca_file)
        self.sessions.use_in(self.context)
        self.refresh()

    def refresh(self) -> None:
        """Take a certificate that was written since. Raises CredentialsError when there never was one to be used.

        A renewal that is half written, or wrong, leaves the former pair in use.
        """
        if self.own is None:
            return
        changed_ns = self.own.changed_at_ns()
        if self._loaded_ns is not None and changed_ns in (None, self._loaded_ns):
            return
        try:
            self.own.load_into(self.context)
            self.sessions.forget_all()  # they show the former one
        except CredentialsError as exc:
            if self._loaded_ns is None:
                raise
            logger.warning("the client certificate that was in use stays in use: %s", exc.message)
        self._loaded_ns = changed_ns


def certificate_refused(where: str, own: ClientCertificate | None, said: str) -> CredentialsError:
    """Return the error of a certificate that was not taken, or not shown: why, as far as this side can tell."""
    if own is None:
        return CredentialsError(
            f"{where} asks for a client certificate: {said}",
            hint="set central.client_certificate_file and central.client_key_file",
        )
    old = own_out_of_date(own)
    if old is not None:
        return CredentialsError(
            f"{where} does not take our client certificate: {old}",
            hint="put a renewed one in its place, no restart is needed; check this box's clock",
        )
    return CredentialsError(
        f"{where} does not take our client certificate {own.certificate_file}: {said}",
        hint="it must be signed by the CA that the central (or the proxy before it) knows, and not be revoked",
    )


def own_out_of_date(own: ClientCertificate | None) -> str | None:
    """Return in words what is out of date, removed or damaged since it was loaded; None when nothing is."""
    if own is None:
        return None
    try:
        return own.out_of_date(datetime.now(UTC))
    except CredentialsError as exc:
        return exc.message


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that trusts only the named CA, or the system's and the well-known public ones."""
    # As `ssl.create_default_context`, which would also write the keys of every connection to the file that
    # SSLKEYLOGFILE names, and fail when it cannot.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False  # RFC 9110, 4.3.4; left alone, a name would count and an address not
    if sys.version_info >= (3, 13):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    if ca_file is None:
        context.load_default_certs()
        context.load_verify_locations(certifi.where())
        return context
    try:
        context.load_verify_locations(ca_file)
    except OSError as exc:
        raise CredentialsError(
            f"the CA file {ca_file} cannot be used: {_why_unusable(exc)}",
            hint="it must hold PEM certificates and be readable",
        ) from exc
    return context


def _why_unusable(exc: OSError) -> str:
    if isinstance(exc, ssl.SSLError):  # which is an OSError, with numbers of its own
        is_empty = exc.reason in _NO_CERTIFICATE
        return "there is no certificate in it" if is_empty else f"it is damaged ({exc.reason or exc})"
    return exc.strerror or str(exc)


def _public(key: object) -> bytes:
    encode = getattr(key, "public_bytes")  # noqa: B009 (every kind of key has it; the library has no common type)
    spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return bytes(encode(*spki))


def _unreadable(what: str, file: Path, exc: OSError) -> CredentialsError:
    return CredentialsError(
        f"this gateway's {what} {file} cannot be read: {exc.strerror}",
        hint="the file must be there, and the agent's user must be allowed to read it",
    )
