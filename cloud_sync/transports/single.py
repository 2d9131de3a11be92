"""One reading per request, for the platform's present central. What an answer guarantees: docs/PLATFORM.md.

Constraints
- 200 means that the platform has published the reading to its event bus, not that it is stored.
- Readings of one sensor go out in order, the next one after the answer to the one before; sensors go side by side,
  batches one after the other.
- One pause for the whole link: after a 429 nothing new is begun, and a batch that waited meanwhile hears of it unsent.
- What was answered is remembered until its batch is settled, so that the next try, also of a batch that is cut
  differently, sends only the rest.
- The platform takes an Idempotency-Key before it publishes. After its own 500 that key would answer
  "duplicate_ignored" for a reading that nobody has: the next try carries another one.
- The platform has no place for events, and they are never sent as readings. Where single readings were chosen by hand
  they are refused by name and kept as dead letters (`send`); where they were found they wait (`send_readings`).
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

from cloud_sync import wire
from cloud_sync.errors import (
    BatchRefusedError,
    BatchTooLargeError,
    CredentialsError,
    NoPlaceError,
    SyncError,
    TransientSyncError,
    WireFormatError,
)
from cloud_sync.records import NO_EVENTS, Batch, Refusal, Row, Settlement
from cloud_sync.row_rules import judge, timestamp
from cloud_sync.transports.answers import KEY_HINT, detail_in, document_in, shown
from cloud_sync.transports.base import Guarantee, Route
from cloud_sync.transports.connection import DEFAULTS, ConnectionOptions
from cloud_sync.transports.http_central import failure_of, header_value, read_time
from cloud_sync.transports.http_exchange import Answer, HttpExchange
from cloud_sync.transports.known_central import KnownCentral
from cloud_sync.transports.speaker import no_central, speaker_of, unbelieved
from cloud_sync.transports.tls import ClientTls

INGEST_PATH: Final = "/api/v1/data/ingest"

IN_FLIGHT: Final = 20
"""Enough to hide 20 ms of travel and work behind 1,000 readings a second; a small central is not flooded."""

MAX_NOTES: Final = 20_000
"""Some megabytes; a reading forgotten is asked about again, and is a duplicate within the platform's ten minutes."""

_MAX_ANSWER_BYTES: Final = 100_000
"""About one reading. So many may be in flight at a time, and each costs many times its bytes to read."""

_NO_EVENTS_DETAIL: Final = "this central takes readings only; the event is kept here for one that takes batches"

_CORRELATION: Final = uuid.UUID("9d3c8f0e-6f0b-5d55-9c0a-5d2f3a1b7e64")  # a name space of our own, drawn once
_NOT_THE_SERVICE: Final = "is central.url the platform's API itself? A login page or a proxy may answer in its place"

_Key = tuple[str, int]
_Failure = TransientSyncError | CredentialsError


class _Word(StrEnum):
    """What the platform says about one reading."""

    ACCEPTED = "event_published"
    DUPLICATE = "duplicate_ignored"
    REFUSED = "refused"  # ours, for 413 and 422


