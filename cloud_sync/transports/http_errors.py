"""What a failure of an HTTP exchange means for the person at the machine, and that only our errors leave it."""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import httpx

from cloud_sync.errors import CredentialsError, TransientSyncError
from cloud_sync.host.printable import printable
from cloud_sync.transports.steps import ONLY_SAN, StepError, causes_of
from cloud_sync.transports.tls import ClientCertificate, certificate_refused, own_out_of_date, refused_alert

_PROXY_WANTS_CERTIFICATE: Final = re.compile(rb"No required SSL certificate was sent|The SSL certificate error")

# A UnicodeError: a host name that no resolver takes.
LIBRARY_ERRORS: Final = (
    StepError,
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    httpx.CookieConflict,
    UnicodeError,
)

_ON_ITS_WAY: Final = (
    httpx.ReadTimeout, httpx.WriteTimeout, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError,
)  # fmt: skip
_CUT_HINT: Final = (
    "does the central run, and for long enough to answer? A proxy or firewall between may cut connections and answers"
)

_PATIENCE: Final = "is the central busy? On a slow link raise central.answer_timeout_s"

# OpenSSL's X509_V_ERR_* numbers, for the causes that somebody at the machine can mend.
_CERTIFICATE_CAUSES: Final = {
    9: ("is not valid yet", "check this box's clock"),
    10: ("has expired", "renew it on the central; check this box's clock"),
    18: ("is self-signed", "name it in central.ca_file if it is the right one"),
    19: ("was signed by an unknown CA", "name the CA in central.ca_file"),
    20: ("was signed by an unknown CA", "name the CA in central.ca_file"),
    21: ("was signed by an unknown CA", "name the CA in central.ca_file; the central should send its whole chain"),
    62: ("is for another host name", f"use in central.url a name that stands in the certificate; {ONLY_SAN}"),
    64: ("is for another address", f"use in central.url a name or address of the certificate; {ONLY_SAN}"),
}


def check_certificate_taken(where: str, own: ClientCertificate | None, status: int, answer: bytes) -> None:
    """Raise CredentialsError when a proxy's HTTP answer says that it wants another client certificate.

    nginx ends no handshake for it: it answers 400 with a page of its own.
    """
    if status == 400 and (found := _PROXY_WANTS_CERTIFICATE.search(answer)):
        raise certificate_refused(where, own, found[0].decode())


@contextlib.contextmanager
def translated(where: str, own: ClientCertificate | None = None) -> Iterator[None]:
    """Let only our errors out of this block; cancellation passes."""
    try:
        yield
    except StepError as exc:
        raise TransientSyncError(f"{where}: {exc.words}", hint=exc.hint) from exc
    except TimeoutError as exc:
        raise TransientSyncError(
            f"{where}: no whole answer in time (central.answer_timeout_s)", hint=_PATIENCE, was_in_flight=True
        ) from exc
    except LIBRARY_ERRORS as exc:
        error = _unreachable(where, own, exc)
        if isinstance(error, TransientSyncError):
            error.was_in_flight = isinstance(exc, _ON_ITS_WAY)
        raise error from exc
    except OSError as exc:  # what the library lets through while it reads from or closes a broken connection
        raise _unreachable(where, own, exc) from exc


def _unreachable(where: str, own: ClientCertificate | None, exc: Exception) -> TransientSyncError | CredentialsError:
    causes = causes_of(exc)
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _tls_failure(where, own, cause)
    for cause in causes:
        if (found := _no_connection(cause)) is not None:
            return TransientSyncError(f"{where}: {found[0]}", hint=found[1])
    if isinstance(exc, httpx.RemoteProtocolError) and (said := _cut_short(str(exc))) is not None:
        return TransientSyncError(f"{where}: {said}", hint=_CUT_HINT, is_centrals=False)
    if isinstance(exc, httpx.ReadError):
        lost = "the connection was lost before an answer"
        if any(isinstance(cause, ConnectionResetError) for cause in causes):
            lost += ": it was reset"
        if where.startswith("https://"):
            return _hung_up(where, own, lost)
        return TransientSyncError(
            f"{where}: {lost}",
            hint="does the central run? If it speaks TLS on this port, central.url begins with https; else a "
            "firewall or proxy between cuts connections",
        )
    return TransientSyncError(
        f"{where}: {printable(exc, limit=300) or type(exc).__name__}",
        hint="check that the central runs, that central.url is right, and that name, route and firewall let it through",
    )


def _cut_short(library_says: str) -> str | None:
    """What h11's words about an answer that is not whole mean."""
    if library_says.startswith("peer closed connection without sending complete message body"):
        received = library_says.partition("(")[2].rstrip(")")
        return f"the answer was cut short on the way ({received or 'its end is missing'})"
    if library_says.startswith("Server disconnected without sending a response"):
        return "the connection was closed before an answer"
    return None


def _no_connection(cause: BaseException) -> tuple[str, str] | None:
    """What is wrong before anybody answers, and what to do."""
    if isinstance(cause, socket.gaierror):
        return "no such name", "check the host in central.url, and this box's DNS server"
    if isinstance(cause, ConnectionRefusedError):
        return "nobody listens there: connection refused", "does the central run? Check host and port in central.url"
    if isinstance(cause, OSError) and cause.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return "no way there: no route to the host", "check this box's network cable, address and gateway"
    if isinstance(cause, httpx.PoolTimeout):
        return "no connection became free in time (central.answer_timeout_s)", _PATIENCE
    if isinstance(cause, httpx.WriteTimeout):
        return "the request could not be sent in time (central.answer_timeout_s)", _PATIENCE
    if isinstance(cause, httpx.ReadTimeout):
        return "no answer in time (central.answer_timeout_s)", _PATIENCE
    return None


def _tls_failure(
    where: str, own: ClientCertificate | None, cause: ssl.SSLError
) -> TransientSyncError | CredentialsError:
    if isinstance(cause, ssl.SSLCertVerificationError):
        said, hint = _CERTIFICATE_CAUSES.get(cause.verify_code, (f"is not trusted: {cause.verify_message}", None))
        return TransientSyncError(f"{where}: the central's certificate {said}", hint=hint)
    if alert := refused_alert(str(cause.reason)):
        return certificate_refused(where, own, alert)
    if cause.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return TransientSyncError(f"{where}: no TLS there", hint="does the central listen for plain http on this port?")
    if cause.reason == "UNEXPECTED_EOF_WHILE_READING":
        return _hung_up(where, own, "the other side ended the TLS handshake")
    return TransientSyncError(f"{where}: TLS failed: {cause.reason or cause}")


def _hung_up(where: str, own: ClientCertificate | None, said: str) -> TransientSyncError | CredentialsError:
    """The other side ended the connection without a word; some servers (asyncio's) do so to a wrong certificate."""
    if (old := own_out_of_date(own)) is not None:
        return certificate_refused(where, own, old)
    return TransientSyncError(
        f"{where}: {said}",
        hint="does the central run? Does it ask for another client certificate (central.client_certificate_file)?",
    )
