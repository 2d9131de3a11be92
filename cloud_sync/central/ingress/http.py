"""The central's HTTP face: who may send, what an answer means, how a failure is answered.

Constraints
- 200 is answered after COMMIT, never before; any other answer means that nothing was stored.
- The service starts and stays up without its database; it says 503 with Retry-After until it is back.
- Nothing of a body is read for a caller without a valid key, or for one that sends too fast.
- Whoever guesses keys costs no query; each kind of work has its share of the database, and gateways take turns in it.
- Questions that need no key are asked of the database once for all who ask at the same time.
- A body that comes too slowly is 408, and the connection is closed.
- A key sees its own gateway's data and nothing else.
- Every answer says that it is this central's (`identity`): a proxy's or a portal's is told from it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from math import ceil
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from cloud_sync import wire
from cloud_sync.answer_proof import CHALLENGE_HEADER, IDENTITY_HEADER, REQUEST_CHANGED, identity_header, is_body_of
from cloud_sync.central.database.known_keys import TooManyGuessesError
from cloud_sync.central.database.leases import HeldBackError
from cloud_sync.central.database.shares import AskedTogether, TurnedAwayError
from cloud_sync.central.database.store import Health, Store
from cloud_sync.central.errors import CentralError, DatabaseAwayError, SchemaDiffersError, SchemaTooNewError
from cloud_sync.central.ingress.answers import RETRY_AFTER_S, not_stored, settled, too_fast, turned_away
from cloud_sync.central.ingress.bodies import (
    CONTENT_TYPES,
    ENCODINGS,
    MAX_BATCH_ID_BYTES,
    BodyLimits,
    TooSlowError,
    collect,
    media_type,
    read_batch,
)
from cloud_sync.central.ingress.digest_span import MAX_HOURS, covers_values, span
from cloud_sync.central.ingress.identified_answers import IdentifyAnswers, headers_of_question
from cloud_sync.central.ingress.rate_limits import RateLimiter, RateLimits
from cloud_sync.central.ingress.request_log import RequestLog
from cloud_sync.central.metrics import CONTENT_TYPE
from cloud_sync.columns import ColumnBatch
from cloud_sync.digest import encode_digests
from cloud_sync.errors import BatchTooLargeError, WireFormatError
from cloud_sync.host.printable import MESSAGE_CHARS, printable, quoted
from cloud_sync.records import Settlement
from cloud_sync.twins import HEADER, IN_USE, sender_of

logger = logging.getLogger(__name__)

INGEST_PATH: Final = "/api/v1/data/ingest/batch"
DIGEST_PATH: Final = "/api/v1/data/digest"

GUESS_PENALTY_S: Final = 1.0
"""What a connection that guesses keys waits for its answer: 200 of them then ask 200 times a second, not 2,500."""

_PROBE_TIMEOUT_S: Final = 2.0  # a scrape must end well before Prometheus gives up (10 s)
CATALOGUE_BYTES: Final = 2_000_000
"""Texts of catalogues kept: of 200 gateways with 200 sensors each."""
_CHALLENGE: Final = {"WWW-Authenticate": "X-API-Key"}


class RefusedRequest(Exception):  # noqa: N818 (an answer, not a fault of ours)
    """An answer other than 200: its status and the words for the person at the gateway, which are never long."""

    def __init__(
        self, status: int, detail: str, *, headers: dict[str, str] | None = None, code: str | None = None
    ) -> None:
        self.detail = printable(detail, limit=MESSAGE_CHARS)
        super().__init__(self.detail)
        self.status = status
        self.headers = headers
        self.code = code


def create_app(store: Store, *, limits: BodyLimits | None = None, limiter: RateLimiter | None = None) -> FastAPI:
    """Return the service over a store that the caller has entered."""
    wire.keep_catalogues(CATALOGUE_BYTES)
    app = FastAPI(title="Smart Maintenance Edge central", lifespan=_lifespan, openapi_url=None)
    app.state.store = store
    app.state.limits = limits or BodyLimits()
    app.state.limiter = limiter or RateLimiter(RateLimits())
    app.state.asked_health = AskedTogether(store.health)
    app.state.asked_stats = AskedTogether(store.stats)
    app.state.probed = AskedTogether(store.prepare)
    app.post(INGEST_PATH)(ingest_batch)
    app.get(DIGEST_PATH)(digest)
    app.get("/health")(health)
    app.get("/metrics")(metrics)
    app.get("/api/v1/stats")(stats)
    app.add_middleware(RequestLog, metrics=store.metrics)
    app.add_middleware(IdentifyAnswers)
    app.exception_handler(RefusedRequest)(_answer_refused)
    app.exception_handler(CentralError)(_answer_away)
    app.exception_handler(TurnedAwayError)(_answer_turned_away)
    app.exception_handler(HeldBackError)(_answer_in_use)
    app.exception_handler(Exception)(_answer_failed)
    return app


async def ingest_batch(request: Request) -> JSONResponse:
    """Store one batch and answer what became of each of its rows and events."""
    store: Store = request.app.state.store
    gateway_id = await _admitted(request, store)
    idempotency_gateway, batch_id = _idempotency_key(request)
    form = _form(request)
    async with store.shares.bodies.turn(gateway_id):
        body = await _body(request, gateway_id)
        async with store.shares.ingest.turn(gateway_id):
            notice = await store.admit(gateway_id, sender_of(request.headers.get(HEADER)), _address(request))
            batch = await _batch(request, body, form, gateway_id)
            if idempotency_gateway != gateway_id:
                raise RefusedRequest(422, "the gateway in Idempotency-Key is not the one in the batch")
            settlement = await _settlement(store, batch)
    counts = {"accepted": settlement.accepted, "duplicates": settlement.duplicates, "refused": len(settlement.refused)}
    request.state.log_fields.update(batch_id=batch_id, **counts)
    return JSONResponse(settled(batch_id, settlement, notice))


async def digest(request: Request) -> Response:
    """Answer the fingerprints of this gateway's rows in [from, to), per sensor and hour."""
    store: Store = request.app.state.store
    gateway_id = await _admitted(request, store)
    if request.query_params.get("gateway_id") != gateway_id:
        raise RefusedRequest(403, "a key sees the rows of its own gateway_id only")
    try:
        start, end = span(request.query_params)
        with_values = covers_values(request.query_params)
    except ValueError as exc:
        raise RefusedRequest(422, str(exc)) from exc
    async with store.shares.digest.turn(gateway_id):
        hours = await store.digest(gateway_id, start, end, limit=MAX_HOURS + 1, with_values=with_values)
        if len(hours) > MAX_HOURS:
            raise RefusedRequest(413, f"more than {MAX_HOURS} hours of sensors; ask for a shorter span")
        # 15 MB take a second to write; other gateways are answered meanwhile.
        answer = await asyncio.to_thread(encode_digests, gateway_id, hours)
    return Response(answer, media_type="application/json")


