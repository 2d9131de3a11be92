"""paho's client with bounds of ours on what a broker can make it hold, and an end that is always heard.

Constraints
- A packet is refused by its length before a byte of it is kept: MQTT allows 256 MB. Of QoS 2, which paho keeps until
  the broker lets go of it, there is none unless asked for, and then no more than `takes_qos_2`.
- Whatever ends the network thread, also an error that nobody foresaw, is told.
- What the broker wants as keep-alive only shortens ours: 0 would mean that its silence is never noticed.
- A refusal of QoS 2 comes in a PUBREC, whose reason paho does not read; and 0x95, "packet too large", which mosquitto
  2.0 says in a PUBACK, is no reason there for paho, and would cost the connection.

Only this file and connection.py import paho. The overridden methods are paho's own, and not public: the version is
pinned, and tests/unit/cloud_sync/transports/mqtt feeds each of them.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cloud_sync.transports.answers import MAX_ANSWER_BYTES
from cloud_sync.transports.blocking_network import open_socket
from cloud_sync.transports.connection import DEFAULTS, ConnectionOptions
from cloud_sync.transports.link_meter import LinkMeter, WatchedConnection
from cloud_sync.transports.mqtt.broker import WebSocket
from cloud_sync.transports.mqtt.errors import FAILURE, TOO_LONG
from cloud_sync.transports.mqtt.options import KEEP_ALIVE_S
from cloud_sync.transports.mqtt.websocket import WebSocketStream, open_websocket
from cloud_sync.transports.steps import StepError, no_tls_in_time

MAX_PACKET_BYTES: Final = 2 * MAX_ANSWER_BYTES
"""An answer and a gateway's batch have half of it at most; one that is longer by less than that is answered by name."""

_READ_BYTES: Final = 65_536  # the library asks for a packet at once, and Python makes room for all of it first
_KIND_AND_QOS: Final = 0xF6
_PUBLISH_QOS_2: Final = 0x34
_WRONG_VERSION: Final = 0x84
_REFUSED_VERSION_3: Final = b"\x01"
_SUCCESS: Final = MQTTErrorCode.MQTT_ERR_SUCCESS


