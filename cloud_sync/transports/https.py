"""Batches over HTTPS.

Constraints
- The certificate is verified; there is no switch for it.
- Only a well-formed answer about this very batch settles it; every other answer is a failure with a name.
- The API key appears in one request header and nowhere else: not in repr, messages or logs.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx

from cloud_sync import wire
from cloud_sync.errors import BatchRefusedError, BatchTooLargeError, CredentialsError, TransientSyncError
from cloud_sync.records import Batch, Settlement
from cloud_sync.transports.answers import KEY_HINT, MAX_RETRY_AFTER_S, detail_in, said_in, settlement_of
from cloud_sync.transports.http_exchange import Answer, HttpExchange
from cloud_sync.transports.tls import ClientCertificate, ClientTls

INGEST_PATH: Final = "/api/v1/data/ingest/batch"

_NOT_THE_SERVICE: Final = "is central.url the ingest service itself? A login page or a proxy may answer in its place"

_PROBE: Final = "probe"

_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]+")

_HTTP_DATE: Final = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")
_HTTP_DATE_FORM: Final = "%a, %d %b %Y %H:%M:%S GMT"


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
        self._http = HttpExchange(
            headers={"X-API-Key": header_value(api_key), "Content-Encoding": wire.CONTENT_ENCODING},
            tls=ClientTls(ca_file, client_certificate),
            connect_timeout_s=connect_timeout_s,
            answer_timeout_s=answer_timeout_s,
        )

    def __repr__(self) -> str:
        return f"HttpsTransport({self._url!r}, gateway_id={self._gateway_id!r})"

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Deliver one encoded batch. Raises as promised in `transports.base`."""
        answer = await self._post(body, batch_id)
        if answer.status == 200:
            return settlement_of(answer.body, batch_id=batch_id, hint=_NOT_THE_SERVICE)
        raise failure_of(answer, now=datetime.now(UTC))

    async def is_there(self) -> bool:
        """Whether this central takes batches, asked with an empty one, which changes nothing.

        Raises TransientSyncError when the answer says neither yes nor no.
        """
        answer = await self._post(wire.encode(Batch(self._gateway_id)), _PROBE)
        if answer.status == 200:
            settlement_of(answer.body, batch_id=_PROBE, hint=_NOT_THE_SERVICE)
        elif answer.status in (404, 405):
            return False
        elif answer.status not in (401, 403, 413, 422):  # each of these is said by somebody who knows the path
            raise failure_of(answer, now=datetime.now(UTC))
        return True

    async def close(self) -> None:
        await self._http.aclose()

    async def _post(self, body: bytes, batch_id: str) -> Answer:
        headers = {
            "Content-Type": wire.content_type(body),  # an outbox may still hold blocks of an older form
            "Idempotency-Key": f"{self._gateway_id}:{batch_id}",
            "X-Request-ID": str(uuid.uuid4()),
        }
        return await self._http.ask("POST", self._url, body=body, headers=headers)


def failure_of(
    answer: Answer, *, now: datetime
) -> TransientSyncError | CredentialsError | BatchTooLargeError | BatchRefusedError:
    """Which of our errors an answer other than 200 is. A proxy may send a whole page: of that nothing is shown."""
    status, detail = answer.status, detail_in(said_in(answer.body))
    if status == 401:
        return CredentialsError(f"the central does not know this API key: {detail}", hint=KEY_HINT)
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
        f"the central answered {status}: {detail}", hint=hint, retry_after_s=retry_after_s(answer.headers, now=now)
    )


def retry_after_s(headers: httpx.Headers, *, now: datetime) -> float | None:
    """Seconds to wait, from either form of Retry-After; None when it is absent or unreadable."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal() and text.isascii():
        return min(float(text), MAX_RETRY_AFTER_S)
    if not _HTTP_DATE.fullmatch(text):
        return None
    try:
        moment = datetime.strptime(text, _HTTP_DATE_FORM).replace(tzinfo=UTC)
    except ValueError:  # no such day or hour
        return None
    return min(max((moment - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def header_value(api_key: str) -> str:
    """A key that a header can carry. The HTTP library would quote a bad one in its message."""
    stripped = api_key.strip()
    if not _HEADER_VALUE.fullmatch(stripped):
        raise CredentialsError("the API key is empty or holds characters that no key has", hint=KEY_HINT)
    return stripped
