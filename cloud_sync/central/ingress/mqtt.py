"""The central's MQTT face: batches from a shared subscription, answers after COMMIT.

A message without properties is a batch of MQTT 3.1.1, spoken by the gateway, by the central or between them: it is
answered on the topic that belongs to its own, and called by the digest of its bytes (`name_of_content`).

Constraints
- An answer that says committed is published after COMMIT, never before; every other answer is an error document.
- A batch may only name the gateway of its topic, and is answered only on that gateway's own answer topic: the
  broker's ACL on topics is what proves who sends.
- At most `CONCURRENCY` batches are here at a time (Receive Maximum); the broker keeps the rest, and forgets one
  only when it was answered. Instances that share the subscription share the load.
- A gateway that sends too fast is told to wait before its batch is read; over HTTP it has the same allowance, and
  the same turns: one that has too many batches here at the same time is told so, and the others are served.
- It stays up without its broker and without its database.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloud_sync.backoff import Backoff
from cloud_sync.central.database.leases import HeldBackError
from cloud_sync.central.database.shares import TurnedAwayError
from cloud_sync.central.database.store import Store
from cloud_sync.central.errors import CentralError
from cloud_sync.central.ingress.answers import RETRY_AFTER_S, not_stored, settled, too_fast, turned_away
from cloud_sync.central.ingress.bodies import (
    CONTENT_TYPES,
    ENCODINGS,
    MAX_BATCH_ID_BYTES,
    BodyLimits,
    media_type,
    read_batch,
)
from cloud_sync.central.ingress.rate_limits import RateLimiter, RateLimits
from cloud_sync.columns import ColumnBatch
from cloud_sync.errors import BatchTooLargeError, CredentialsError, SyncError, TransientSyncError, WireFormatError
from cloud_sync.host.printable import MESSAGE_CHARS, printable, quoted
from cloud_sync.records import Settlement
from cloud_sync.transports.mqtt.broker import Broker, Topics, batches_below, topics_of
from cloud_sync.transports.mqtt.connection import IN_FLIGHT_UNTOLD
from cloud_sync.transports.mqtt.limits import Lessons
from cloud_sync.transports.mqtt.link import Link
from cloud_sync.transports.mqtt.message import Message, encoding_of_content, name_of_content
from cloud_sync.twins import IN_USE, Notice, sender_of

logger = logging.getLogger(__name__)

CONCURRENCY: Final = 32
"""Messages that are here at a time: of one gateway 3 are in work and 8 wait for their turn, so others find a place."""

ADDRESS: Final = "over MQTT"
"""In place of an address, which only the broker knows."""

_ANSWER_TOO_LONG: Final[dict[str, Any]] = {
    "error": "too_large",
    "detail": "the broker does not take an answer of this length; the batch is asked for in parts",
    "retry_after_s": None,
}
_RECONNECT_FIRST_S: Final = 0.5
_RECONNECT_MAX_S: Final = 30.0
_SIGN_IN_TIMEOUT_S: Final = 5.0


class RefusedMessage(Exception):  # noqa: N818 (an answer, not a fault of ours)
    """An answer other than a settlement: the error's name and the words for the person at the gateway."""

    def __init__(
        self, error: str, detail: str, *, retry_after_s: float | None = None, fields: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.document = {
            "error": error,
            "detail": printable(detail, limit=MESSAGE_CHARS),
            "retry_after_s": retry_after_s,
            **(fields or {}),
        }


@dataclass(slots=True)
class _Delivery:
    message: Message
    inbox: _Inbox
    finished: bool = False


class _Inbox:
    """One connection's messages. MQTT wants them acknowledged in the order in which they came."""

    def __init__(self) -> None:
        self.link: Link | None = None
        self._open: deque[_Delivery] = deque()

    @property
    def is_lost(self) -> bool:
        return self.link is None or self.link.lost.is_set()

    def take(self, message: Message) -> _Delivery:
        delivery = _Delivery(message, self)
        self._open.append(delivery)
        return delivery

    def finish(self, delivery: _Delivery) -> None:
        delivery.finished = True
        while self._open and self._open[0].finished:
            message = self._open.popleft().message
            if self.link is not None:
                self.link.acknowledge(message)


class MqttConsumer:
    """`run` until cancelled. `answered_total` counts by kind of answer; `unanswerable_total` had nowhere to go."""

    def __init__(
        self,
        broker: Broker,
        store: Store,
        *,
        limits: BodyLimits | None = None,
        limiter: RateLimiter | None = None,
    ) -> None:
        self._backoff = Backoff(_RECONNECT_FIRST_S, _RECONNECT_MAX_S, least=0.5)
        self._broker = broker
        batches = batches_below(broker.options.topic_prefix)
        share = broker.options.share
        self._subscription = batches if share is None else f"$share/{share}/{batches}"
        self._lessons = Lessons()
        self._store = store
        self._limits = limits or BodyLimits()
        self._limiter = limiter or RateLimiter(RateLimits())
        size = CONCURRENCY if broker.options.has_properties else max(CONCURRENCY, IN_FLIGHT_UNTOLD)
        self._work: asyncio.Queue[_Delivery] = asyncio.Queue(maxsize=size)
        self.listening = asyncio.Event()
        self.answered_total: dict[str, int] = {}
        self.unanswerable_total = 0

    async def run(self) -> None:
        """Serve, and come back to the broker for as long as it takes."""
        async with asyncio.TaskGroup() as group:
            for number in range(CONCURRENCY):
                group.create_task(self._answer_forever(), name=f"mqtt worker {number}")
            await self._stay_connected()

    async def _stay_connected(self) -> None:
        failures = 0
        while True:
            try:
                link = await self._connect()
            except SyncError as exc:
                if failures == 0:
                    hint = f" ({exc.hint})" if exc.hint else ""
                    logger.warning("no batches over MQTT for now: %s%s", exc.message, hint)
                failures += 1
                is_refused = isinstance(exc, CredentialsError)
                await asyncio.sleep(self._backoff.long_wait_s() if is_refused else self._backoff.wait_s(failures))
                continue
            failures = 0
            self.listening.set()
            logger.info("taking batches from %s", self._broker.where)
            try:
                await link.lost.wait()
            finally:
                self.listening.clear()
                await link.close()

    async def _connect(self) -> Link:
        inbox = _Inbox()
        link = Link(
            self._broker,
            client_id=self._broker.options.client_id or f"central-{secrets.token_hex(8)}",
            on_message=lambda message: self._take_message(inbox, message),
            on_lost=lambda error: logger.warning("%s", error.message),
            max_in_flight=CONCURRENCY,
            lessons=self._lessons,
        )
        inbox.link = link
        try:
            await link.open()
            async with asyncio.timeout(_SIGN_IN_TIMEOUT_S):
                await link.subscribe(self._subscription, retained=False)
        except TimeoutError as exc:
            await link.close()
            raise TransientSyncError(f"{self._broker.where}: the broker fell silent while we signed in") from exc
        except (SyncError, asyncio.CancelledError):
            await link.close()
            raise
        return link

    def _take_message(self, inbox: _Inbox, message: Message) -> None:
        delivery = inbox.take(message)
        # Nobody waits for an answer to what was left on a batch topic; who finds the queue full sends again.
        if message.retain or self._work.full():
            inbox.finish(delivery)
        else:
            self._work.put_nowait(delivery)

    async def _answer_forever(self) -> None:
        while True:
            delivery = await self._work.get()
            if not delivery.inbox.is_lost:  # else the sender, who gets no answer, sends again
                await self._answer(delivery)
            delivery.inbox.finish(delivery)

    async def _answer(self, delivery: _Delivery) -> None:
        message = delivery.message
        topics = _topics_of(message, self._broker.options.topic_prefix)
        if topics is None:
            self.unanswerable_total += 1
            logger.warning("a message on %s names no answer topic of its own gateway; not stored", message.topic)
            return
        try:
            document = await self._store_message(message, topics.gateway_id)
        except RefusedMessage as refused:
            document = _named(message) | refused.document
            logger.info("%s: %s: %s", message.topic, document["error"], document["detail"])
        kind = str(document.get("error", "settled"))
        self.answered_total[kind] = self.answered_total.get(kind, 0) + 1
        await self._publish(delivery, topics.answer, document)

    async def _publish(self, delivery: _Delivery, topic: str, document: dict[str, Any]) -> None:
        """The answer, on the connection the question came by. When that is gone, the sender asks again.

        An answer that the broker does not take for its size is one to ask for in parts.
        """
        link = delivery.inbox.link
        assert link is not None  # noqa: S101 (set before the first message)
        for answer in (document, _named(delivery.message) | _ANSWER_TOO_LONG):
            try:
                await link.publish(
                    topic,
                    json.dumps(answer | {"time_us": time.time_ns() // 1000}).encode(),
                    correlation=delivery.message.correlation,
                    content_type="application/json",
                )
            except BatchTooLargeError as exc:
                logger.warning("an answer on %s is too long for the broker: %s", topic, exc.message)
            except SyncError as exc:
                logger.warning("an answer on %s was not delivered: %s", topic, exc.message)
                return
            else:
                return

    async def _store_message(self, message: Message, gateway_id: str) -> dict[str, Any]:
        self._admit(gateway_id)
        batch_id = _batch_id(message)
        try:
            async with self._store.shares.ingest.turn(gateway_id):
                notice = await self._lease(message, gateway_id)
                return settled(batch_id, await self._settlement(message, gateway_id), notice)
        except TurnedAwayError as exc:
            raise RefusedMessage("busy", turned_away(gateway_id, exc), retry_after_s=RETRY_AFTER_S) from exc

    async def _lease(self, message: Message, gateway_id: str) -> Notice | None:
        try:
            return await self._store.admit(gateway_id, sender_of(message.sender), ADDRESS)
        except HeldBackError as exc:
            raise RefusedMessage(IN_USE, str(exc), retry_after_s=exc.retry_after_s, fields=exc.fields) from exc
        except CentralError as exc:
            raise self._away(exc) from exc

    async def _settlement(self, message: Message, gateway_id: str) -> Settlement:
        batch = await self._read(message, gateway_id)
        self._limiter.count_rows(gateway_id, len(batch), now_s=time.monotonic())
        if batch.gateway_id != gateway_id:
            raise RefusedMessage(
                "credentials", f"the batch of gateway {quoted(batch.gateway_id)} came on {message.topic}"
            )
        try:
            return await self._store.store_batch(batch, gateway_id=gateway_id)
        except BatchTooLargeError as exc:
            raise RefusedMessage("too_large", exc.message) from exc
        except CentralError as exc:
            raise self._away(exc) from exc

    def _away(self, exc: CentralError) -> RefusedMessage:
        logger.warning("not stored: %s", exc.message)  # its words stay here: they may name hosts and users
        return RefusedMessage("busy", not_stored(exc), retry_after_s=RETRY_AFTER_S)

    def _admit(self, gateway_id: str) -> None:
        wait_s = self._limiter.admit(gateway_id, now_s=time.monotonic())
        if wait_s:
            self._store.metrics.limited.add(gateway_id)
            raise RefusedMessage("busy", too_fast(gateway_id), retry_after_s=wait_s)

    async def _read(self, message: Message, gateway_id: str) -> ColumnBatch:
        named = encoding_of_content(message.payload) if message.has_no_properties else message.content_encoding
        encoding = (named or "identity").strip().lower()
        if encoding not in ENCODINGS:
            raise RefusedMessage("refused", f"content-encoding {quoted(encoding)} is not one of {', '.join(ENCODINGS)}")
        content_type = media_type(message.content_type)
        if content_type and content_type not in CONTENT_TYPES:
            raise RefusedMessage(
                "refused", f"content-type {quoted(content_type)} is not one of {', '.join(CONTENT_TYPES)}"
            )
        if len(message.payload) > self._limits.body_bytes:
            detail = f"the body has {len(message.payload)} bytes; the limit is {self._limits.body_bytes}"
            raise RefusedMessage("too_large", detail)
        self._store.metrics.received.add(gateway_id, by=len(message.payload))
        try:
            # A large body takes tenths of a second to decode; other gateways are answered meanwhile.
            return await asyncio.to_thread(
                read_batch, message.payload, encoding=encoding, limits=self._limits, content_type=content_type
            )
        except BatchTooLargeError as exc:
            raise RefusedMessage("too_large", exc.message) from exc
        except WireFormatError as exc:
            raise RefusedMessage("refused", exc.message) from exc


@contextlib.asynccontextmanager
async def consuming(broker: Broker | None, store: Store, limiter: RateLimiter | None = None) -> AsyncIterator[None]:
    """Run a consumer beside what is done inside, when there is a broker. Batches in work at the end are sent again."""
    consumers = [] if broker is None else [MqttConsumer(broker, store, limiter=limiter)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(consumer.run(), name="mqtt consumer") for consumer in consumers]
        yield
        for task in tasks:
            task.cancel()


def _topics_of(message: Message, prefix: str) -> Topics | None:
    """The sender's topics, when the answer is wanted on its own one; else a gateway could forge another's."""
    topics = topics_of(message.topic, prefix)
    if topics is None or message.has_no_properties:
        return topics
    return topics if message.response_topic == topics.answer else None


def _named(message: Message) -> dict[str, str]:
    """How an answer without correlation data says which batch it is about."""
    return {"batch_id": name_of_content(message.payload)} if message.has_no_properties else {}


def _batch_id(message: Message) -> str:
    if message.has_no_properties:
        return name_of_content(message.payload)
    correlation = message.correlation or b""
    try:
        batch_id = correlation.decode()
    except UnicodeDecodeError as exc:
        raise RefusedMessage("refused", "the correlation data is not a batch id in UTF-8") from exc
    if not 0 < len(correlation) <= MAX_BATCH_ID_BYTES:
        raise RefusedMessage("refused", f"the correlation data is not a batch id of 1 to {MAX_BATCH_ID_BYTES} bytes")
    return batch_id
