"""Batches over HTTPS.

Constraints
- The certificate is verified; there is no switch for it.
- Only a well-formed answer about this very batch settles it; every other answer is a failure with a name.
- The API key appears in one request header and nowhere else: not in repr, messages or logs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import httpx

from cloud_sync import wire
from cloud_sync.errors import BatchRefusedError, BatchTooLargeError, CredentialsError, TransientSyncError
from cloud_sync.records import Batch, Settlement
from cloud_sync.transports.answers import DETAIL_CHARS, MAX_ANSWER_BYTES, MAX_RETRY_AFTER_S, settlement_of
from cloud_sync.transports.tls import (
    ClientCertificate,
    ClientTls,
    certificate_refused,
    own_out_of_date,
    refused_alert,
    trusting,
)

INGEST_PATH: Final = "/api/v1/data/ingest/batch"

_NOT_THE_SERVICE: Final = "is central.url the ingest service itself? A login page or a proxy may answer in its place"

_PROBE: Final = "probe"

_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]+")

_PROXY_WANTS_CERTIFICATE: Final = re.compile(rb"No required SSL certificate was sent|The SSL certificate error")

_LIBRARY_ERRORS: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, httpx.CookieConflict)

# OpenSSL's X509_V_ERR_* numbers, for the causes that somebody at the machine can mend.
_CERTIFICATE_CAUSES: Final = {
    9: ("is not valid yet", "check this box's clock"),
    10: ("has expired", "renew it on the central; check this box's clock"),
    18: ("is self-signed", "name it in central.ca_file if it is the right one"),
    19: ("was signed by an unknown CA", "name the CA in central.ca_file"),
    20: ("was signed by an unknown CA", "name the CA in central.ca_file"),
    21: ("was signed by an unknown CA", "name the CA in central.ca_file; the central should send its whole chain"),
    62: ("is for another host name", "use the name in the certificate in central.url"),
    64: ("is for another address", "use the name or address in the certificate in central.url"),
}


class HttpsTransport:
    """One keep-alive client to one central."""

    name = "https"

    def __init__(
        self,
        url: str,
        *,
        gateway_id: str,
        api_key: str,
        ca_file: Path | None = None,
        client_certificate: ClientCertificate | None = None,
        connect_timeout_s: float = 5.0,
        answer_timeout_s: float = 30.0,
    ) -> None:
        self._url = url.rstrip("/") + INGEST_PATH
        self._gateway_id = gateway_id
        self._answer_timeout_s = answer_timeout_s
        self._tls = ClientTls(ca_file, client_certificate)
        self._client = httpx.AsyncClient(
            headers={
                "X-API-Key": header_value(api_key),
                "Content-Encoding": wire.CONTENT_ENCODING,
            },
            timeout=httpx.Timeout(answer_timeout_s, connect=connect_timeout_s),
            verify=self._tls.context,
        )

    def __repr__(self) -> str:
        return f"HttpsTransport({self._url!r}, gateway_id={self._gateway_id!r})"

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Deliver one encoded batch. Raises as promised in `transports.base`."""
        status, headers, answer = await self._post(body, batch_id)
        if status == 200:
            return settlement_of(answer, batch_id=batch_id, hint=_NOT_THE_SERVICE)
        raise failure_of(status, headers, answer, now=datetime.now(UTC))

    async def is_there(self) -> bool:
        """Whether this central takes batches, asked with an empty one, which changes nothing.

        Raises TransientSyncError when the answer says neither yes nor no.
        """
        status, headers, answer = await self._post(wire.encode(Batch(self._gateway_id)), _PROBE)
        if status == 200:
            settlement_of(answer, batch_id=_PROBE, hint=_NOT_THE_SERVICE)
        elif status in (404, 405):
            return False
        elif status not in (401, 403, 413, 422):  # each of these is said by somebody who knows the path
            raise failure_of(status, headers, answer, now=datetime.now(UTC))
        return True

    async def close(self) -> None:
        await self._client.aclose()

    async def _post(self, body: bytes, batch_id: str) -> tuple[int, httpx.Headers, bytes]:
        if self._client.is_closed:
            raise TransientSyncError("the transport was closed")
        headers = {
            "Content-Type": wire.content_type(body),  # an outbox may still hold blocks of an older form
            "Idempotency-Key": f"{self._gateway_id}:{batch_id}",
            "X-Request-ID": str(uuid.uuid4()),
        }
        self._tls.refresh()
        with translated(self._url, self._tls.own):
            async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
                async with asyncio.timeout(self._answer_timeout_s):
                    answer = await read_answer(response)
        check_certificate_taken(self._url, self._tls.own, response.status_code, answer)
        return response.status_code, response.headers, answer


