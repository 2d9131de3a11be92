"""MQTT 5 packets as a relay sees them, written from the specification; it shares no code with any MQTT library."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

PUBLISH, PUBACK = 3, 4
NO_SUBSCRIBERS, FAILURE = 0x10, 0x80

_TOPIC_ALIAS = 0x23
_CORRELATION_DATA = 0x09
_FIXED_WIDTHS = {0x01: 1, 0x02: 4, 0x0B: 1, 0x23: 2}  # a subscription identifier here is below 128
_TEXTS = {0x03: 1, 0x08: 1, _CORRELATION_DATA: 1, 0x26: 2}


@dataclass(frozen=True)
class Packet:
    first: int
    body: bytes
    raw: bytes

    @property
    def kind(self) -> int:
        return self.first >> 4


@dataclass(frozen=True)
class Published:
    """What a relay wants to know of a PUBLISH. `mid` is None at QoS 0, `alias` 0 without one."""

    topic: str
    mid: int | None
    correlation: str
    payload: bytes
    alias: int = 0

    def named(self, topics: dict[int, str]) -> Published:
        """Return it with its topic, which a connection says once for each alias and `topics` remembers."""
        if self.alias and self.topic:
            topics[self.alias] = self.topic
        return replace(self, topic=self.topic or topics.get(self.alias, ""))


async def packets(reader: asyncio.StreamReader) -> AsyncIterator[Packet]:
    """Until the stream ends; a packet that is cut off is none."""
    while first := await reader.read(1):
        head, length, shift = first, 0, 0
        while True:
            byte = await reader.readexactly(1)
            head += byte
            length |= (byte[0] & 0x7F) << shift
            shift += 7
            if byte[0] < 0x80:
                break
        body = await reader.readexactly(length)
        yield Packet(first[0], body, head + body)


def published(packet: Packet) -> Published:
    topic, at = _text(packet.body, 0)
    mid = None
    if packet.first & 0b0110:
        (mid,) = struct.unpack_from(">H", packet.body, at)
        at += 2
    length, at = _variable(packet.body, at)
    correlation, alias = _properties(packet.body, at, at + length)
    return Published(topic.decode(), mid, correlation.decode(errors="replace"), packet.body[at + length :], alias)


def acknowledged(packet: Packet) -> tuple[int, int]:
    """Which publish a PUBACK is about, and its reason code."""
    (mid,) = struct.unpack_from(">H", packet.body)
    return mid, packet.body[2] if len(packet.body) > 2 else 0


def puback(mid: int) -> bytes:
    return struct.pack(">BBH", PUBACK << 4, 2, mid)


def _properties(body: bytes, at: int, end: int) -> tuple[bytes, int]:
    """Correlation data and topic alias; empty and 0 when they are not there."""
    correlation, alias = b"", 0
    while at < end:
        name, at = body[at], at + 1
        if name in _FIXED_WIDTHS:
            if name == _TOPIC_ALIAS:
                (alias,) = struct.unpack_from(">H", body, at)
            at += _FIXED_WIDTHS[name]
            continue
        for _ in range(_TEXTS[name]):
            text, at = _text(body, at)
        if name == _CORRELATION_DATA:
            correlation = text
    return correlation, alias


def _text(body: bytes, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(">H", body, at)
    end = at + 2 + length
    return body[at + 2 : end], end


def _variable(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte, at = body[at], at + 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
