"""Batches over MQTT: published to the gateway's topic, settled by the central's answer on another.

Constraints
- A PUBACK says that the broker has it, and settles nothing. Only the central's answer after COMMIT does.
- An answer belongs to the send whose batch id is its correlation data, or, where MQTT 3.1.1 is spoken at one of the
  two ends, whose bytes have the digest that it names. Any other answer, and a retained one, is ignored and counted.
- A lost connection fails every send that waits; sending again is harmless, since the keys count once.
- `sm/v1/<gateway_id>/state` says online or offline, retained; the broker says offline for us when we cannot.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from dataclasses import dataclass
from typing import Any, Final

from cloud_sync import wire
from cloud_sync.backoff import Backoff
from cloud_sync.errors import (
    BatchRefusedError,
    BatchTooLargeError,
    CredentialsError,
    GatewayIdInUseError,
    SyncError,
    TransientSyncError,
)
from cloud_sync.presence import Presence
from cloud_sync.records import Batch, Settlement
from cloud_sync.transports.answers import MAX_RETRY_AFTER_S, detail_in, document_in, in_use, settlement_of, shown
from cloud_sync.transports.base import Guarantee, Route
from cloud_sync.transports.central_time import CentralTime
from cloud_sync.transports.connection import DEFAULTS, ConnectionOptions
from cloud_sync.transports.link_meter import LinkBytes
from cloud_sync.transports.mqtt import errors
from cloud_sync.transports.mqtt.broker import Broker, batches_below
from cloud_sync.transports.mqtt.limits import Lessons
from cloud_sync.transports.mqtt.link import NO_SUBSCRIBERS, Link
from cloud_sync.transports.mqtt.message import Message, Will, name_of_content
from cloud_sync.transports.mqtt.take_over import TakeOvers
from cloud_sync.twins import IN_USE

logger = logging.getLogger(__name__)

ONLINE: Final = json.dumps({"state": "online"}).encode()
OFFLINE: Final = json.dumps({"state": "offline"}).encode()

_RECONNECT_FIRST_S: Final = 0.5
_LATEST_US: Final = 2**62  # no clock says more
_UNTOLD_DENIAL: Final = "; MQTT 3.1.1 does not tell when the ACL denies a topic"


@dataclass(slots=True)
class _Sent:
    """One batch in flight: `answer` is the central's document and the name by which it called the batch."""

    content_name: str
    answer: asyncio.Future[tuple[bytes, str]]
    taken: asyncio.Future[int] | None = None

    def fail(self, error: SyncError, *, lost: SyncError | None = None) -> None:
        """Fail with `error`, unless the broker said something of this batch: then not what `lost` the connection."""
        own = None
        if self.taken is not None and self.taken.done() and not self.taken.cancelled():
            own = self.taken.exception()
        if not self.answer.done():
            self.answer.set_exception(error if own is None or own is lost else own)


