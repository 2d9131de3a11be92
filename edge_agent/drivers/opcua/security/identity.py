"""Who this gateway is to an OPC UA server: its own certificate, and the user it signs in as; and when they expire.

Read when they are needed; the password is kept nowhere. Knows no OPC UA library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from edge_agent.drivers.opcua.security.certificates import (
    Certificate,
    CertificateError,
    KeyPair,
    own_pair,
    read_key_pair,
)
from edge_agent.drivers.opcua.security.trust import EXPIRES_SOON, TrustRules
from edge_agent.drivers.opcua.security_settings import OpcUaConnectionSettings
from edge_agent.drivers.report import SourceProblem
from edge_agent.errors import DeviceRejectedError

OWN_FOLDER: Final = "own"
_MAKE_OWN: Final = "edge-agent probe opcua --make-certificate makes a new one; then the server has to trust it"


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """`own`: of the application, none without security. `user` or `password`: who signs in, none is anonymous."""

    own: KeyPair | None = None
    user: KeyPair | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Secured:
    """The certificates of an open connection, to foretell their end. `server` is one that was checked."""

    own: Certificate | None = None
    user: Certificate | None = None
    server: Certificate | None = None

    def problems(self, now: datetime) -> tuple[SourceProblem, ...]:
        """Return which of them ends within 30 days, or has ended since the connection was opened."""
        known = (
            (self.own, "this gateway's own certificate", _MAKE_OWN),
            (self.user, "the user certificate", "have a new one made, and trusted on the server, before that"),
            (
                self.server,
                "the server's certificate",
                "renew it on the server before that, then confirm the new one",
            ),
        )
        return tuple(_ending(one, whose, do) for one, whose, do in known if one and now > one.not_after - EXPIRES_SOON)


def rules_of(settings: OpcUaConnectionSettings) -> TrustRules:
    """Return what the source says of its server."""
    return TrustRules(
        settings.endpoint,
        fingerprint=settings.server_fingerprint,
        ca_file=settings.ca_file,
        folder=settings.trust_dir,
        allow_other_host=settings.allow_other_host,
    )


def load_identity(settings: OpcUaConnectionSettings, now: datetime) -> ClientIdentity:
    """Read what the settings name; make our own certificate when they name none. Raise DeviceRejectedError."""
    own = None if settings.security == "none" else _own(settings, now)
    user = None
    if settings.user_certificate_file is not None and settings.user_private_key_file is not None:
        user = _pair(settings, "user_certificate_file", "user_private_key_file")
        _check_dates(settings, user, "the user certificate", now, "have a new one made, and trusted on the server")
    password = None
    if settings.password_file is not None:
        content = _read(settings, "password_file", settings.password_file)
        try:
            password = content.decode().rstrip("\r\n")
        except UnicodeDecodeError as exc:
            raise DeviceRejectedError(
                f"{settings.name}: password_file {settings.password_file} is no UTF-8 text",
                hint="it holds the password alone, in one line",
            ) from exc
    return ClientIdentity(own, user, password)


def _own(settings: OpcUaConnectionSettings, now: datetime) -> KeyPair:
    if settings.certificate_file is not None:
        pair = _pair(settings, "certificate_file", "private_key_file")
        if pair.certificate.application_uri is None:
            raise DeviceRejectedError(
                f"{settings.name}: certificate_file {settings.certificate_file} names no application URI",
                hint=f"servers ask for one in its subjectAltName; {_MAKE_OWN}",
            )
    else:
        pair = _made(settings, now)
    _check_dates(settings, pair, "this gateway's own certificate", now, _MAKE_OWN)
    return pair


def _made(settings: OpcUaConnectionSettings, now: datetime) -> KeyPair:
    if settings.trust_dir is None:
        raise DeviceRejectedError(
            f'{settings.name}: security = "{settings.security}" needs a certificate of this gateway',
            hint="certificate_file and private_key_file; or trust_dir, where it makes one itself",
        )
    folder = settings.trust_dir / OWN_FOLDER
    try:
        return own_pair(folder, now=now)
    except (OSError, CertificateError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise DeviceRejectedError(
            f"{settings.name}: this gateway's own certificate in {folder} cannot be read or made: {reason}",
            hint="the folder belongs to the agent's user; or set certificate_file and private_key_file",
        ) from exc


def _check_dates(settings: OpcUaConnectionSettings, pair: KeyPair, whose: str, now: datetime, do: str) -> None:
    certificate, clock = pair.certificate, f"the clock here says {now:%Y-%m-%d %H:%M} UTC"
    if now > certificate.not_after:
        raise DeviceRejectedError(
            f"{settings.name}: {whose} {pair.file} expired on {certificate.not_after:%Y-%m-%d}; {clock}", hint=do
        )
    if now < certificate.not_before:
        raise DeviceRejectedError(
            f"{settings.name}: {whose} {pair.file} is valid from {certificate.not_before:%Y-%m-%d %H:%M} UTC; {clock}",
            hint="set this gateway's clock right",
        )


def _pair(settings: OpcUaConnectionSettings, certificate_field: str, key_field: str) -> KeyPair:
    certificate: Path = getattr(settings, certificate_field)
    key: Path = getattr(settings, key_field)
    contents = _read(settings, certificate_field, certificate), _read(settings, key_field, key)
    try:
        return read_key_pair(*contents, certificate)
    except CertificateError as exc:
        raise DeviceRejectedError(
            f"{settings.name}: {certificate_field} {certificate} and {key_field} {key} cannot be used: {exc}",
            hint="PEM or DER, the key without password",
        ) from exc


def _read(settings: OpcUaConnectionSettings, name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise DeviceRejectedError(
            f"{settings.name}: {name} {path} cannot be read: {exc.strerror}",
            hint="the file must exist and be readable by the agent's user",
        ) from exc


def _ending(certificate: Certificate, whose: str, do: str) -> SourceProblem:
    since = int((certificate.not_after - EXPIRES_SOON).timestamp()) * 1_000_000_000
    what = f"{whose} is valid only until {certificate.not_after:%Y-%m-%d %H:%M} UTC: then this source is refused"
    return SourceProblem(what, since, do)