def check_certificate_taken(where: str, own: ClientCertificate | None, status: int, answer: bytes) -> None:
    """Raises CredentialsError when a proxy says by an HTTP answer that it wants another client certificate.

    nginx ends no handshake for it: it answers 400 with a page of its own.
    """
    if status == 400 and (found := _PROXY_WANTS_CERTIFICATE.search(answer)):
        raise certificate_refused(where, own, found[0].decode())


def failure_of(
    status: int, headers: httpx.Headers, answer: bytes, *, now: datetime
) -> TransientSyncError | CredentialsError | BatchTooLargeError | BatchRefusedError:
    """Which of our errors an answer other than 200 is."""
    detail = _detail(answer)
    if status == 401:
        return CredentialsError(
            f"the central does not know this API key: {detail}", hint="check central.api_key or its file"
        )
    if status == 403:
        return CredentialsError(
            f"the central refuses this gateway: {detail}",
            hint="the key was revoked, or belongs to another gateway.id; ask for a new one",
        )
    if status == 413:
        return BatchTooLargeError(f"the central takes only smaller batches: {detail}")
    if status == 422:
        return BatchRefusedError(f"the central cannot read the batch: {detail}")
    hint = "check central.url" if status in (301, 302, 303, 307, 308, 404, 405) else None
    return TransientSyncError(
        f"the central answered {status}: {detail}", hint=hint, retry_after_s=retry_after_s(headers, now=now)
    )


def retry_after_s(headers: httpx.Headers, *, now: datetime) -> float | None:
    """Seconds to wait, from either form of Retry-After; None when it is absent or unreadable."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal() and text.isascii():
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:  # an HTTP date is always UTC
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


@contextlib.contextmanager
def translated(where: str, own: ClientCertificate | None = None) -> Iterator[None]:
    """Let only our errors out of this block; cancellation passes."""
    try:
        yield
    except TimeoutError as exc:
        raise TransientSyncError(f"{where}: the answer did not end in time") from exc
    except _LIBRARY_ERRORS as exc:
        raise _unreachable(where, own, exc) from exc
    except OSError as exc:  # what the library lets through while it reads from or closes a broken connection
        raise _unreachable(where, own, exc) from exc


def _unreachable(where: str, own: ClientCertificate | None, exc: Exception) -> TransientSyncError | CredentialsError:
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return _tls_failure(where, own, cause)
        cause = cause.__cause__ or cause.__context__
    if isinstance(exc, httpx.ReadError):
        lost = "the connection was lost before an answer"
        if where.startswith("https://"):
            return _hung_up(where, own, lost)
        return TransientSyncError(
            f"{where}: {lost}",
            hint="does the central run? If it speaks TLS on this port, central.url begins with https",
        )
    return TransientSyncError(
        f"{where}: {str(exc) or type(exc).__name__}",
        hint="check that the central runs, that central.url is right, and that name, route and firewall let it through",
    )


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


async def read_answer(response: httpx.Response) -> bytes:
    answer = bytearray()
    async for chunk in response.aiter_bytes():
        answer += chunk
        if len(answer) > MAX_ANSWER_BYTES:
            raise TransientSyncError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(answer)


def _detail(answer: bytes) -> str:
    """The central's own words when there are any, kept short: a proxy may send a whole page."""
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict) and "detail" in said:
        return str(said["detail"])[:DETAIL_CHARS]
    return "no detail given"


def header_value(api_key: str) -> str:
    """A key that a header can carry. The HTTP library would quote a bad one in its message."""
    stripped = api_key.strip()
    if not _HEADER_VALUE.fullmatch(stripped):
        raise CredentialsError(
            "the API key is empty or holds characters that no key has", hint="check central.api_key or its file"
        )
    return stripped


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """For a client that shows no certificate."""
    return trusting(ca_file)
