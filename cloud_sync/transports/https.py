"""Batches over HTTPS.

Constraints
- The certificate is verified; there is no switch for it.
- Only a well-formed answer of the central (`known_central`) about this very batch settles it; every other answer is a
  failure that names who gave it.
- The API key appears in one request header and nowhere else: not in repr, messages or logs.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Final

from cloud_sync import wire
from cloud_sync.answer_proof import Identity
from cloud_sync.errors import GatewayIdInUseError
from cloud_sync.presence import Presence
from cloud_sync.records import Batch, Settlement
from cloud_sync.transports.base import Guarantee, Route
from cloud_sync.transports.connection import DEFAULTS, ConnectionOptions
from cloud_sync.transports.http_central import failure_of, header_value, read_time, settlement_in
from cloud_sync.transports.http_exchange import Answer, HttpExchange
from cloud_sync.transports.known_central import KnownCentral
from cloud_sync.transports.tls import ClientTls
from cloud_sync.twins import HEADER

INGEST_PATH: Final = "/api/v1/data/ingest/batch"

_PROBE: Final = "probe"


class HttpsTransport:
    """One keep-alive client to one central."""

    route = Route("https")
    guarantee = Guarantee.COMMITTED
    takes_events = True
    takes_digests = True

    def __init__(
        self,
        url: str,
        *,
        gateway_id: str,
        api_key: str,
        connection: ConnectionOptions = DEFAULTS,
        presence: Presence | None = None,
        known: KnownCentral | None = None,
    ) -> None:
        self._presence = presence or Presence()
        self._url = url.rstrip("/") + INGEST_PATH
        self._known = known or KnownCentral()
        self._gateway_id = gateway_id
        self._http = HttpExchange(
            headers={"X-API-Key": header_value(api_key), "Content-Encoding": wire.CONTENT_ENCODING},
            tls=ClientTls(connection.ca_file, connection.client_certificate),
            connection=connection,
        )
        self._is_sparing = connection.use.is_sparing
        self._central_time = connection.central_time

    def __repr__(self) -> str:
        return f"HttpsTransport({self._url!r}, gateway_id={self._gateway_id!r})"

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Deliver one encoded batch. Raises as promised in `transports.base`."""
        if self._presence.is_held_back:  # a full body would most likely travel in vain
            await self.is_there()
        return self._settled(await self._post(body, batch_id), batch_id, sent_bytes=len(body))

    async def is_there(self) -> bool:
        """Return whether this central takes batches, asked with an empty one, which changes nothing.

        False is said by the form of an answer only, which others have too: whoever relies on it asks for more.
        Raises TransientSyncError when the answer says neither yes nor no, or nobody of ours gave it.
        """
        answer = await self._post(wire.encode(Batch(self._gateway_id)), _PROBE)
        if answer.status != 200 and not self._known.is_its_answer(answer):
            raise failure_of(answer, now=datetime.now(UTC), known=self._known)
        if answer.status in (404, 405) and answer.identity is Identity.NONE:
            return False
        if answer.status not in (401, 403, 413, 422):  # each of these is said by somebody who knows the path
            self._settled(answer, _PROBE)
        return True

    async def close(self) -> None:
        await self._http.aclose()

    def _settled(self, answer: Answer, batch_id: str, *, sent_bytes: int = 0) -> Settlement:
        """What an answer says of a batch, and of another box with this gateway id. Raises the failure it is."""
        if answer.status != 200:
            failure = failure_of(answer, now=datetime.now(UTC), known=self._known, sent_bytes=sent_bytes)
            if isinstance(failure, GatewayIdInUseError):
                self._presence.record_notice(failure.notice)
            raise failure
        settlement = settlement_in(answer, batch_id=batch_id, known=self._known)
        if answer.identity is not Identity.PROVEN:  # of an older central a settlement is all there is to know it by
            read_time(self._central_time, answer)
        self._presence.record_notice(settlement.notice)
        return settlement

    async def _post(self, body: bytes, batch_id: str) -> Answer:
        headers = {"Idempotency-Key": f"{self._gateway_id}:{batch_id}"}
        if not self._is_sparing:
            headers["Content-Type"] = wire.content_type(body)  # an outbox may still hold blocks of an older form
            headers["X-Request-ID"] = str(uuid.uuid4())
        if (line := self._presence.line()) is not None:
            headers[HEADER] = line
        answer = await self._http.ask("POST", self._url, body=body, headers=headers)
        self._known.note(answer)
        if answer.identity is Identity.PROVEN:
            read_time(self._central_time, answer)
        await self._known.keep()
        return answer
