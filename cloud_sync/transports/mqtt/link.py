"""One connection to an MQTT 5 broker, as asyncio sees it. Only this file and mqtt_client.py import paho.

Constraints
- paho runs its network loop in a thread of its own; nothing of ours runs there but the hand-over to the loop.
- A link is used once: when the connection is lost, everything that waits on it fails, and a new link is made.
  So nothing is sent again behind the caller's back.
- The broker keeps no session for us (expiry 0): what must survive is in the outbox, not in the broker.
- At most `max_in_flight` publishes wait for the broker, and as many messages of it wait for us: a broker that sends
  more than we allow is parted from, and what it sends at QoS 0 beyond that is dropped.
- The password is in no repr, message or log.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cloud_sync.errors import BatchTooLargeError, SyncError, TransientSyncError
from cloud_sync.transports.connection import DEFAULTS, ConnectionOptions
from cloud_sync.transports.mqtt import errors
from cloud_sync.transports.mqtt.broker import Broker
from cloud_sync.transports.mqtt.client import KEEPALIVE_S, MAX_PACKET_BYTES, BoundedClient
from cloud_sync.twins import PROPERTY

CLOSE_TIMEOUT_S: Final = 2.0
NO_SUBSCRIBERS: Final = 0x10
"""A PUBACK that is no failure and yet says that nobody has the message."""

_PACKET_OVERHEAD_BYTES: Final = 1_024  # topic and properties of one publish; ours take about 600
_WITH_WILL: Final = 0x04
_ENCODING: Final = "content-encoding"


@dataclass(frozen=True, slots=True)
class Message:
    """What the broker delivered. `mid` is what `Link.acknowledge` wants."""

    topic: str
    payload: bytes
    mid: int = 0
    qos: int = 1
    response_topic: str | None = None
    correlation: bytes | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    sender: str | None = None
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes for us, retained, when we are gone."""

    topic: str
    payload: bytes


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
    ) -> None:
        self._broker = broker
        self._client_id = client_id
        self._on_message = on_message
        self._on_lost = on_lost
        self._will = will
        self._max_in_flight = max_in_flight
        self._connect_timeout_s = connection.connect_timeout_s
        self._use = connection.use
        self._client: paho.Client | None = None
        self._opening: asyncio.Future[None] | None = None
        self._publishing: dict[int, asyncio.Future[int]] = {}
        self._subscribing: dict[int, asyncio.Future[None]] = {}
        self._topics: dict[int, str] = {}
        self._max_packet_bytes: int | None = None
        self._handed_over = self._received_total = 0  # messages, by paho's thread and by the loop
        self._unacknowledged = 0
        self._failure: SyncError | None = None
        self._said = ""  # paho tells why a connection broke only in its log
        self.lost = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self._opening is not None and self._opening.done() and not self.lost.is_set()

    async def open(self) -> None:
        """Connect and be let in. Raises TransientSyncError or CredentialsError."""
        self._loop = asyncio.get_running_loop()
        self._opening = self._loop.create_future()
        self._client = await asyncio.to_thread(self._new_client)
        try:
            self._client.loop_start()
            async with asyncio.timeout(self._connect_timeout_s):
                await asyncio.shield(self._opening)
        except TimeoutError as exc:
            raise TransientSyncError(
                f"{self._broker.where}: the broker did not answer within {self._connect_timeout_s:g} s"
            ) from exc
        finally:
            if not self._opening.done() or self._opening.exception() is not None:
                self._let_go()

    async def subscribe(self, topic: str) -> None:
        """Until the broker has granted it. Raises CredentialsError when it does not."""
        code, mid = self._connected_client().subscribe(topic, qos=1)
        if code != paho.MQTT_ERR_SUCCESS or mid is None:
            await self.lost.wait()  # paho's thread has noticed, and tells us
            raise self._unusable()
        granted: asyncio.Future[None] = self._loop.create_future()
        self._subscribing[mid] = granted
        self._topics[mid] = topic
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
        """Hand one message to the broker, QoS 1. The future is the reason code of its PUBACK, or our error."""
        client = self._connected_client()
        if self._max_packet_bytes is not None and len(payload) + _PACKET_OVERHEAD_BYTES > self._max_packet_bytes:
            raise BatchTooLargeError(
                f"{self._broker.where} takes packets of up to {self._max_packet_bytes} bytes, not of {len(payload)}"
            )
        properties = _properties(PacketTypes.PUBLISH)
        given: dict[str, Any] = {
            "ResponseTopic": response_topic,
            "CorrelationData": correlation,
            "ContentType": content_type,
            "UserProperty": None if content_encoding is None else (_ENCODING, content_encoding),
        }
        if sender is not None:
            properties.UserProperty = (PROPERTY, sender)
        for name, value in given.items():
            if value is not None:
                setattr(properties, name, value)
        sent = client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        if sent.rc == paho.MQTT_ERR_QUEUE_SIZE:
            raise TransientSyncError(f"{self._broker.where}: the broker is behind with its acknowledgements")
        # Any other failure is that of the connection; its end, with the reason, is on its way to us.
        acknowledged: asyncio.Future[int] = self._loop.create_future()
        self._publishing[sent.mid] = acknowledged
        self._topics[sent.mid] = topic
        return acknowledged

    def acknowledge(self, message: Message) -> None:
        """Let the broker forget a message and send the next one. On a lost link there is nothing to do."""
        if message.qos == 1 and self._client is not None:
            self._unacknowledged -= 1
            self._client.ack(message.mid, 1)

    async def close(self, *, with_will: bool = False) -> None:
        """Say goodbye, bounded in time. `with_will`: the broker publishes the will all the same."""
        client = self._client
        if client is None:
            return
        if self.is_open:
            client.disconnect(ReasonCode(PacketTypes.DISCONNECT, identifier=_WITH_WILL if with_will else 0))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self.lost.wait()
        self._lose(TransientSyncError("the connection to the broker was closed"))

    def _new_client(self) -> paho.Client:
        self._broker.check_host()
        keepalive_s = self._use.mqtt_keepalive_s or KEEPALIVE_S
        client = BoundedClient(
            CallbackAPIVersion.VERSION2,
            on_end=lambda: self._hand_over(self._ended),
            meter=self._use.meter,
            keepalive_s=keepalive_s,
            client_id=self._client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = self._connect_timeout_s
        client.max_inflight_messages_set(self._max_in_flight)
        client.max_queued_messages_set(2 * self._max_in_flight)
        if self._broker.tls is not None:
            client.tls_set_context(self._broker.tls.context())
        if self._broker.username is not None:
            client.username_pw_set(self._broker.username, self._broker.password)
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, qos=1, retain=True)
        self._listen_to(client)
        wishes = _properties(PacketTypes.CONNECT)
        wishes.SessionExpiryInterval = 0
        wishes.ReceiveMaximum = self._max_in_flight
        wishes.MaximumPacketSize = MAX_PACKET_BYTES
        client.connect_async(
            self._broker.host, self._broker.port, keepalive=keepalive_s, clean_start=True, properties=wishes
        )
        return client

    def _listen_to(self, client: paho.Client) -> None:
        """Everything paho calls, in its own thread: nothing here but handing over."""

        def on_socket_open(_: Any, __: Any, sock: Any) -> None:
            # Without it each small packet waits up to 40 ms for the acknowledgement of the one before.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def on_connect(
            _: Any, __: Any, ___: paho.ConnectFlags, reason: ReasonCode, properties: Properties | None
        ) -> None:
            self._hand_over(self._connected, reason.value, getattr(properties, "MaximumPacketSize", None))

        def on_connect_fail(_: Any, __: Any) -> None:
            # paho calls this while it handles the exception and passes nothing on.
            self._hand_over(self._not_connected, sys.exc_info()[1])
            client.disconnect()  # its thread ends now, not after a pause of a second

        def on_disconnect(_: Any, __: Any, flags: paho.DisconnectFlags, reason: ReasonCode, ___: Any) -> None:
            self._hand_over(
                self._disconnected, reason.value if flags.is_disconnect_packet_from_server else None, self._said
            )

        def on_publish(_: Any, __: Any, mid: int, reason: ReasonCode, ___: Any) -> None:
            self._hand_over(self._published, mid, reason.value)

        def on_subscribe(_: Any, __: Any, mid: int, reasons: list[ReasonCode], ___: Any) -> None:
            self._hand_over(self._subscribed, mid, max((reason.value for reason in reasons), default=errors.FAILURE))

        def on_message(_: Any, __: Any, message: paho.MQTTMessage) -> None:
            if message.qos == 0 and self._handed_over - self._received_total >= self._max_in_flight:
                return
            self._handed_over += 1
            self._hand_over(self._received, _read(message))

        def on_log(_: Any, __: Any, level: int, text: str) -> None:
            if level == paho.MQTT_LOG_ERR or errors.MALFORMED in text:
                self._said = text

        client.on_socket_open = on_socket_open
        client.on_connect = on_connect
        client.on_connect_fail = on_connect_fail
        client.on_disconnect = on_disconnect
        client.on_publish = on_publish
        client.on_subscribe = on_subscribe
        client.on_message = on_message
        client.on_log = on_log

    def _hand_over(self, call: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever wanted to know
            self._loop.call_soon_threadsafe(call, *arguments)

    def _connected(self, code: int, max_packet_bytes: int | None) -> None:
        self._max_packet_bytes = max_packet_bytes
        if code >= errors.FAILURE:
            self._lose(errors.refused_connection(self._broker, code))
        elif self._opening is not None and not self._opening.done():
            self._opening.set_result(None)

    def _not_connected(self, cause: BaseException | None) -> None:
        self._lose(errors.unreachable(self._broker, cause))

    def _disconnected(self, code: int | None, said: str) -> None:
        before_answer = self._opening is not None and not self._opening.done()
        self._lose(errors.disconnected(self._broker, code, said, before_answer=before_answer))

    def _ended(self) -> None:
        """paho's thread is over; when nothing was heard before of why, that is all there is to say."""
        self._lose(errors.disconnected(self._broker, None, self._said, before_answer=False))

    def _received(self, message: Message) -> None:
        self._received_total += 1
        if self.lost.is_set():
            return
        self._unacknowledged += message.qos == 1
        if self._unacknowledged > self._max_in_flight:
            self._lose(errors.disconnected(self._broker, None, errors.MALFORMED, before_answer=False))
        else:
            self._on_message(message)

    def _published(self, mid: int, code: int) -> None:
        waiting, topic = self._publishing.pop(mid, None), self._topics.pop(mid, "")
        if waiting is None or waiting.done():
            return
        if code >= errors.FAILURE:
            waiting.set_exception(errors.refused_publish(self._broker, code, topic))
        else:
            waiting.set_result(code)

    def _subscribed(self, mid: int, code: int) -> None:
        waiting, topic = self._subscribing.pop(mid, None), self._topics.pop(mid, "")
        if waiting is None or waiting.done():
            return
        if code >= errors.FAILURE:
            waiting.set_exception(errors.refused_subscription(self._broker, code, topic))
        else:
            waiting.set_result(None)

    def _lose(self, error: SyncError) -> None:
        """The end of this link, once: whoever waits on it is told."""
        if self.lost.is_set():
            return
        was_open, self._failure = self.is_open, error
        self.lost.set()
        waiting: list[asyncio.Future[Any]] = [*self._publishing.values(), *self._subscribing.values()]
        if self._opening is not None:
            waiting.append(self._opening)
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # seen: whoever waited may have been cancelled meanwhile
        self._let_go()
        if was_open:
            self._on_lost(error)

    def _let_go(self) -> None:
        """Part from paho's client: it hangs up if its thread should still get through, and its cycle is broken."""
        client, self._client = self._client, None
        if client is None:
            return
        client.on_connect = client.on_connect_fail = _hang_up
        client.on_disconnect = client.on_publish = client.on_subscribe = client.on_message = client.on_log = None
        client.disconnect()

    def _connected_client(self) -> paho.Client:
        if self._client is None or not self.is_open:
            raise self._unusable()
        return self._client

    def _unusable(self) -> SyncError:
        return self._failure or TransientSyncError(f"{self._broker.where}: not connected")


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]


def _hang_up(client: paho.Client, *_: Any) -> None:
    client.disconnect()


def _read(message: paho.MQTTMessage) -> Message:
    properties = message.properties
    users: list[tuple[str, str]] = getattr(properties, "UserProperty", [])
    return Message(
        topic=_topic(message),
        payload=bytes(message.payload),
        mid=message.mid,
        qos=message.qos,
        response_topic=getattr(properties, "ResponseTopic", None),
        correlation=getattr(properties, "CorrelationData", None),
        content_type=getattr(properties, "ContentType", None),
        content_encoding=dict(users).get(_ENCODING),
        sender=dict(users).get(PROPERTY),
        retain=message.retain,
    )


def _topic(message: paho.MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError:
        return ""  # no topic of anybody's