class BoundedClient(paho.Client):
    """`on_end` is called in the network thread, as the last thing it does; `meter` counts what travels."""

    def __init__(
        self,
        *arguments: Any,
        on_end: Callable[[], None],
        keepalive_s: int = KEEP_ALIVE_S,
        meter: LinkMeter | None = None,
        takes_qos_2: int = 0,
        websocket: WebSocket | None = None,
        connection: ConnectionOptions = DEFAULTS,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._keepalive_s = keepalive_s
        self._on_end = on_end
        self._meter = meter
        self._watched: WatchedConnection | None = None  # a client has one connection in its life
        self._takes_qos_2 = takes_qos_2
        self._websocket = websocket
        self._connection_options = connection
        self._received_codes: dict[int, int] = {}
        self.unanswered_pings = 0
        """Since the broker last answered one. Bytes that make no packet keep a connection, as a large message does."""

    def limit_in_flight(self, number: int) -> None:
        """Keep to what the broker takes at a time; before anything is published."""
        self._max_inflight_messages = number

    def received_code(self, mid: int) -> int:
        """Return the reason in the acknowledgement of a message that is done, once; 0 is success."""
        return self._received_codes.pop(mid, 0)

    def _thread_main(self) -> None:
        try:
            super()._thread_main()
        finally:
            self._sock_close()
            self._on_end()

    def _sock_recv(self, bufsize: int) -> bytes:
        if bufsize > MAX_PACKET_BYTES:
            raise ConnectionAbortedError(f"{TOO_LONG} {MAX_PACKET_BYTES} bytes")
        data = super()._sock_recv(min(bufsize, _READ_BYTES))
        self._note(received=len(data))
        return data

    def _sock_send(self, buf: bytes | bytearray) -> int:
        sent: int = super()._sock_send(buf)
        self._note(sent=sent)
        return sent

    def _note(self, *, sent: int = 0, received: int = 0) -> None:
        if self._meter is None:
            return
        if self._watched is None:
            beneath = self._sock.raw if isinstance(self._sock, WebSocketStream) else self._sock
            self._watched = self._meter.watch(beneath if isinstance(beneath, socket.socket) else None)
        self._watched.note(sent=sent, received=received)

    def _packet_handle(self) -> MQTTErrorCode:
        is_qos_2 = self._in_packet["command"] & _KIND_AND_QOS == _PUBLISH_QOS_2
        if is_qos_2 and len(self._in_messages) >= self._takes_qos_2:
            raise MalformedPacket("a message of QoS 2 that was not asked for, or one more than we take")
        return super()._packet_handle()

    def _send_pingreq(self) -> MQTTErrorCode:
        self.unanswered_pings += 1
        return super()._send_pingreq()

    def _handle_pingresp(self) -> MQTTErrorCode:
        self.unanswered_pings = 0
        return super()._handle_pingresp()

    def _handle_connack(self) -> MQTTErrorCode:
        if self._protocol == paho.MQTTv311 and self._in_packet["packet"][1:2] == _REFUSED_VERSION_3:
            self._report_refused_version()
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        code = super()._handle_connack()
        self._keepalive = min(self._keepalive or self._keepalive_s, self._keepalive_s)
        return code

    def _report_refused_version(self) -> None:
        """paho would hang up without a word."""
        if self.on_connect is not None:
            reason = ReasonCode(PacketTypes.CONNACK, identifier=_WRONG_VERSION)
            self.on_connect(self, None, paho.ConnectFlags(session_present=False), reason, None)  # type: ignore[arg-type, call-arg]

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        return _SUCCESS if self._ends_refused() else super()._handle_pubackcomp(cmd)

    def _handle_pubrec(self) -> MQTTErrorCode:
        return _SUCCESS if self._ends_refused() else super()._handle_pubrec()

    def _ends_refused(self) -> bool:
        """End a publish that the broker refuses, in a PUBREC too, and with codes that MQTT 5 has for other packets."""
        packet = self._in_packet["packet"]
        if self._protocol != paho.MQTTv5 or len(packet) < 3 or packet[2] == 0:
            return False
        mid, code = int.from_bytes(packet[:2]), packet[2]
        with self._out_message_mutex:
            if mid not in self._out_messages:
                return False
            self._received_codes[mid] = code
            if code < FAILURE:
                return False
            reason = ReasonCode(PacketTypes.PUBACK)
            self._do_on_publish(mid, reason, Properties(PacketTypes.PUBACK))  # type: ignore[no-untyped-call]
        return True

    def _create_socket_connection(self) -> socket.socket:
        try:
            return open_socket(self._connection_options, self._scheme, self._host, self._port)
        except StepError as exc:
            raise ConnectionError(exc.words) from exc  # the only kind of error that paho tells of

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        connect_timeout_s, self._connect_timeout = self._connect_timeout, self._connection_options.tls_timeout_s
        try:
            return super()._ssl_wrap_socket(tcp_sock)
        except TimeoutError:
            cut = no_tls_in_time(self._connection_options.tls_timeout_s)
            raise ConnectionError(cut.words) from cut
        finally:
            self._connect_timeout = connect_timeout_s

    @property
    def _scheme(self) -> str:
        """Return the scheme by which a proxy to the broker is chosen."""
        plain, secure = ("mqtt", "mqtts") if self._websocket is None else ("ws", "wss")
        return secure if self._ssl else plain

    def _create_socket(self) -> Any:
        if self._websocket is None:
            return super()._create_socket()
        raw = self._create_socket_connection()
        return open_websocket(
            self._ssl_wrap_socket(raw) if self._ssl else raw,
            host=self._host,
            port=self._port,
            path=self._websocket.path,
            headers=self._websocket.headers,
            within_s=self._connect_timeout,
        )
