"""One connection to an MQTT broker, as asyncio sees it.

Constraints
- A link is used once: when the connection is lost, everything that waits on it fails, and a new link is made.
  So nothing is sent again behind the caller's back.
- The broker keeps no session for us (expiry 0): what must survive is in the outbox, not in the broker.
- At most `max_in_flight` publishes wait for the broker, or fewer if it takes fewer; and as many messages of it wait for
  us: a broker that sends more than we allow is parted from, and what it sends at QoS 0 beyond that is dropped.
- What the broker refuses although it announced nothing of the kind, `lessons` keeps for the next link.
- The password is in no repr, message or log.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cloud_sync.errors import BatchTooLargeError, SyncError, TransientSyncError
from cloud_sync.transports.connection import DEFAULTS, ConnectionOptions
from cloud_sync.transports.mqtt import errors
from cloud_sync.transports.mqtt.broker import Broker
from cloud_sync.transports.mqtt.connection import ENCODING, Connection
from cloud_sync.transports.mqtt.limits import FLOOR_BYTES, Announced, Lessons, Limits
from cloud_sync.transports.mqtt.message import Message, Will
from cloud_sync.twins import PROPERTY

CLOSE_TIMEOUT_S: Final = 2.0
NO_SUBSCRIBERS: Final = 0x10
"""A PUBACK that is no failure and yet says that nobody has the message."""

_FIXED_BYTES: Final = 64
"""Of one publish beside its texts: header, lengths, and the names of its properties."""


@dataclass(slots=True)
class _Published:
    topic: str
    size: int
    acknowledged: asyncio.Future[int]


class Link:
    """`open`, use, `close`. `on_message` and `on_lost` are called in the event loop."""

    def __init__(
        self,
        broker: Broker,
        *,
        client_id: str,
        on_message: Callable[[Message], None],
        on_lost: Callable[[SyncError], None],
        will: Will | None = None,
        max_in_flight: int = 8,
        connection: ConnectionOptions = DEFAULTS,
        lessons: Lessons | None = None,
    ) -> None:
        self._broker = broker
        self._client_id = client_id
        self._on_message = on_message
        self._on_lost = on_lost
        self._will = will
        self._max_in_flight = max_in_flight
        self._options = connection
        self._lessons = lessons or Lessons()
        self._connection: Connection | None = None
        self._opening: asyncio.Future[None] | None = None
        self._reached: asyncio.Future[None] | None = None
        self._publishing: dict[int, _Published] = {}
        self._subscribing: dict[int, tuple[str, asyncio.Future[None]]] = {}
        self._aliases: dict[str, int] = {}
        self._unacknowledged = 0
        self._failure: SyncError | None = None
        self.limits = Limits()
        self.lost_code: int | None = None
        """The broker's own reason for the end, when it gave one."""
        self.ended_without_a_word = False
        """The other side closed the connection in good order, and gave no reason."""
        self.is_leaving = False
        """Closed from here, so that its end is no loss."""
        self.lost = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self._opening is not None and self._opening.done() and not self.lost.is_set()

    @property
    def dropped_total(self) -> int:
        """Return how many messages came at QoS 0 faster than they were taken, and were dropped."""
        return 0 if self._connection is None else self._connection.dropped_total

    @property
    def unanswered_pings(self) -> int:
        """Return how many pings the broker has left unanswered in a row, although bytes came."""
        return 0 if self._connection is None else self._connection.client.unanswered_pings

    async def open(self) -> None:
        """Connect and be let in. Raises TransientSyncError or CredentialsError."""
        loop = asyncio.get_running_loop()
        self._opening, self._reached = loop.create_future(), loop.create_future()
        self._connection = await asyncio.to_thread(self._new_connection, loop)
        try:
            self._connection.start()
            async with asyncio.timeout(self._options.open_within_s):
                await asyncio.wait({self._reached, self._opening}, return_when=asyncio.FIRST_COMPLETED)
            async with asyncio.timeout(self._options.connect_timeout_s):
                await asyncio.shield(self._opening)
        except TimeoutError as exc:
            raise TransientSyncError(
                f"{self._broker.where}: the broker did not answer within {self._options.connect_timeout_s:g} s"
            ) from exc
        finally:
            if not self._opening.done() or self._opening.exception() is not None:
                self._let_go()

    async def subscribe(self, topic: str, *, retained: bool = True) -> None:
        """Subscribe, and return once the broker has granted it. Raises CredentialsError when it does not.

        `retained` asks for what was published before, too; MQTT 3.1.1 sends it in any case.
        """
        mid = self._connected().subscribe(topic, retained=retained)
        if mid is None:
            await self.lost.wait()  # paho's thread has noticed, and tells us
            raise self._unusable()
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._subscribing[mid] = (topic, granted)
        await granted

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        response_topic: str | None = None,
        correlation: bytes | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        sender: str | None = None,
    ) -> asyncio.Future[int]:
        """Hand one message to the broker. The future is the reason code of its acknowledgement, or our error.

        Under MQTT 3.1.1 only topic and payload travel, and the code is 0.
        """
        connection = self._connected()
        users = [(name, text) for name, text in ((ENCODING, content_encoding), (PROPERTY, sender)) if text is not None]
        texts = (topic, response_topic, content_type, *(part for user in users for part in user))
        size = len(payload) + sum(len((text or "").encode()) for text in texts) + len(correlation or b"") + _FIXED_BYTES
        if self.limits.packet_bytes is not None and size > self.limits.packet_bytes:
            raise BatchTooLargeError(
                f"{self._broker.where} takes packets of up to {self.limits.packet_bytes} bytes, not of {size}"
            )
        alias = self._alias_of(topic)
        mid = connection.publish(
            "" if topic in self._aliases else topic,
            payload,
            qos=self.limits.qos,
            retain=retain and self.limits.retains,
            alias=alias,
            properties={
                "ResponseTopic": response_topic,
                "CorrelationData": correlation,
                "ContentType": content_type,
                "UserProperty": users or None,
            },
        )
        if mid is None:
            raise TransientSyncError(f"{self._broker.where}: the broker is behind with its acknowledgements")
        if alias is not None:
            self._aliases[topic] = alias
        acknowledged: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._publishing[mid] = _Published(topic, size, acknowledged)
        return acknowledged

    def acknowledge(self, message: Message) -> None:
        """Let the broker forget a message and send the next one. On a lost link there is nothing to do."""
        if message.qos > 0 and self._connection is not None:
            self._unacknowledged -= 1
            self._connection.acknowledge(message)

    async def close(self, *, with_will: bool = False) -> None:
        """Say goodbye, bounded in time. `with_will`: what the will says is published all the same."""
        if self._connection is None:
            return
        self.is_leaving = True
        if self.is_open:
            with contextlib.suppress(TimeoutError, SyncError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    if with_will and self._will is not None and not self._broker.options.has_properties:
                        await self.publish(self._will.topic, self._will.payload, retain=self._will.retain)
                    self._connection.send_disconnect(with_will=with_will)
                    await self.lost.wait()
        self._lose(TransientSyncError("the connection to the broker was closed"))

    def reached(self) -> None:
        """Take in that TCP, proxy and TLS are there; now it is for the broker to answer."""
        if self._reached is not None and not self._reached.done():
            self._reached.set_result(None)

    def connected(self, code: int, announced: Announced) -> None:
        """Take the broker's answer to our sign-in."""
        if code >= errors.FAILURE:
            self._learn(code)
            self._lose(errors.refused_connection(self._broker, code))
        elif announced.nonsense is not None:
            self._lose(errors.nonsense(self._broker, *announced.nonsense))
        elif self._opening is not None and not self._opening.done():
            self.limits = self._lessons.limits(self._broker.options, announced, max_in_flight=self._max_in_flight)
            if self._connection is not None:
                self._connection.client.limit_in_flight(self.limits.in_flight)
            self._opening.set_result(None)

    def not_connected(self, cause: BaseException | None) -> None:
        """Take in that no connection came about."""
        self._lose(errors.unreachable(self._broker, cause))

    def disconnected(self, code: int | None, said: str) -> None:
        """Take in that the connection is gone."""
        if self.lost.is_set():
            return
        self.lost_code, self.ended_without_a_word = code, code is None and not said
        self._learn(code)
        before_answer = self._opening is not None and not self._opening.done()
        error = errors.disconnected(self._broker, code, said, before_answer=before_answer)
        largest = max((each.size for each in self._publishing.values()), default=0)
        too_large = self._too_large(code, largest)
        if too_large is not None:
            self._fail_publishing(too_large, from_size=largest)
        self._lose(error)

    def ended(self, said: str) -> None:
        """Take in that paho's thread is over; when nothing was heard before of why, that is all there is to say."""
        self._lose(errors.disconnected(self._broker, None, said, before_answer=False))

    def received(self, message: Message) -> None:
        """Hand over what the broker delivered, unless that is more than we take."""
        if self.lost.is_set() or self._connection is None:
            return
        self._unacknowledged += message.qos > 0
        if self._unacknowledged > self._connection.takes:
            self._lose(errors.disconnected(self._broker, None, errors.MALFORMED, before_answer=False))
        else:
            self._on_message(message)

    def published(self, mid: int, code: int) -> None:
        """Take the broker's acknowledgement of a publish, good or bad."""
        sent = self._publishing.pop(mid, None)
        if sent is None or sent.acknowledged.done():
            return
        if code == errors.TOO_LARGE:
            may_be_cut = self._lessons.packet_refused(sent.size)
            sent.acknowledged.set_exception(errors.refused_size(self._broker, sent.size, may_be_cut=may_be_cut))
        elif code >= errors.FAILURE:
            self._learn(code)
            sent.acknowledged.set_exception(errors.refused_publish(self._broker, code, sent.topic))
        else:
            self._lessons.packet_taken(sent.size)
            sent.acknowledged.set_result(code)

    def subscribed(self, mid: int, code: int) -> None:
        """Take the broker's answer to a subscription."""
        topic, granted = self._subscribing.pop(mid, ("", None))
        if granted is None or granted.done():
            return
        if code >= errors.FAILURE:
            granted.set_exception(errors.refused_subscription(self._broker, code, topic))
        else:
            granted.set_result(None)

    def _new_connection(self, loop: asyncio.AbstractEventLoop) -> Connection:
        return Connection(
            self._broker, self, loop, client_id=self._client_id, will=self._will,
            max_in_flight=self._max_in_flight, options=self._options,
        )  # fmt: skip

    def _alias_of(self, topic: str) -> int | None:
        """The number that stands for this topic, once the broker has heard both; None when it takes no more."""
        if topic not in self._aliases and len(self._aliases) >= self.limits.aliases:
            return None
        return self._aliases.get(topic, len(self._aliases) + 1)

    def _learn(self, code: int | None) -> None:
        match code:
            case errors.TOO_MANY_IN_FLIGHT:
                self._lessons.too_many_in_flight(self.limits.in_flight)
            case errors.ALIAS_REFUSED:
                self._lessons.alias_refused()
            case errors.RETAIN_REFUSED:
                self._lessons.retain_refused()
            case errors.QOS_REFUSED:
                self._lessons.qos_refused()

    def _too_large(self, code: int | None, size: int) -> SyncError | None:
        """What the end of the connection says of the largest packet that was in flight, if anything."""
        if size == 0:
            return None
        if code == errors.TOO_LARGE:
            may_be_cut = self._lessons.packet_refused(size)
            return errors.refused_size(self._broker, size, may_be_cut=may_be_cut)
        if code is None and size > FLOOR_BYTES and self._lessons.packet_cut_off(size):
            return errors.cut_off_size(self._broker, size)
        return None

    def _fail_publishing(self, error: SyncError, *, from_size: int) -> None:
        for sent in self._publishing.values():
            if sent.size >= from_size and not sent.acknowledged.done():
                sent.acknowledged.set_exception(error)

    def _lose(self, error: SyncError) -> None:
        """The end of this link, once: whoever waits on it is told."""
        if self.lost.is_set():
            return
        was_open, self._failure = self.is_open, error
        self.lost.set()
        waiting: list[asyncio.Future[Any]] = [sent.acknowledged for sent in self._publishing.values()]
        waiting += [granted for _, granted in self._subscribing.values()]
        if self._opening is not None:
            waiting.append(self._opening)
        for future in waiting:
            if not future.done():
                future.set_exception(error)
            if not future.cancelled():
                future.exception()  # seen: whoever waited may have been cancelled meanwhile
        self._let_go()
        if was_open:
            self._on_lost(error)

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.part()

    def _connected(self) -> Connection:
        if self._connection is None or not self.is_open:
            raise self._unusable()
        return self._connection

    def _unusable(self) -> SyncError:
        return self._failure or TransientSyncError(f"{self._broker.where}: not connected")