async def metrics(request: Request) -> Response:
    """Answer what this process counted since it started, for Prometheus."""
    store: Store = request.app.state.store
    return Response(
        store.metrics.text(database_up=await _answers(request.app.state.probed), refuses_writes=_refuses_writes(store)),
        media_type=CONTENT_TYPE,
    )


def _refuses_writes(store: Store) -> bool:
    refusal = store.writing.failure
    return refusal is not None and refusal.is_fresh


async def _answers(probed: AskedTogether[None]) -> bool:
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            await probed.answer()
    except (CentralError, TimeoutError):
        return False
    return True


async def health(request: Request) -> JSONResponse:
    """Answer 200 when the database answers and took the last batch, 503 when not; the same fields in all."""
    store: Store = request.app.state.store
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    try:
        asked: AskedTogether[Health] = request.app.state.asked_health
        found = await asked.answer()
    except CentralError as exc:
        return JSONResponse(_health_fields("database_away", detail=exc.message), status_code=503, headers=headers)
    warnings = [] if found.timescaledb else ["plain PostgreSQL: sensor_readings is not a hypertable"]
    refusal = store.writing.failure
    if refusal is not None and refusal.is_fresh:
        fields = _health_fields("writes_fail", refusal.reason, found.timescaledb, found.rows, warnings)
        return JSONResponse(fields, status_code=503, headers=headers)
    if refusal is not None:
        warnings.append(f"the last batch came {refusal.age_s:.0f} s ago and was not stored: {refusal.reason}")
    return JSONResponse(_health_fields("ok", None, found.timescaledb, found.rows, warnings))


