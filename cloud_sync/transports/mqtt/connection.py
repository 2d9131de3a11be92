"""paho as a link uses it: made from a broker's description, its callbacks handed over to the event loop.

Constraints
- paho runs its network loop in a thread of its own; nothing of ours runs there but the hand-over.
- MQTT 5 says what it means in properties and reason codes. MQTT 3.1.1 has neither; what is lost by that is absent here.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from typing import Any, Final, Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.mqtt import errors
from cloud_sync.transports.mqtt.broker import Broker
from cloud_sync.transports.mqtt.client import MAX_PACKET_BYTES, BoundedClient
from cloud_sync.transports.mqtt.limits import UNLIMITED, Announced
from cloud_sync.transports.mqtt.message import Message, Will
from cloud_sync.transports.mqtt.options import KEEP_ALIVE_S
from cloud_sync.twins import PROPERTY

_WITH_WILL: Final = 0x04
ENCODING: Final = "content-encoding"
_KEEP_ALIVE_TIMEOUT: Final = 0x8D
_RETAINED_TOO, _NOT_RETAINED = 0, 2  # retain handling: whether what was there before the subscription is sent


class Listener(Protocol):
    """Who hears, in the event loop, what the connection has to say."""

    def reached(self) -> None: ...

    def connected(self, code: int, announced: Announced) -> None: ...

    def not_connected(self, cause: BaseException | None) -> None: ...

    def disconnected(self, code: int | None, said: str) -> None: ...

    def ended(self, said: str) -> None: ...

    def received(self, message: Message) -> None: ...

    def published(self, mid: int, code: int) -> None: ...

    def subscribed(self, mid: int, code: int) -> None: ...


class Connection:
    """Made in a thread of the caller's, since it reads files. `start`, use, `part`."""

    def __init__(
        self,
        broker: Broker,
        listener: Listener,
        loop: asyncio.AbstractEventLoop,
        *,
        client_id: str,
        will: Will | None,
        max_in_flight: int,
        options: ConnectionOptions,
    ) -> None:
        """Raises CredentialsError for a host, a file or a password that cannot be used."""
        broker.check_host()
        self._broker = broker
        self._listener = listener
        self._loop = loop
        self._max_in_flight = max_in_flight
        self._keepalive_s = broker.options.keep_alive_s or options.use.mqtt_keepalive_s or KEEP_ALIVE_S
        self._said = ""  # paho tells why a connection broke only in its log
        self._handed_over = self._received_total = 0  # messages, by paho's thread and by the loop
        self.dropped_total = 0  # sent at QoS 0 faster than the loop takes them
        self.client = self._new_client(client_id, options)
        if will is not None:
            self.client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        self._listen()
        self._aim()

    def start(self) -> None:
        self.client.loop_start()

    def subscribe(self, topic: str, *, retained: bool) -> int | None:
        """Return the number its answer will have; None when the connection is gone."""
        qos = self._broker.options.qos
        if self._has_properties:
            handling = _RETAINED_TOO if retained else _NOT_RETAINED
            code, mid = self.client.subscribe(topic, options=SubscribeOptions(qos=qos, retainHandling=handling))
        else:
            code, mid = self.client.subscribe(topic, qos=qos)
        return mid if code == paho.MQTT_ERR_SUCCESS else None

    def publish(
        self, topic: str, payload: bytes, *, qos: int, retain: bool, alias: int | None, properties: dict[str, Any]
    ) -> int | None:
        """Return the number its acknowledgement will have; None when too much waits for acknowledgement already."""
        packed = None
        if self._has_properties:
            packed = _properties(PacketTypes.PUBLISH)
            for name, value in properties.items():
                if value is not None:
                    setattr(packed, name, value)
            if alias is not None:
                packed.TopicAlias = alias
        sent = self.client.publish(topic, payload, qos=qos, retain=retain, properties=packed)
        # Any other failure is that of the connection; its end, with the reason, is still to come.
        return None if sent.rc == paho.MQTT_ERR_QUEUE_SIZE else sent.mid

    def acknowledge(self, message: Message) -> None:
        self.client.ack(message.mid, message.qos)

    def send_disconnect(self, *, with_will: bool) -> None:
        """Disconnect. MQTT 3.1.1 has no goodbye that keeps the will: whoever wants it publishes it first."""
        if self._has_properties:
            code = ReasonCode(PacketTypes.DISCONNECT, identifier=_WITH_WILL if with_will else 0)
            self.client.disconnect(code)
        else:
            self.client.disconnect()

    def part(self) -> None:
        """Drop the client: it hangs up if its thread should still get through, and its cycle is broken."""
        client = self.client
        client.on_socket_open = None
        client.on_connect = client.on_connect_fail = _hang_up
        client.on_disconnect = client.on_publish = client.on_subscribe = client.on_message = client.on_log = None
        client.disconnect()
        del self.client

    @property
    def _has_properties(self) -> bool:
        return self._broker.options.has_properties

    def _new_client(self, client_id: str, options: ConnectionOptions) -> BoundedClient:
        broker, speaks = self._broker, self._broker.options
        client = BoundedClient(
            CallbackAPIVersion.VERSION2,
            on_end=self._tell_end,
            keepalive_s=self._keepalive_s,
            meter=options.use.meter,
            takes_qos_2=0 if speaks.qos < 2 else self.takes,
            websocket=broker.websocket,
            connection=options,
            client_id=client_id,
            protocol=paho.MQTTv5 if speaks.has_properties else paho.MQTTv311,
            clean_session=None if speaks.has_properties else True,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = options.connect_timeout_s
        client.max_inflight_messages_set(self._max_in_flight)
        client.max_queued_messages_set(2 * self._max_in_flight)
        if broker.tls is not None:
            client.tls_set_context(broker.tls.context())
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password_now())
        return client

    @property
    def takes(self) -> int:
        """Return how many messages of the broker may wait for us. MQTT 3.1.1 cannot tell it how many."""
        return self._max_in_flight if self._has_properties else max(self._max_in_flight, IN_FLIGHT_UNTOLD)

    def _aim(self) -> None:
        host, port = self._broker.host, self._broker.port
        if not self._has_properties:
            self.client.connect_async(host, port, keepalive=self._keepalive_s)
            return
        wishes = _properties(PacketTypes.CONNECT)
        wishes.SessionExpiryInterval = 0
        wishes.ReceiveMaximum = self._max_in_flight
        wishes.MaximumPacketSize = MAX_PACKET_BYTES
        self.client.connect_async(host, port, keepalive=self._keepalive_s, clean_start=True, properties=wishes)

    def _listen(self) -> None:
        """Everything paho calls, in its own thread: nothing here but handing over."""
        client, listener = self.client, self._listener

        def on_socket_open(_: Any, __: Any, ___: Any) -> None:
            self._hand_over(listener.reached)

        def on_connect(
            _: Any, __: Any, ___: paho.ConnectFlags, reason: ReasonCode, properties: Properties | None
        ) -> None:
            self._hand_over(listener.connected, reason.value, _announced(properties))

        def on_connect_fail(_: Any, __: Any) -> None:
            # paho calls this while it handles the exception and passes nothing on.
            self._hand_over(listener.not_connected, sys.exc_info()[1])
            client.disconnect()  # its thread ends now, not after a pause of a second

        def on_disconnect(_: Any, __: Any, flags: paho.DisconnectFlags, reason: ReasonCode, ___: Any) -> None:
            code = reason.value if flags.is_disconnect_packet_from_server else None
            is_silence = code is None and reason.value == _KEEP_ALIVE_TIMEOUT
            self._hand_over(listener.disconnected, code, errors.SILENCE if is_silence else self._said)

        def on_publish(_: Any, __: Any, mid: int, reason: ReasonCode, ___: Any) -> None:
            self._hand_over(listener.published, mid, client.received_code(mid) or reason.value)

        def on_subscribe(_: Any, __: Any, mid: int, reasons: list[ReasonCode], ___: Any) -> None:
            worst = max((reason.value for reason in reasons), default=errors.FAILURE)
            self._hand_over(listener.subscribed, mid, worst)

        def on_message(_: Any, __: Any, message: paho.MQTTMessage) -> None:
            if message.qos == 0 and self._handed_over - self._received_total >= self._max_in_flight:
                self.dropped_total += 1
                return
            self._handed_over += 1
            self._hand_over(self._receive, _read(message))

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

    def _receive(self, message: Message) -> None:
        self._received_total += 1
        self._listener.received(message)

    def _tell_end(self) -> None:
        self._hand_over(self._listener.ended, self._said)

    def _hand_over(self, call: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever wanted to know
            self._loop.call_soon_threadsafe(call, *arguments)


IN_FLIGHT_UNTOLD: Final = 100
"""What brokers of MQTT 3.1.1 have in flight at most unless set otherwise (mosquitto 20, AWS IoT Core 100)."""


def _announced(properties: Properties | None) -> Announced:
    return Announced(
        max_packet_bytes=getattr(properties, "MaximumPacketSize", None),
        receive_maximum=getattr(properties, "ReceiveMaximum", UNLIMITED),
        max_qos=getattr(properties, "MaximumQoS", 2),
        retains=bool(getattr(properties, "RetainAvailable", 1)),
        topic_aliases=getattr(properties, "TopicAliasMaximum", 0),
    )


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
        content_encoding=dict(users).get(ENCODING),
        sender=dict(users).get(PROPERTY),
        retain=message.retain,
    )


def _topic(message: paho.MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError:
        return ""  # no topic of anybody's
