"""The certificate this gateway shows to its central over HTTPS: configured, checked, and its dates watched.

A date that has passed never stops the agent: it records, and says what is wrong; the central decides.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cloud_sync.errors import CredentialsError
from cloud_sync.transports.tls import ClientCertificate, ClientTls, trusting
from edge_agent.errors import ConfigurationError
from edge_agent.settings import CentralSettings

log = logging.getLogger("edge_agent")

WARN_BEFORE: Final = timedelta(days=14)
"""Long enough for a request to somebody else's CA."""
_PEM: Final = b"CERTIFICATE-----"
_RENEW: Final = "put a renewed one in its place, no restart is needed; check this box's clock"


def client_certificate(central: CentralSettings) -> ClientCertificate | None:
    if central.client_certificate_file is None or central.client_key_file is None:
        return None
    return ClientCertificate(central.client_certificate_file, central.client_key_file)


def check_client_certificate(central: CentralSettings, *, now: datetime | None = None) -> None:
    """Open the files and look at the dates. Raises ConfigurationError for whatever is wrong with them."""
    own = client_certificate(central)
    if own is None:
        return
    try:
        ClientTls(central.ca_file, own)
        old = own.out_of_date(now or datetime.now(UTC))
    except CredentialsError as exc:
        raise ConfigurationError(exc.message, hint=exc.hint) from exc
    if old is not None:
        raise ConfigurationError(f"central.client_certificate_file: {old}", hint=_RENEW)


def certificate_problem(central: CentralSettings, *, now: datetime | None = None) -> tuple[str, str] | None:
    """What is wrong, or soon will be, and what to do."""
    own = client_certificate(central)
    if own is None:
        return missing_roots(central)
    now = now or datetime.now(UTC)
    try:
        own.check()
        old = own.out_of_date(now)
        soon = own.out_of_date(now + WARN_BEFORE)
    except CredentialsError as exc:
        return exc.message, exc.hint or _RENEW
    if old is not None:
        return f"this gateway's client certificate {old}", _RENEW
    if soon is not None:
        return (
            f"this gateway's client certificate expires within {WARN_BEFORE.days} days: {own.certificate_file}",
            _RENEW,
        )
    return missing_roots(central)


def missing_roots(central: CentralSettings, environment: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """Return that a variable names public CAs that cannot be used: OpenSSL passes over it without a word."""
    if central.ca_file is not None:
        return None  # then only this one is trusted
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        place = environment.get(variable)
        if place and (wrong := _wrong_with(Path(place))) is not None:
            return f"the environment variable {variable} names {place}, {wrong}", (
                "mend it in the unit's environment, or name the central's CA in central.ca_file"
            )
    return None


def _wrong_with(place: Path) -> str | None:
    try:
        holds_one = place.is_dir() or _PEM in place.read_bytes()
    except OSError as exc:
        return f"which cannot be read ({exc.strerror})" if place.exists() else "which is not there"
    return None if holds_one else "in which there is no certificate"


def unusable_authorities(central: CentralSettings) -> list[tuple[str, str]]:
    """Return which CA files of the central, its broker and its proxy cannot be used, and what to do."""
    files = [central.ca_file, *(table.ca_file for table in (central.mqtt, central.proxy) if table is not None)]
    found = []
    for file in dict.fromkeys(files):
        try:
            trusting(file)
        except CredentialsError as exc:
            found.append((exc.message, exc.hint or _RENEW))
    return found


def warn_of_dates(central: CentralSettings) -> None:
    """Said once at the start; what cannot be used at all is refused when the connection is made ready."""
    wrong = certificate_problem(central)
    if wrong is not None:
        log.warning("%s; %s", *wrong)