class MqttTransport:
    """One gateway's transport to the central through a broker. Connects at the first send."""

    guarantee = Guarantee.COMMITTED
    takes_events = True
    takes_digests = False

    def __init__(
        self,
        broker: Broker,
        *,
        gateway_id: str,
        max_in_flight: int = 8,
        connection: ConnectionOptions = DEFAULTS,
        reconnect_max_s: float = 60.0,
        presence: Presence | None = None,
    ) -> None:
        self._presence = presence or Presence()
        self._central_time = connection.central_time
        self._broker = broker
        self._gateway_id = gateway_id
        self._client_id = broker.options.client_id or f"sm-{gateway_id}"
        self._topics = broker.topics_of(gateway_id)
        self._max_in_flight = max_in_flight
        self._connection = connection
        self._use = connection.use
        self._answer_timeout_s = connection.answer_timeout_s
        self._backoff = Backoff(_RECONNECT_FIRST_S, reconnect_max_s, least=0.5)
        self._slots = asyncio.Semaphore(max_in_flight)
        self._connecting = asyncio.Lock()
        self._waiting: dict[str, _Sent] = {}
        self._lessons = Lessons()
        self._take_overs = TakeOvers()
        self._lost: tuple[SyncError, SyncError] | None = None
        """What the link said of its end, and what that means when those before it are counted in."""
        self._link: Link | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False
        self.unexpected_total = 0
        """Answers that nobody waited for: late ones after a lost connection, retained ones, or somebody else's."""

    def __repr__(self) -> str:
        return f"MqttTransport({self._broker.where!r}, gateway_id={self._gateway_id!r})"

    @property
    def route(self) -> Route:
        """Return the route through the broker, with the number of answers nobody waited for."""
        return Route("mqtt", unexpected_answers=self.unexpected_total)

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Deliver one encoded batch. Raises as promised in `transports.base`."""
        async with self._slots:
            link = await self._connected_link()
            if self._presence.is_held_back:  # a full body would most likely travel in vain
                await self._settled(link, wire.encode(Batch(self._gateway_id)), f"probe-{batch_id}")
            return await self._settled(link, body, batch_id)

    async def close(self) -> None:
        """Say offline and go, bounded in time. What still waits fails."""
        self._closed = True
        await self._hang_up()
        self._fail_waiting(TransientSyncError("the transport was closed"))

    async def rest(self) -> None:
        """Hang up until the next send: another route is used, and coming back by itself would cost for nothing."""
        await self._hang_up()
        self._fail_waiting(TransientSyncError("another route is used", was_in_flight=True))

    async def _hang_up(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        link, self._link = self._link, None
        if link is not None:
            # The will goes out in the same packet as the goodbye: nothing to wait for, nothing between the two.
            await link.close(with_will=True)

    async def _settled(self, link: Link, body: bytes, batch_id: str) -> Settlement:
        """Send, and hear what the answer says of the batch and of another box with this gateway id."""
        asked_us = None if self._central_time is None else self._central_time.now_us()
        answer, called = await self._exchange(link, body, batch_id)
        if self._central_time is not None and asked_us is not None:
            _read_time(self._central_time, answer, asked_us)
        try:
            settlement = answer_of(answer, batch_id=called)
        except GatewayIdInUseError as held:
            self._presence.record_notice(held.notice)
            await link.close()  # one connection with this client id at a time: it keeps out the box that has the id
            raise
        self._presence.record_notice(settlement.notice)
        return settlement

    async def _exchange(self, link: Link, body: bytes, batch_id: str) -> tuple[bytes, str]:
        content_name = name_of_content(body)
        if batch_id in self._waiting or (not self._carries_ids and self._sent_as(content_name) is not None):
            raise TransientSyncError(f"batch {batch_id} is already in flight")
        sent = _Sent(content_name, asyncio.get_running_loop().create_future())
        self._waiting[batch_id] = sent
        try:
            sent.taken = link.publish(
                self._topics.batch,
                body,
                response_topic=self._topics.answer,
                correlation=batch_id.encode(),
                content_type=None if self._use.is_sparing else wire.content_type(body),
                content_encoding=wire.CONTENT_ENCODING,
                sender=self._presence.line(),
            )
            if self._use.meter is not None:
                self._use.meter.add(LinkBytes(payload=len(body)))
            sent.taken.add_done_callback(lambda done: self._record_taken(done, sent.answer))
            async with asyncio.timeout(self._answer_timeout_s):
                return await sent.answer
        except TimeoutError as exc:
            if sent.taken is not None and not sent.taken.done():  # not even the broker spoke: of no use any more
                await link.close()
            raise self._no_answer(batch_id) from exc
        finally:
            del self._waiting[batch_id]

    @property
    def _all_batches(self) -> str:
        return batches_below(self._broker.options.topic_prefix)

    @property
    def _carries_ids(self) -> bool:
        return self._broker.options.has_properties

    def _sent_as(self, content_name: str) -> _Sent | None:
        return next((sent for sent in self._waiting.values() if sent.content_name == content_name), None)

    def _no_answer(self, batch_id: str) -> SyncError:
        told = "" if self._carries_ids else _UNTOLD_DENIAL
        return TransientSyncError(
            f"{self._broker.where}: no answer to batch {batch_id} within {self._answer_timeout_s:g} s",
            hint=f"is the central running, connected to this broker, and permitted to publish the answer?{told}",
            was_in_flight=True,
        )

    def _record_taken(self, taken: asyncio.Future[int], answer: asyncio.Future[tuple[bytes, str]]) -> None:
        """What the broker's PUBACK means for the send that waits; a good one means nothing yet."""
        error: BaseException | None = None
        if not taken.cancelled():
            error = taken.exception()
            if error is None and taken.result() == NO_SUBSCRIBERS:
                error = TransientSyncError(
                    f"{self._broker.where}: no central listens at this broker",
                    hint=f"start edge-central with --mqtt-url; its user must be permitted to read {self._all_batches}",
                )
        if error is not None and not answer.done():
            answer.set_exception(error)

    async def _connected_link(self) -> Link:
        async with self._connecting:
            if self._closed:
                raise TransientSyncError("the transport was closed")
            if self._link is None or not self._link.is_open:
                self._link = await self._open_link()
                if self._keeper is None:  # ours: `close` ends it and waits for it
                    self._keeper = asyncio.create_task(self._keep_connected(), name="mqtt reconnect")
            return self._link

    async def _open_link(self) -> Link:
        if self._lost is not None and self._take_overs.away_for_s > 0:
            raise self._lost[1]
        states = self._broker.options.state_messages
        retain = states == "retained" and self._lessons.retains
        link = Link(
            self._broker,
            client_id=self._client_id,
            on_message=lambda message: self._record_message(link, message),
            on_lost=lambda error: self._record_lost(link, error),
            will=None if states == "off" else Will(self._topics.state, OFFLINE, retain=retain),
            max_in_flight=self._max_in_flight,
            connection=self._connection,
            lessons=self._lessons,
        )
        try:
            await link.open()
            self._take_overs.record_connected()
            async with asyncio.timeout(self._connection.connect_timeout_s):
                await link.subscribe(self._topics.answer, retained=False)
                if states != "off":
                    await link.publish(self._topics.state, ONLINE, retain=retain)
        except TimeoutError as exc:
            await link.close()
            raise errors.silent_at_sign_in(self._broker) from exc
        except SyncError as exc:
            await link.close()
            if self._lost is not None and self._lost[0] is exc:
                raise self._lost[1] from exc
            self._take_overs.record_failed_sign_in()
            raise
        except asyncio.CancelledError:
            await link.close()
            raise
        self._warn_of_limits(link)
        logger.info("connected to %s", self._broker.where)
        return link

    def _warn_of_limits(self, link: Link) -> None:
        if link.limits.qos < self._broker.options.qos:
            logger.warning("%s delivers with QoS 1 at most, so QoS 2 is not used", self._broker.where)

    async def _keep_connected(self) -> None:
        """Come back also while nothing is sent, so that the state topic tells the truth."""
        failures = 0
        while True:
            link = self._link
            if link is not None and link.is_open:
                failures = 0
                await link.lost.wait()
            failures += 1
            await asyncio.sleep(self._backoff.wait_s(failures))
            if self._presence.is_held_back:
                continue  # the next send connects, and hears whether that has changed
            with contextlib.suppress(SyncError):  # the next send meets the same error and says it
                await self._connected_link()

    def _record_message(self, link: Link, message: Message) -> None:
        called, sent = self._answered(message)
        if sent is None or sent.answer.done() or message.retain or message.topic != self._topics.answer:
            self.unexpected_total += 1
        else:
            sent.answer.set_result((message.payload, called))
        link.acknowledge(message)  # also while we sign in: what nobody acknowledges fills the broker's window

    def _answered(self, message: Message) -> tuple[str, _Sent | None]:
        """What the answer calls its batch, and the batch: by correlation data, or by digest where none can travel."""
        if message.correlation is not None:
            called = message.correlation.decode(errors="replace")
            return called, self._waiting.get(called)
        if message.retain or not self._waiting:
            return "", None
        named = document_in(message.payload).get("batch_id")
        return (named, self._sent_as(named)) if isinstance(named, str) else ("", None)

    def _record_lost(self, link: Link, error: SyncError) -> None:
        if self._closed:
            return
        if link.is_leaving:
            self._fail_waiting(TransientSyncError("the connection to the broker was closed", was_in_flight=True))
            return
        said = error
        is_certain = link.lost_code == errors.TAKEN_OVER
        taken_over = self._take_overs.record_lost(is_certain=is_certain, is_unexplained=link.ended_without_a_word)
        if taken_over is not None:
            error = errors.taken_over(
                self._broker,
                self._client_id,
                times=taken_over.times,
                stays_away_s=taken_over.stays_away_s,
                is_certain=is_certain,
            )
        self._lost = (said, error)
        logger.warning("%s", error.message)
        self._fail_waiting(error, lost=said)

    def _fail_waiting(self, error: SyncError, *, lost: SyncError | None = None) -> None:
        for sent in self._waiting.values():
            sent.fail(error, lost=lost)


