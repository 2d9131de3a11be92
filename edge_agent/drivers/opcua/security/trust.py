"""Whom we take for the server: a fingerprint in the file, a certificate a person has confirmed, or a CA's signature.

The confirmed ones are files, one a server, in a folder of the state folder; `edge-agent probe opcua --trust` writes
them. A certificate is judged before anything secret leaves the box. Knows no OPC UA library.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from edge_agent.drivers.opcua.security.certificates import (
    Certificate,
    CertificateError,
    is_made_out_to,
    make_own_folder,
    read_certificate,
    read_certificates,
    write_private,
)
from edge_agent.errors import DeviceRejectedError

DEFAULT_PORT: Final = 4_840
EXPIRES_SOON: Final = timedelta(days=30)
_SERVERS: Final = "servers"
_OTHER_HOST: Final = "# other host: accepted"
_NO_SIGNATURE: Final = (
    x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, InvalidSignature,
    UnsupportedAlgorithm, ValueError, TypeError,
)  # fmt: skip
_MOST_ISSUERS: Final = 8  # of a chain; a plant's has one or two


@dataclass(frozen=True, slots=True)
class TrustRules:
    """What one source says of its server. `folder` holds what persons have confirmed; None: nothing is kept."""

    endpoint: str
    fingerprint: str | None = None
    ca_file: Path | None = None
    folder: Path | None = None
    allow_other_host: bool = False

    @property
    def record_file(self) -> Path | None:
        """Return the file of the certificate that a person has confirmed for this server."""
        if self.folder is None:
            return None
        host, port = host_and_port(self.endpoint)
        return self.folder / _SERVERS / f"{re.sub(r'[^a-z0-9.-]', '_', host)}_{port}.pem"

    @property
    def names_somebody(self) -> bool:
        """Return whether anything is known of the server: without it no certificate can be judged."""
        is_confirmed = False
        if self.record_file is not None:
            with contextlib.suppress(OSError):
                is_confirmed = self.record_file.exists()
        return self.fingerprint is not None or self.ca_file is not None or is_confirmed


@dataclass(frozen=True, slots=True)
class TrustIssue:
    """What speaks against a certificate: what is wrong, and what to do. `is_identity`: it is not who we know."""

    what: str
    do: str
    is_identity: bool = False


def host_and_port(endpoint: str) -> tuple[str, int]:
    """Return host (small letters) and port of opc.tcp://host:port/path. Raise ValueError for a port that is none."""
    parts = urlsplit(endpoint)
    return (parts.hostname or "").lower(), parts.port or DEFAULT_PORT


def findings(chain: bytes, rules: TrustRules, now: datetime) -> list[TrustIssue]:
    """Return all that speaks against a server with this certificate (with its chain); nothing: it is trusted.

    Raise DeviceRejectedError when what we compare with cannot be read.
    """
    try:
        certificate, *issuers = read_certificates(chain)
    except (CertificateError, ValueError) as exc:
        return [
            TrustIssue(f"the server's certificate cannot be read: {exc}", "install another one on the server", True)
        ]
    record = _read_record(rules)
    identity = _identity(certificate, tuple(issuers), rules, record, now)
    found = [identity] if identity is not None else []
    found += _validity(certificate, now)
    is_accepted = rules.allow_other_host or (record is not None and record.accepts_other_host and identity is None)
    return found + ([] if is_accepted else host_findings(certificate, rules.endpoint))


def check_server(name: str, chain: bytes, rules: TrustRules, now: datetime) -> Certificate:
    """Return the server's certificate; raise DeviceRejectedError when anything speaks against it."""
    found = findings(chain, rules, now)
    if found:
        first = found[0]
        raise DeviceRejectedError(f"{name}: {rules.endpoint}: {first.what}", hint=first.do)
    return read_certificate(chain)


def host_findings(certificate: Certificate, endpoint: str) -> list[TrustIssue]:
    """Return what is wrong with the hosts the certificate is made out to."""
    host, port = host_and_port(endpoint)
    if is_made_out_to(certificate, host):
        return []
    names = ", ".join(certificate.hosts) or "no host"
    do = (
        "write one of these names as the endpoint's host; or, once you know that it is this server:"
        " allow_other_host = true"
    )
    return [TrustIssue(f"the server's certificate is made out to {names}, not to {host} (port {port})", do)]


def confirm(certificate: Certificate, rules: TrustRules, *, by: str, now: datetime) -> Path:
    """Keep the certificate as this server's, on a person's word. Raise OSError."""
    file = rules.record_file
    if file is None:
        raise ValueError("there is no folder to keep it in")
    make_own_folder(file.parent)
    accepts = bool(host_findings(certificate, rules.endpoint))
    lines = [
        f"# the certificate of the OPC UA server at {rules.endpoint}",
        f"# confirmed: {now.isoformat(timespec='seconds')} by {by}",
        *([_OTHER_HOST] if accepts else []),
    ]
    text = "\n".join(lines).encode() + b"\n" + certificate.parsed.public_bytes(serialization.Encoding.PEM)
    write_private(file, text)
    return file


def confirmed_by(certificate: Certificate, rules: TrustRules) -> str:
    """Return when and by whom this very certificate was confirmed for the server; nothing when it was not.

    Raise DeviceRejectedError when that cannot be read.
    """
    record = _read_record(rules)
    is_same = record is not None and record.certificate.fingerprint == certificate.fingerprint
    return record.confirmed if record is not None and is_same else ""


