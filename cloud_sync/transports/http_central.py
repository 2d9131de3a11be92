"""The central over HTTP, for batches, single readings and digests alike: its key, and what an answer but 200 means."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

import httpx

from cloud_sync.answer_proof import REQUEST_CHANGED, Identity
from cloud_sync.errors import BatchRefusedError, BatchTooLargeError, CredentialsError, TransientSyncError
from cloud_sync.records import Settlement
from cloud_sync.transports.answers import KEY_HINT, MAX_RETRY_AFTER_S, detail_in, document_in, in_use, settlement_of
from cloud_sync.transports.central_time import DATE_SPAN_US, CentralTime
from cloud_sync.transports.http_exchange import Answer
from cloud_sync.transports.known_central import KnownCentral
from cloud_sync.transports.speaker import REDIRECTS, SMALL_BYTES, no_central, unbelieved
from cloud_sync.twins import IN_USE

_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]+")

_HINTS: Final = {
    404: "check central.url: the central is there, under another path",
    405: "check central.url: the central is there, under another path",
    408: "the link is slower than the central waits for; smaller batches go by themselves",
    415: "a proxy between must pass Content-Type and Content-Encoding on unchanged",
}

_HTTP_DATE: Final = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")
_HTTP_DATE_FORM: Final = "%a, %d %b %Y %H:%M:%S GMT"


def header_value(api_key: str) -> str:
    """Return a key that a header can carry. Raises CredentialsError; the HTTP library would quote a bad one."""
    stripped = api_key.strip()
    if not _HEADER_VALUE.fullmatch(stripped):
        raise CredentialsError("the API key is empty or holds characters that no key has", hint=KEY_HINT)
    return stripped


def failure_of(
    answer: Answer, *, now: datetime, known: KnownCentral, sent_bytes: int = 0
) -> TransientSyncError | CredentialsError | BatchTooLargeError | BatchRefusedError:
    """Return which of our errors an answer but 200 is.

    Only what the central itself says is about the key or the batch; anybody else's is about the route to it. That
    a body of few `sent_bytes` is too large is believed of a central that proves it.
    """
    if not known.is_its_answer(answer):
        return no_central(answer)
    status, said = answer.status, document_in(answer.body)
    detail = detail_in(said)
    if said.get("code") == REQUEST_CHANGED:
        return TransientSyncError(
            f"the request did not reach the central as it was sent: {detail}",
            hint="a proxy between must pass requests on as they are: their headers, and the body whole",
            is_centrals=False,
        )
    if status == 401:
        return CredentialsError(f"the central does not know this API key: {detail}", hint=KEY_HINT)
    if status == 403:
        return CredentialsError(
            f"the central refuses this gateway: {detail}",
            hint="the key was revoked, or belongs to another gateway.id; ask for a new one",
        )
    if status == 409 and said.get("code") == IN_USE:
        held = in_use(said, retry_after_s=retry_after_s(answer.headers, now=now))
        if held is not None:
            return held
    if status == 413:
        is_certain = answer.identity is Identity.PROVEN or sent_bytes >= SMALL_BYTES
        return BatchTooLargeError(f"the central takes only smaller batches: {detail}", is_centrals=is_certain)
    if status == 422:
        return BatchRefusedError(f"the central cannot read the batch: {detail}")
    if status in REDIRECTS:
        return no_central(answer)
    hint = _HINTS.get(status)
    return TransientSyncError(
        f"the central answered {status}: {detail}", hint=hint, retry_after_s=retry_after_s(answer.headers, now=now)
    )


def settlement_in(answer: Answer, *, batch_id: str, known: KnownCentral) -> Settlement:
    """Return what an answer 200 settles. Raises TransientSyncError, naming who spoke, unless it is this batch's."""
    if not known.is_its_answer(answer):
        raise unbelieved(answer)
    try:
        return settlement_of(answer.body, batch_id=batch_id)
    except TransientSyncError as exc:
        raise unbelieved(answer, exc.message) from exc


def retry_after_s(headers: httpx.Headers, *, now: datetime) -> float | None:
    """Return the seconds to wait, from either form of Retry-After; None when it is absent or unreadable."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal() and text.isascii():
        return min(float(text), MAX_RETRY_AFTER_S)
    moment = _moment_in(text)
    return None if moment is None else min(max((moment - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def read_time(central_time: CentralTime | None, answer: Answer) -> None:
    """Take the Date of an answer that is the central's own; one without a readable Date says nothing."""
    moment = _moment_in(answer.headers.get("Date", "").strip())
    if central_time is None or answer.moments_us is None or moment is None:
        return
    asked_us, answered_us = answer.moments_us
    date_us = int(moment.timestamp()) * 1_000_000
    central_time.note(date_us, span_us=DATE_SPAN_US, asked_us=asked_us, answered_us=answered_us)


def _moment_in(date: str) -> datetime | None:
    if not _HTTP_DATE.fullmatch(date):
        return None
    try:
        return datetime.strptime(date, _HTTP_DATE_FORM).replace(tzinfo=UTC)
    except ValueError:  # no such day or hour
        return None
