"""The certificate this gateway shows to its central over HTTPS: configured, checked, and its dates watched.

A date that has passed never stops the agent: it records, and says what is wrong; the central decides.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from cloud_sync.errors import CredentialsError
from cloud_sync.transports.tls import ClientCertificate, ClientTls
from edge_agent.delivery.authorities import missing_roots
from edge_agent.errors import ConfigurationError
from edge_agent.settings import CentralSettings

log = logging.getLogger("edge_agent")

WARN_BEFORE: Final = timedelta(days=14)
"""Long enough for a request to somebody else's CA."""
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
    """Return what is wrong with it or soon will be, else with the public CAs, and what to do."""
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


def warn_of_dates(central: CentralSettings) -> None:
    """Log once at the start what is wrong; what cannot be used at all is refused when the connection is made ready."""
    wrong = certificate_problem(central)
    if wrong is not None:
        log.warning("%s; %s", *wrong)
