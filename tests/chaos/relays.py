"""Relays that lose, delay, repeat and reorder what passes, and count it: one for HTTP, one for MQTT."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.chaos.http_messages import HttpMessages, batch_id_of
from tests.chaos.mqtt_packets import (
    FAILURE,
    NO_SUBSCRIBERS,
    PUBACK,
    PUBLISH,
    Packet,
    Published,
    acknowledged,
    packets,
    puback,
    published,
)
from tests.support.relay import Relay

COMMITTED = b'"committed"'


class ChaosRelay(Relay):
    """Between a gateway and the central's HTTP side."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.delay_s = 0.0
        self.spread_s = 0.0
        """Every answer is late by a random part of this, each by its own: they come in another order."""
        self.drips = False
        """Answers pass byte by byte, so slowly that no deadline for the next byte would ever be over."""
        self.repeat_answers = False
        self.repeat_requests = False
        self.passes = asyncio.Event()
        """Cleared, everything that is sent waits in the relay, and arrives late."""
        self.passes.set()
        self.is_cut = False
        self.sent: Counter[str] = Counter()
        """By batch: how often it was sent this way."""
        self.counts: Counter[str] = Counter()
        self._writers: set[asyncio.StreamWriter] = set()

    async def has_swallowed(self, count: int, *, within_s: float) -> None:
        """Raises TimeoutError when so many requests have not come by while it was silent."""
        async with asyncio.timeout(within_s):
            while self.counts["requests_swallowed"] < count:
                await asyncio.sleep(0.02)

    def cut(self) -> None:
        """Hang up on everybody, and take nobody until `is_cut` is taken back."""
        self.is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            await super().handle(reader, writer)
        finally:
            self._writers.discard(writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection that fell silent stays so; one that stalled delivers late."""
        is_dead, seen = False, HttpMessages()
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                self.heard.set()
                is_dead = is_dead or self.silent
                await self.passes.wait()
                requests = seen.feed(chunk)
                self.sent.update(batch_id for batch_id in map(batch_id_of, requests) if batch_id)
                if is_dead:
                    self.counts["requests_swallowed"] += len(requests)
                    continue
                writer.write(chunk)
                await writer.drain()
                for request in requests if self.repeat_requests else ():
                    await self._send_once_more(request)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = HttpMessages()
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                await asyncio.sleep(self.delay_s + random.uniform(0.0, self.spread_s))
                if self.drop_next_answer:
                    self.drop_next_answer = False
                    self.counts["answers_dropped"] += 1
                    break
                await self._drip(chunk, writer)
                for answer in seen.feed(chunk):
                    if self.repeat_answers and COMMITTED in answer:
                        self.counts["answers_repeated"] += 1
                        writer.write(answer)
                await writer.drain()
        writer.close()

    async def _drip(self, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        self.counts["answers_dripped"] += self.drips
        while self.drips and chunk:
            writer.write(chunk[:1])
            await writer.drain()
            chunk = chunk[1:]
            await asyncio.sleep(0.05)
        writer.write(chunk)

    async def _send_once_more(self, request: bytes) -> None:
        """As a proxy does that thought the first try had failed. Nobody waits for this answer."""
        self.counts["requests_repeated"] += 1
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(request)
            answers = HttpMessages()
            while (chunk := await reader.read(65_536)) and not answers.feed(chunk):
                pass
        finally:
            writer.close()


class Balancer:
    """Gives each connection to the next central that takes it. With its health checks it would know of a dead one."""

    def __init__(self) -> None:
        self.url = ""
        self.counts: Counter[str] = Counter()
        self._addresses: dict[int, tuple[str, int]] = {}
        self._turn = 0

    def put(self, place: int, url: str) -> None:
        parts = urlsplit(url)
        self._addresses[place] = (str(parts.hostname), int(parts.port or 0))

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            up_reader, up_writer = await self._connected()
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, up_writer))
                group.create_task(_copy(up_reader, writer))
        writer.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in self._addresses:
            self._turn += 1
            place = self._turn % len(self._addresses)
            with contextlib.suppress(OSError):
                connected = await asyncio.open_connection(*self._addresses[place])
                self.counts[f"connections_to_{place}"] += 1
                return connected
        raise ConnectionRefusedError("no central takes connections")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@dataclass(eq=False)
class _Connection:
    """Which batches the broker took from this connection, and which of them were answered."""

    to_broker: asyncio.StreamWriter
    to_client: asyncio.StreamWriter
    on_way: dict[int, Published] = field(default_factory=dict)
    unanswered: dict[str, bytes] = field(default_factory=dict)
    held: bytes = b""


class MqttRelay:
    """Between clients and their broker, packet by packet."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self.delay_s = 0.0
        self.drop_answers = False
        self.repeat_answers = False
        self.reorder_answers = False
        self.silent = False
        self.flows = asyncio.Event()
        """Cleared, what the broker sends waits here."""
        self.flows.set()
        self.is_cut = False
        self.port = 0
        self.sent: Counter[str] = Counter()
        """By batch: how often clients published it."""
        self.delivered: set[str] = set()
        """Batches that the broker passed on to a client of this relay."""
        self.counts: Counter[str] = Counter()
        self._connections: set[_Connection] = set()

    @property
    def unanswered(self) -> dict[str, bytes]:
        """Batches that the broker has acknowledged and whose answer has not passed yet; with their bodies."""
        return {batch_id: body for each in self._connections for batch_id, body in each.unanswered.items()}

    def cut(self) -> None:
        """Hang up on everybody, and take nobody until `is_cut` is taken back."""
        self.is_cut = True
        self.hang_up()

    def hang_up(self) -> None:
        """What waits here is gone with the connections."""
        for connection in self._connections:
            connection.to_client.transport.abort()
        self.flows.set()

    def release(self) -> None:
        """Let go of the answers that were held back to come out of turn."""
        self.reorder_answers = False
        for connection in self._connections:
            connection.to_client.write(connection.held)
            connection.held = b""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
        connection = _Connection(broker_writer, writer)
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._to_broker(reader, connection))
                group.create_task(self._to_client(broker_reader, connection))
        finally:
            self._connections.discard(connection)
            broker_writer.close()

    async def _to_broker(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        is_dead = False
        topics: dict[int, str] = {}
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async for packet in packets(reader):
                is_dead = is_dead or self.silent
                if packet.kind == PUBLISH and (message := published(packet).named(topics)).topic.endswith("/batch"):
                    self.sent[message.correlation] += 1
                    connection.on_way[message.mid or 0] = message
                if not is_dead:
                    connection.to_broker.write(packet.raw)
                    await connection.to_broker.drain()
        connection.to_broker.close()

    async def _to_client(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async for packet in packets(reader):
                await asyncio.sleep(self.delay_s)
                await self.flows.wait()
                if connection.to_client.is_closing():
                    break
                if packet.kind == PUBACK:
                    self._note_taken(packet, connection)
                message = published(packet) if packet.kind == PUBLISH else None
                if message is not None and message.topic.endswith("/ack"):
                    self._pass_answer(packet, message, connection)
                else:
                    if message is not None:
                        self.delivered.add(message.correlation)
                    connection.to_client.write(packet.raw)
                await connection.to_client.drain()
        connection.to_client.close()

    def _note_taken(self, packet: Packet, connection: _Connection) -> None:
        mid, reason = acknowledged(packet)
        message = connection.on_way.pop(mid, None)
        if message is not None and reason < FAILURE and reason != NO_SUBSCRIBERS:
            self.counts["pubacks"] += 1
            connection.unanswered[message.correlation] = message.payload

    def _pass_answer(self, packet: Packet, message: Published, connection: _Connection) -> None:
        if self.drop_answers:
            self.counts["answers_dropped"] += 1
            if message.mid is not None:  # else the broker would wait for it, and in the end send no more
                connection.to_broker.write(puback(message.mid))
            return
        connection.unanswered.pop(message.correlation, None)
        if self.reorder_answers and not connection.held:
            self.counts["answers_reordered"] += 1
            connection.held = packet.raw
            return
        times = 2 if self.repeat_answers else 1
        self.counts["answers_repeated"] += times - 1
        connection.to_client.write(packet.raw * times + connection.held)
        connection.held = b""