class _TooFastError(TransientSyncError):
    """429: the whole link is to slow down, not this reading's sensor."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    word: _Word
    code: str = ""
    detail: str = ""


class _Notes:
    """What was answered about readings whose batch is not settled yet; of too many the oldest are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._answered: dict[_Key, tuple[Row, _Verdict]] = {}
        self._spent: dict[_Key, int] = {}

    def verdict(self, row: Row) -> _Verdict | None:
        noted = self._answered.get(row.key)
        return noted[1] if noted is not None and noted[0] == row else None

    def note(self, row: Row, verdict: _Verdict) -> None:
        self._answered[row.key] = (row, verdict)
        self._spent.pop(row.key, None)
        if len(self._answered) > self._most:
            del self._answered[next(iter(self._answered))]

    def spent(self, row: Row) -> int:
        """Return how many keys of this reading the platform took and then failed."""
        return self._spent.get(row.key, 0)

    def record_spent(self, row: Row) -> None:
        self._spent[row.key] = self.spent(row) + 1
        if len(self._spent) > self._most:
            del self._spent[next(iter(self._spent))]

    def forget(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._answered.pop(row.key, None)


class SingleReadingTransport:
    """`in_flight` keep-alive connections to one platform, one request at a time on each."""

    route = Route("single")
    guarantee = Guarantee.ACCEPTED
    takes_events = False
    takes_digests = False

    def __init__(
        self,
        url: str,
        *,
        gateway_id: str,
        api_key: str,
        connection: ConnectionOptions = DEFAULTS,
        in_flight: int = IN_FLIGHT,
        max_notes: int = MAX_NOTES,
        known: KnownCentral | None = None,
    ) -> None:
        if in_flight < 1:
            raise ValueError(f"in_flight is {in_flight}; it must be at least 1")
        self._url = url.rstrip("/") + INGEST_PATH
        self._gateway_id = gateway_id
        self._known = known or KnownCentral()
        self._central_time = connection.central_time
        self._notes = _Notes(max_notes)
        self._one_batch = asyncio.Lock()
        self._limits_heard = 0
        self._is_closed = False
        headers = {"X-API-Key": header_value(api_key), "Content-Type": "application/json"}
        tls = ClientTls(connection.ca_file, connection.client_certificate)
        # One connection each: the library's pool looks through all of its connections at every request, which
        # at 20 in flight took three times the time of the request itself (1.9 ms against 0.6 ms, x86-64).
        self._clients = tuple(
            HttpExchange(headers=headers, tls=tls, connection=connection, max_connections=1) for _ in range(in_flight)
        )

    def __repr__(self) -> str:
        return f"SingleReadingTransport({self._url!r}, gateway_id={self._gateway_id!r})"

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Post the readings of one encoded batch; events are refused. Raises as promised in `transports.base`."""
        return await self._send(await self._decoded(body))

    async def send_readings(self, body: bytes, *, batch_id: str) -> Settlement:
        """Post one encoded batch of readings. Raises NoPlaceError for one with events, of which nothing is sent."""
        batch = await self._decoded(body)
        if batch.events:
            raise NoPlaceError(f"batch {batch_id}: {_NO_EVENTS_DETAIL}")
        return await self._send(batch)

    async def _decoded(self, body: bytes) -> Batch:
        self._check_open()
        try:
            return await asyncio.to_thread(wire.decode, body)
        except WireFormatError as exc:
            raise BatchRefusedError(exc.message) from exc

    async def _send(self, batch: Batch) -> Settlement:
        heard = self._limits_heard
        async with self._one_batch:
            if heard != self._limits_heard:
                raise TransientSyncError("the central asked to slow down, and this batch waits as well")
            return await self._deliver(batch)

    async def check_there(self) -> None:
        """Return when the platform of single readings answers, asked with a reading that has no fields: it says which
        one it misses, and does nothing.

        Raises CredentialsError when it refuses the key, TransientSyncError when this is somebody else.
        """
        self._check_open()
        answer = await self._clients[0].ask("POST", self._url, body=b"{}", max_bytes=_MAX_ANSWER_BYTES)
        if self._known.is_its_answer(answer):
            if answer.status == 422 and "sensor_id" in detail_in(document_in(answer.body)):
                read_time(self._central_time, answer)
                return
            if answer.status in (401, 403, 429) or answer.status >= 500:
                raise failure_of(answer, now=datetime.now(UTC), known=self._known)
        raise TransientSyncError(
            f"{speaker_of(answer)} takes neither batches nor single readings: it answered {answer.status} to both paths"
            if answer.status in (404, 405)
            else f"{speaker_of(answer)} takes no batches, and answered {answer.status} to a single reading",
            hint=_NOT_THE_SERVICE,
            is_centrals=False,
        )

    async def close(self) -> None:
        self._is_closed = True
        for client in self._clients:
            await client.aclose()

    def _check_open(self) -> None:
        if self._is_closed:
            raise TransientSyncError("the transport was closed")

    async def _deliver(self, batch: Batch) -> Settlement:
        # The platform would publish, and then lose, what no database of readings can hold.
        judgement = judge(Batch(batch.gateway_id, batch.rows), now=datetime.now(UTC))
        rows = [row for _, row in judgement.rows]
        if not rows and self._central_time is not None and self._central_time.clock is None:
            await self.check_there()  # events go nowhere, and what time it is can be asked all the same
        verdicts = {row.key: said for row in rows if (said := self._notes.verdict(row)) is not None}
        await self._post_all((row for row in rows if row.key not in verdicts), verdicts)
        self._notes.forget(rows)
        refused = [
            *judgement.refused,
            *_refusals((index, verdicts[row.key]) for index, row in judgement.rows),
            *(Refusal(len(batch.rows) + n, NO_EVENTS, _NO_EVENTS_DETAIL) for n in range(len(batch.events))),
        ]
        words = [said.word for said in verdicts.values()]
        return Settlement(
            accepted=words.count(_Word.ACCEPTED),
            duplicates=words.count(_Word.DUPLICATE) + judgement.duplicates,
            refused=tuple(sorted(refused, key=lambda refusal: refusal.index)),
        )

    async def _post_all(self, rows: Iterable[Row], verdicts: dict[_Key, _Verdict]) -> None:
        """Post every row and keep each answer. After a failure nothing new is begun; what is in flight is awaited."""
        queues, answered = _queues_of(rows), len(verdicts)
        failures: list[_Failure] = []
        async with asyncio.TaskGroup() as group:
            for client in self._clients[: len(queues)]:
                group.create_task(self._work(client, queues, verdicts, failures))
        if failures:
            failure = _telling(failures)
            self._limits_heard += isinstance(failure, _TooFastError)
            if not isinstance(failure, TransientSyncError):
                raise failure
            raise TransientSyncError(
                failure.message,
                hint=failure.hint,
                retry_after_s=failure.retry_after_s,
                made_progress=len(verdicts) > answered,
                is_centrals=failure.is_centrals,
            ) from failure

    async def _work(
        self,
        client: HttpExchange,
        queues: deque[deque[Row]],
        verdicts: dict[_Key, _Verdict],
        failures: list[_Failure],
    ) -> None:
        """Take the queue that waited longest, post its next row, put it back at the end."""
        while queues and not failures:
            queue = queues.popleft()
            row = queue[0]
            try:
                verdicts[row.key] = await self._post(client, row)
            except (TransientSyncError, CredentialsError) as exc:
                failures.append(exc)
                return
            self._notes.note(row, verdicts[row.key])
            queue.popleft()
            if queue:
                queues.append(queue)

    async def _post(self, client: HttpExchange, row: Row) -> _Verdict:
        self._check_open()
        spent = self._notes.spent(row)
        key = idempotency_key(self._gateway_id, row)
        headers = {
            "Idempotency-Key": f"{key}:{spent + 1}" if spent else key,
            "X-Request-ID": str(uuid.uuid4()),
        }
        content = json.dumps(fields(row, correlation_id=str(uuid.uuid5(_CORRELATION, key)))).encode()
        answer = await client.ask("POST", self._url, body=content, headers=headers, max_bytes=_MAX_ANSWER_BYTES)
        if answer.status == 500:
            self._notes.record_spent(row)
        verdict = _verdict(answer, sensor_id=row.series.sensor_id, known=self._known)
        if answer.status == 200:
            read_time(self._central_time, answer)
        return verdict


def idempotency_key(gateway_id: str, row: Row) -> str:
    """Return the same key for the same reading, whatever its batch; plain ASCII, since it travels in a header."""
    return f"{quote(gateway_id, safe='')}:{quote(row.series.sensor_id, safe='')}:{row.time_us}"


def fields(row: Row, *, correlation_id: str) -> dict[str, Any]:
    """Return a reading by the platform's names. `timestamp` is ISO 8601 in UTC, exact to the microsecond."""
    return {
        "sensor_id": row.series.sensor_id,
        "value": row.value,
        "timestamp": timestamp(row.time_us).isoformat(timespec="microseconds"),
        "sensor_type": row.series.sensor_type,
        "unit": row.series.unit,
        "quality": row.quality,
        "correlation_id": correlation_id,
        "metadata": dict(row.series.metadata),
    }


def _queues_of(rows: Iterable[Row]) -> deque[deque[Row]]:
    """The rows of each sensor in their order."""
    queues: dict[str, deque[Row]] = {}
    for row in rows:
        queues.setdefault(row.series.sensor_id, deque()).append(row)
    return deque(queues.values())


def _verdict(answer: Answer, *, sensor_id: str, known: KnownCentral) -> _Verdict:
    """What an answer says about this reading. Raises the failure it is when it says nothing about it."""
    status = answer.status
    if not known.is_its_answer(answer):
        raise _nobodys(answer)
    if status == 200:
        return _published(answer, sensor_id)
    reason = detail_in(document_in(answer.body))
    if status == 413:
        return _Verdict(_Word.REFUSED, "too_large", "the central takes only smaller readings")
    if status == 422:
        return _Verdict(_Word.REFUSED, "refused", reason)
    if status in (401, 403):
        raise CredentialsError(f"the central does not accept this API key: {reason}", hint=KEY_HINT)
    failure = failure_of(answer, now=datetime.now(UTC), known=known)
    if status == 429 and isinstance(failure, TransientSyncError):
        raise _TooFastError(failure.message, hint=failure.hint, retry_after_s=failure.retry_after_s)
    raise failure


def _refusals(verdicts: Iterable[tuple[int, _Verdict]]) -> list[Refusal]:
    return [Refusal(index, said.code, said.detail) for index, said in verdicts if said.word is _Word.REFUSED]


def _nobodys(answer: Answer) -> SyncError:
    """A single reading cannot be cut: whatever somebody in between says to it, it waits."""
    failure = unbelieved(answer) if answer.status == 200 else no_central(answer)
    return failure.of_one_record() if isinstance(failure, BatchTooLargeError) else failure


def _published(answer: Answer, sensor_id: str) -> _Verdict:
    said = document_in(answer.body)
    if said.get("sensor_id") != sensor_id:
        reason = f"it is about sensor {shown(said.get('sensor_id'))}"
    elif (word := said.get("status")) in (_Word.ACCEPTED, _Word.DUPLICATE):
        return _Verdict(_Word(word))
    else:
        reason = f"its status is {shown(word)}"
    raise TransientSyncError(
        f"{speaker_of(answer)} says nothing about the reading of {sensor_id}: {reason}",
        hint=_NOT_THE_SERVICE,
        is_centrals=False,
    )


def _telling(failures: list[_Failure]) -> _Failure:
    """Of several failures at once: a refused key before all, then whoever asks for the longest wait."""
    for failure in failures:
        if isinstance(failure, CredentialsError):
            return failure
    waits = [failure for failure in failures if isinstance(failure, TransientSyncError)]
    return max(waits, key=lambda failure: failure.retry_after_s or 0.0)