def _read_time(central_time: CentralTime, answer: bytes, asked_us: int) -> None:
    """Take the time from an answer to our own batch; an older central says none."""
    answered_us, time_us = central_time.now_us(), document_in(answer).get("time_us")
    if isinstance(time_us, int) and not isinstance(time_us, bool) and 0 < time_us < _LATEST_US:
        central_time.note(time_us, asked_us=asked_us, answered_us=answered_us)


def answer_of(answer: bytes, *, batch_id: str) -> Settlement:
    """Return the settlement of an answer. Raises the error that an error document names."""
    said = document_in(answer)
    if "error" in said:
        raise _failure_of(said)
    return settlement_of(answer, batch_id=batch_id, hint="something else than the central answers on the ack topic")


def _failure_of(said: dict[str, Any]) -> SyncError:
    detail = detail_in(said)
    if said["error"] == IN_USE:
        held = in_use(said, retry_after_s=_retry_after_s(said.get("retry_after_s")))
        if held is not None:
            return held
    match said["error"]:
        case "too_large":
            return BatchTooLargeError(f"the central takes only smaller batches: {detail}")
        case "refused":
            return BatchRefusedError(f"the central cannot read the batch: {detail}")
        case "credentials":
            return CredentialsError(
                f"the central refuses this gateway: {detail}",
                hint="gateway.id must be the one in the topic that the broker lets this user publish on",
            )
        case "busy":
            return TransientSyncError(
                f"the central is busy: {detail}", retry_after_s=_retry_after_s(said.get("retry_after_s"))
            )
        case other:
            return TransientSyncError(f"the central answered {shown(other)}: {detail}")


def _retry_after_s(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_RETRY_AFTER_S:
        return None
    return float(value)