@dataclass(frozen=True, slots=True)
class _Record:
    certificate: Certificate
    confirmed: str
    accepts_other_host: bool


def _read_record(rules: TrustRules) -> _Record | None:
    file = rules.record_file
    if file is None:
        return None
    try:
        content = file.read_bytes()
        certificate = read_certificate(content)
    except FileNotFoundError:
        return None
    except (OSError, CertificateError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise DeviceRejectedError(
            f"the confirmed certificate of {rules.endpoint}, {file}, cannot be read: {reason}",
            hint=f"the agent's user must be able to read it; or confirm it again: {trust_command(rules)}",
        ) from exc
    head = content.partition(b"-----BEGIN")[0].decode(errors="replace").splitlines()
    confirmed = next((line.removeprefix("# confirmed: ") for line in head if line.startswith("# confirmed: ")), "")
    return _Record(certificate, confirmed, _OTHER_HOST in head)


def trust_command(rules: TrustRules) -> str:
    """Return the command with which a person confirms the server."""
    return f"edge-agent probe opcua {rules.endpoint} --trust"


def _identity(
    certificate: Certificate,
    issuers: tuple[Certificate, ...],
    rules: TrustRules,
    record: _Record | None,
    now: datetime,
) -> TrustIssue | None:
    """Return why this is nobody we know; None when one of the three ways vouches for it."""
    shown = certificate.fingerprint
    if rules.fingerprint is not None:  # who wrote it into the file means this one and no other
        if shown == rules.fingerprint:
            return None
        what = f"the server's certificate is another one: {shown}, and server_fingerprint is {rules.fingerprint}"
        return TrustIssue(what, f"was it renewed? Ask its administrator; if so: {_renewed(rules)}", is_identity=True)
    if record is not None and record.certificate.fingerprint == shown:
        return None
    if rules.ca_file is not None and _is_signed(certificate, issuers, _authorities(rules.ca_file), now):
        return None
    if record is not None:
        what = (
            f"the server's certificate has changed: it is {shown} now; confirmed was {record.certificate.fingerprint}"
            f" ({record.confirmed})"
        )
        do = f"was it renewed? Ask its administrator; if so: {trust_command(rules)}. Nothing secret was sent to it"
        return TrustIssue(what, do, is_identity=True)
    if rules.ca_file is not None:
        signed = f"is signed by {certificate.issuer}, and by nobody in {rules.ca_file}"
        what = f"the server's certificate ({certificate.subject}) {signed}"
        return TrustIssue(what, f"put the CA that signs servers into it; or: {trust_command(rules)}", is_identity=True)
    what = f"nobody has confirmed the server's certificate yet ({certificate.subject})"
    do = f'{trust_command(rules)}; or, if its administrator names this fingerprint: server_fingerprint = "{shown}"'
    return TrustIssue(what, do, is_identity=True)


def _renewed(rules: TrustRules) -> str:
    return f"edge-agent probe opcua {rules.endpoint} shows the new one for server_fingerprint"


def _validity(certificate: Certificate, now: datetime) -> list[TrustIssue]:
    found = []
    clock = f"this gateway's clock says {now:%Y-%m-%d %H:%M} UTC"
    if now > certificate.not_after:
        do = "renew it on the server; if the clock here is wrong, set it right"
        found.append(TrustIssue(f"the server's certificate expired on {certificate.not_after:%Y-%m-%d}; {clock}", do))
    if now < certificate.not_before:
        what = f"the server's certificate is valid only from {certificate.not_before:%Y-%m-%d %H:%M} UTC; {clock}"
        found.append(TrustIssue(what, "one of the two clocks is wrong: the server's when it made it, or the one here"))
    if certificate.has_weak_key:
        do = "make a new one on the server, of RSA with 2048 bits or more"
        found.append(TrustIssue(f"the key of the server's certificate is too weak: {certificate.key}", do))
    return found


def _authorities(file: Path) -> tuple[Certificate, ...]:
    try:
        return read_certificates(file.read_bytes())
    except (OSError, CertificateError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise DeviceRejectedError(
            f"ca_file {file} cannot be used: {reason}", hint="PEM or DER, readable by the agent's user"
        ) from exc


def _is_signed(
    certificate: Certificate, issuers: tuple[Certificate, ...], authorities: tuple[Certificate, ...], now: datetime
) -> bool:
    """Return whether a chain leads from the certificate to one of the authorities, each of them valid now."""
    current = certificate
    for below in range(_MOST_ISSUERS):
        if any(_has_signed(authority, current, below, now) for authority in authorities):
            return True
        above = next((one for one in issuers if one != current and _has_signed(one, current, below, now)), None)
        if above is None:
            return False
        current = above
    return False


def _has_signed(issuer: Certificate, certificate: Certificate, below: int, now: datetime) -> bool:
    """Return whether `issuer` may sign and has signed it, with `below` authorities between it and the server."""
    try:
        extensions = issuer.parsed.extensions
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = next((one.value for one in extensions if isinstance(one.value, x509.KeyUsage)), None)
        certificate.parsed.verify_directly_issued_by(issuer.parsed)
    except _NO_SIGNATURE:
        return False
    may_sign = constraints.ca and (usage is None or usage.key_cert_sign)
    is_short_enough = constraints.path_length is None or below <= constraints.path_length
    return may_sign and is_short_enough and issuer.not_before <= now <= issuer.not_after