def _health_fields(
    status: str,
    detail: str | None = None,
    timescaledb: str | None = None,
    rows: int | None = None,
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    return {"status": status, "detail": detail, "timescaledb": timescaledb, "rows": rows, "warnings": list(warnings)}


async def stats(request: Request) -> JSONResponse:
    """Answer committed totals, per gateway, and events by kind."""
    asked: AskedTogether[dict[str, Any]] = request.app.state.asked_stats
    return JSONResponse(jsonable_encoder(await asked.answer()))


async def _admitted(request: Request, store: Store) -> str:
    """The gateway the key belongs to, unless it sends faster than it may."""
    gateway_id = await _authenticated(request, store)
    request.state.log_fields["gateway"] = gateway_id
    limiter: RateLimiter = request.app.state.limiter
    wait_s = limiter.admit(gateway_id, now_s=time.monotonic())
    if wait_s:
        store.metrics.limited.add(gateway_id)
        raise RefusedRequest(429, too_fast(gateway_id), headers={"Retry-After": str(wait_s)})
    return gateway_id


async def _authenticated(request: Request, store: Store) -> str:
    """The gateway the key belongs to. Whoever guesses is answered slowly."""
    api_key = request.headers.get("X-API-Key")
    address = _address(request)
    try:
        holder = await store.known_keys.holder(api_key) if api_key else None
    except TooManyGuessesError as exc:
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        raise RefusedRequest(503, "too many unknown API keys wait to be looked up", headers=headers) from exc
    if holder is None:
        if store.known_keys.is_guessing(address):
            await asyncio.sleep(GUESS_PENALTY_S)
        detail = "this API key is not known" if api_key else "the X-API-Key header is missing"
        raise RefusedRequest(401, detail, headers=_CHALLENGE)
    if holder.revoked:
        raise RefusedRequest(403, "this API key was revoked")
    return holder.gateway_id


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _idempotency_key(request: Request) -> tuple[str, str]:
    given = request.headers.get("Idempotency-Key", "")
    gateway_id, separator, batch_id = given.partition(":")
    if not (gateway_id and separator and batch_id):
        detail = "the Idempotency-Key header must be <gateway_id>:<batch_id>"
        raise RefusedRequest(422, detail, code=None if given else REQUEST_CHANGED)
    if len(batch_id) > MAX_BATCH_ID_BYTES:
        raise RefusedRequest(422, f"the batch id in Idempotency-Key has more than {MAX_BATCH_ID_BYTES} characters")
    return gateway_id, batch_id


def _form(request: Request) -> tuple[str, str]:
    """How the body is packed, and what it is called."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ENCODINGS:
        raise RefusedRequest(415, f"Content-Encoding {quoted(encoding)} is not one of {', '.join(ENCODINGS)}")
    content_type = media_type(request.headers.get("Content-Type"))
    if content_type and content_type not in CONTENT_TYPES:
        raise RefusedRequest(415, f"Content-Type {quoted(content_type)} is not one of {', '.join(CONTENT_TYPES)}")
    return encoding, content_type


async def _body(request: Request, gateway_id: str) -> bytes:
    limits: BodyLimits = request.app.state.limits
    store: Store = request.app.state.store
    try:
        body = await collect(request.stream(), declared_bytes=_content_length(request), limits=limits)
    except BatchTooLargeError as exc:
        raise RefusedRequest(413, exc.message) from exc
    except TooSlowError as exc:
        raise RefusedRequest(408, str(exc), headers={"Connection": "close"}) from exc
    except ClientDisconnect as exc:  # nobody hears the answer; the log shows what happened, and it is no fault of ours
        raise RefusedRequest(400, "the connection ended before the body did") from exc
    store.metrics.received.add(gateway_id, by=len(body))
    return body


async def _batch(request: Request, body: bytes, form: tuple[str, str], gateway_id: str) -> ColumnBatch:
    """The batch in a body, which is this gateway's own."""
    limits: BodyLimits = request.app.state.limits
    limiter: RateLimiter = request.app.state.limiter
    encoding, content_type = form
    try:
        # A large body takes tenths of a second to decode; other gateways are answered meanwhile.
        batch = await asyncio.to_thread(read_batch, body, encoding=encoding, limits=limits, content_type=content_type)
    except (BatchTooLargeError, WireFormatError) as exc:
        if not is_body_of(request.headers.get(CHALLENGE_HEADER, ""), body):
            detail = f"the body was changed or cut short on the way: {len(body)} bytes arrived ({exc.message})"
            raise RefusedRequest(400, detail, code=REQUEST_CHANGED) from exc
        raise RefusedRequest(413 if isinstance(exc, BatchTooLargeError) else 422, exc.message) from exc
    limiter.count_rows(gateway_id, len(batch), now_s=time.monotonic())
    if batch.gateway_id != gateway_id:
        raise RefusedRequest(403, f"this key does not belong to gateway {quoted(batch.gateway_id)}")
    return batch


async def _settlement(store: Store, batch: ColumnBatch) -> Settlement:
    try:
        return await store.store_batch(batch, gateway_id=batch.gateway_id)
    except BatchTooLargeError as exc:
        raise RefusedRequest(413, exc.message) from exc


def _content_length(request: Request) -> int | None:
    declared = request.headers.get("Content-Length", "")
    return int(declared) if declared.isdecimal() else None


async def _answer_refused(_: Request, refused: Exception) -> JSONResponse:
    assert isinstance(refused, RefusedRequest)  # noqa: S101 (registered for this class only)
    document = {"detail": refused.detail} | ({} if refused.code is None else {"code": refused.code})
    return JSONResponse(document, status_code=refused.status, headers=refused.headers)


async def _answer_away(_: Request, error: Exception) -> JSONResponse:
    """Nothing was stored. The words for the log stay here: they may name hosts and users."""
    assert isinstance(error, CentralError)  # noqa: S101 (registered for this class only)
    logger.warning("not stored: %s", error)
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return JSONResponse({"detail": not_stored(error)}, status_code=503, headers=headers)


async def _answer_turned_away(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TurnedAwayError)  # noqa: S101 (registered for this class only)
    detail = turned_away(request.state.log_fields["gateway"], error)
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return JSONResponse({"detail": detail}, status_code=429 if error.is_own_doing else 503, headers=headers)


async def _answer_in_use(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HeldBackError)  # noqa: S101 (registered for this class only)
    document = {"detail": str(error), "code": IN_USE, **error.fields}
    return JSONResponse(document, status_code=409, headers={"Retry-After": str(ceil(error.retry_after_s))})


async def _answer_failed(request: Request, _: Exception) -> JSONResponse:
    """A fault of this program, answered outside of every middleware; the server logs what it was."""
    answer = JSONResponse({"detail": "the central failed on this request"}, status_code=500)
    asked = headers_of_question(request.scope["headers"])
    answer.headers[IDENTITY_HEADER] = identity_header(*asked, status=500, body=bytes(answer.body))
    return answer


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Bring the tables up to date when the database is there; start all the same when it is not."""
    try:
        await app.state.store.prepare()
    except (SchemaTooNewError, SchemaDiffersError):
        raise
    except DatabaseAwayError as exc:
        logger.warning("starting without the database: %s", exc)
    yield
