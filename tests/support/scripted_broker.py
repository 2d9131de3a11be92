"""A broker that says what a script tells it, byte by byte, for whatever a real one never says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

from cloud_sync.transports.mqtt.broker import Broker
from tests.chaos.mqtt_packets import packets
from tests.support.sockets import listening

CONNECT, PUBLISH, SUBSCRIBE = 1, 3, 8
CONNACK = b"\x20\x03\x00\x00\x00"


@contextlib.asynccontextmanager
async def broker_that_says(after: Mapping[int, bytes]) -> AsyncIterator[Broker]:
    """`after` is what it sends after a packet of that kind; `MI` stands for the identifier of the question."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for packet in packets(reader):
            writer.write(with_mid(after.get(packet.kind, b""), packet.kind, packet.body))
            await writer.drain()

    async with listening(handle) as port:
        yield Broker("127.0.0.1", port, tls=None)


def with_mid(answer: bytes, kind: int, body: bytes) -> bytes:
    """Put the packet identifier of the question where the answer says `MI`."""
    at = 2 + int.from_bytes(body[:2]) if kind == PUBLISH else 0
    return answer.replace(b"MI", body[at : at + 2]) if kind in (PUBLISH, SUBSCRIBE) else answer


def packet(first: int, body: bytes, *, length: int | None = None) -> bytes:
    """One packet; `length` is what it claims to have."""
    left, out = len(body) if length is None else length, bytes([first])
    while True:
        left, digit = divmod(left, 128)
        out += bytes([digit | (0x80 if left else 0)])
        if not left:
            return out + body


def publish(topic: bytes, payload: bytes = b"", *, mid: int = 1, properties: bytes = b"", qos: int = 1) -> bytes:
    """A PUBLISH as a broker delivers it."""
    identifier = mid.to_bytes(2) if qos else b""
    body = len(topic).to_bytes(2) + topic + identifier + bytes([len(properties)]) + properties + payload
    return packet(0x30 | qos << 1, body)
