"""paho's client with bounds of ours on what a broker can make it hold, and an end that is always heard.

Constraints
- A packet is refused by its length before a byte of it is kept: MQTT allows 256 MB. One of QoS 2, which nobody asked
  for and which paho would keep until the broker lets go of it, ends the connection.
- Whatever ends the network thread, also an error that nobody foresaw, is told.
- What the broker wants as keep-alive only shortens ours: 0 would mean that its silence is never noticed.

Only this file and link.py import paho. The four methods are paho's own, and not public: the version is pinned, and
tests/unit/cloud_sync/transports/mqtt/test_link.py feeds each of them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.exception import MalformedPacket

from cloud_sync.transports.answers import MAX_ANSWER_BYTES
from cloud_sync.transports.link_meter import LinkMeter, WatchedConnection
from cloud_sync.transports.mqtt.errors import TOO_LONG

KEEPALIVE_S: Final = 30
MAX_PACKET_BYTES: Final = 2 * MAX_ANSWER_BYTES
"""An answer and a gateway's batch have half of it at most; one that is longer by less than that is answered by name."""

_READ_BYTES: Final = 65_536  # the library asks for a packet at once, and Python makes room for all of it first
_KIND_AND_QOS: Final = 0xF6
_PUBLISH_QOS_2: Final = 0x34


class BoundedClient(paho.Client):
    """`on_end` is called in the network thread, as the last thing it does; `meter` counts what travels."""

    def __init__(
        self,
        *arguments: Any,
        on_end: Callable[[], None],
        keepalive_s: int = KEEPALIVE_S,
        meter: LinkMeter | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._keepalive_s = keepalive_s
        self._on_end = on_end
        self._meter = meter
        self._watched: WatchedConnection | None = None  # a client has one connection in its life

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
            self._watched = self._meter.watch(self._sock if isinstance(self._sock, socket.socket) else None)
        self._watched.note(sent=sent, received=received)

    def _packet_handle(self) -> MQTTErrorCode:
        if self._in_packet["command"] & _KIND_AND_QOS == _PUBLISH_QOS_2:
            raise MalformedPacket("a message of QoS 2, which was not asked for")
        return super()._packet_handle()

    def _handle_connack(self) -> MQTTErrorCode:
        code = super()._handle_connack()
        self._keepalive = min(self._keepalive or self._keepalive_s, self._keepalive_s)
        return code
