"""From the outbox to the central's COMMIT: wall time and bytes of a reading, against one POST each and JSON batches.

Constraints
- Both sides of a comparison send to the same central and PostgreSQL, in turn, over loopback, on connections kept open.
- A side's round ends when the central has said of every reading that it is committed, and none was there before.
- Ours is the whole way: read from the outbox, joined, sent, settled there on disk. The baselines have no outbox; their
  bodies are ready before the clock starts, as ours are encoded when they are stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import httpx

from benchmarks._central import START_DEADLINE_S, Central, central, mosquitto, short_folder
from benchmarks.harness import Comparison, benchmark
from benchmarks.wire import GATEWAY, Plant
from cloud_sync import wire
from cloud_sync.outbox.store import NewBlock, Outbox
from cloud_sync.presence import Presence
from cloud_sync.records import Batch, RecordClass, Row
from cloud_sync.transports.base import Transport
from cloud_sync.transports.https import INGEST_PATH, HttpsTransport
from cloud_sync.transports.mqtt.broker import Broker
from cloud_sync.transports.mqtt.transport import MqttTransport
from cloud_sync.twins import Sender
from cloud_sync.uplink.sender import Policy, Uplink
from cloud_sync.wire import json_form

ROUNDS: Final = 7
BLOCK_ROWS: Final = 1_000
BLOCKS: Final = 20
SINGLE_POSTS: Final = 100
"""Of one round: about as long as the blocks of one."""

IN_FLIGHT: Final = 2
"""What the agent is set to; the peer with batches has as many requests on their way."""

Side = Callable[[], Awaitable[float]]
"""Does one round of its own and gives its cost per reading."""


@benchmark("sync.https.vs_single_post", unit="us wall")
def https_against_single_post() -> Comparison:
    """A stored backlog, against one request and one COMMIT for each reading."""
    with central(GATEWAY) as there, short_folder() as folder:
        return asyncio.run(_https_against_single_post(there, folder))


@benchmark("sync.https.vs_json_batches", unit="us wall")
def https_against_json_batches() -> Comparison:
    """Against 1,000 readings a request in our readable schema, gzip level 6, two requests on their way."""
    with central(GATEWAY) as there, short_folder() as folder:
        return asyncio.run(_https_against_json_batches(there, folder))


@benchmark("sync.https.bytes.vs_json_batches", unit="bytes")
def bytes_against_json_batches() -> Comparison:
    """What TCP carries both ways, headers and answers included, against the same batches."""
    with central(GATEWAY) as there, short_folder() as folder:
        return asyncio.run(_bytes_against_json_batches(there, folder))


@benchmark("sync.mqtt.vs_single_post", unit="us wall")
def mqtt_against_single_post() -> Comparison:
    """The backlog through a broker, against the same requests as above."""
    with mosquitto() as port, central(GATEWAY, broker_port=port) as there, short_folder() as folder:
        return asyncio.run(_mqtt_against_single_post(there, port, folder))


async def _https_against_single_post(there: Central, folder: Path) -> Comparison:
    plant = Plant()
    async with _https(there.url, there) as transport, _client(there.url, there) as client:
        with _Backlog(folder, transport, plant) as backlog:
            return await _rotated(_timed(backlog), _timed(_SinglePosts(client, plant)))


async def _https_against_json_batches(there: Central, folder: Path) -> Comparison:
    plant = Plant()
    async with _https(there.url, there) as transport, _client(there.url, there) as client:
        with _Backlog(folder, transport, plant) as backlog:
            return await _rotated(_timed(backlog), _timed(_JsonBatches(client, plant)))


async def _bytes_against_json_batches(there: Central, folder: Path) -> Comparison:
    plant = Plant()
    async with (
        _CountingRelay(there.url) as relay,
        _https(relay.url, there) as transport,
        _client(relay.url, there) as client,
    ):
        with _Backlog(folder, transport, plant) as backlog:
            return await _rotated(_counted(backlog, relay), _counted(_JsonBatches(client, plant), relay))


async def _mqtt_against_single_post(there: Central, port: int, folder: Path) -> Comparison:
    plant = Plant()
    async with _mqtt(port) as transport, _client(there.url, there) as client:
        with _Backlog(folder, transport, plant) as backlog:
            return await _rotated(_timed(backlog), _timed(_SinglePosts(client, plant)))


class _Backlog:
    """Ours: what waits in an outbox, drained through the uplink that the agent has."""

    readings = BLOCKS * BLOCK_ROWS

    def __init__(self, folder: Path, transport: Transport, plant: Plant) -> None:
        self._outbox = Outbox(folder / "outbox.db", max_bytes=500_000_000, gateway_id=GATEWAY)
        self._uplink = Uplink(self._outbox, transport, policy=Policy(60.0, in_flight=IN_FLIGHT))
        self._plant = plant

    def __enter__(self) -> _Backlog:
        self._outbox.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._outbox.close()

    def prepare(self) -> None:
        self._outbox.append([_block(self._plant.rows(BLOCK_ROWS)) for _ in range(BLOCKS)])

    async def send(self) -> None:
        """Until the outbox is empty. The first time a server may still be on its way to the broker."""
        before = self._uplink.state
        deadline_s = time.monotonic() + START_DEADLINE_S
        while not await self._uplink.drain():
            if before.batches_total or time.monotonic() > deadline_s:
                raise RuntimeError(f"not delivered: {self._uplink.state.error}")
            await asyncio.sleep(0.05)
        accepted = self._uplink.state.accepted_total - before.accepted_total
        if accepted != self.readings or self._outbox.depth().records:
            raise RuntimeError(f"{accepted} of {self.readings} readings were committed")


class _SinglePosts:
    """A request for each reading, the next one after the answer to the one before."""

    readings = SINGLE_POSTS

    def __init__(self, client: httpx.AsyncClient, plant: Plant) -> None:
        self._client = client
        self._plant = plant
        self._bodies: list[bytes] = []

    def prepare(self) -> None:
        rows = self._plant.rows(SINGLE_POSTS)
        self._bodies = [json_form.write(Batch(GATEWAY, (row,))) for row in rows]

    async def send(self) -> None:
        for body in self._bodies:
            await _post(self._client, body, 1, encoding="identity")


class _JsonBatches:
    """As many requests of 1,000 readings as ours has blocks."""

    readings = BLOCKS * BLOCK_ROWS

    def __init__(self, client: httpx.AsyncClient, plant: Plant) -> None:
        self._client = client
        self._plant = plant
        self._bodies: list[bytes] = []

    def prepare(self) -> None:
        batches = [Batch(GATEWAY, tuple(self._plant.rows(BLOCK_ROWS))) for _ in range(BLOCKS)]
        self._bodies = [gzip.compress(json_form.write(batch), 6) for batch in batches]

    async def send(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(IN_FLIGHT):
                group.create_task(self._send(self._bodies[number::IN_FLIGHT]), name=f"peer {number}")

    async def _send(self, bodies: Sequence[bytes]) -> None:
        for body in bodies:
            await _post(self._client, body, BLOCK_ROWS, encoding="gzip")


_Sender = _Backlog | _SinglePosts | _JsonBatches


class _CountingRelay:
    """Between a gateway and its central; `total` is the bytes of both directions so far."""

    def __init__(self, url: str) -> None:
        target = httpx.URL(url)
        self._host, self._port = target.host, target.port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.url = ""
        self.total = 0

    async def __aenter__(self) -> _CountingRelay:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """After both ends have hung up."""
        assert self._server is not None
        self._server.close()
        await asyncio.gather(*self._connections)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        its_reader, its_writer = await asyncio.open_connection(self._host, self._port)
        async with asyncio.TaskGroup() as group:
            self._connections.add(group.create_task(self._forward(reader, its_writer)))
            self._connections.add(group.create_task(self._forward(its_reader, writer)))

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65_536):
                self.total += len(chunk)
                writer.write(chunk)
                await writer.drain()
        writer.close()


async def _rotated(ours: Side, baseline: Side) -> Comparison:
    """Medians are taken of these; the first round warms both sides up and is not counted."""
    costs: tuple[list[float], list[float]] = ([], [])
    for index in range(ROUNDS + 1):
        for side in (0, 1) if index % 2 == 0 else (1, 0):
            costs[side].append(await (ours, baseline)[side]())
    return Comparison.of(costs[0][1:], costs[1][1:])


def _timed(sender: _Sender) -> Side:
    """Microseconds of wall time per reading."""

    async def side() -> float:
        await asyncio.to_thread(sender.prepare)
        began_s = time.perf_counter()
        await sender.send()
        return (time.perf_counter() - began_s) / sender.readings * 1e6

    return side


def _counted(sender: _Sender, relay: _CountingRelay) -> Side:
    """Bytes per reading."""

    async def side() -> float:
        await asyncio.to_thread(sender.prepare)
        before = relay.total
        await sender.send()
        return (relay.total - before) / sender.readings

    return side


def _block(rows: Sequence[Row]) -> NewBlock:
    times = [row.time_us for row in rows]
    body = wire.encode(Batch(GATEWAY, tuple(rows)))
    return NewBlock(uuid.uuid4().hex, RecordClass.READING, min(times), max(times), len(rows), body)


async def _post(client: httpx.AsyncClient, body: bytes, readings: int, *, encoding: str) -> None:
    headers = {"Idempotency-Key": f"{GATEWAY}:{uuid.uuid4().hex}", "Content-Encoding": encoding}
    answer = await client.post(INGEST_PATH, content=body, headers=headers)
    answer.raise_for_status()
    if (accepted := answer.json()["accepted"]) != readings:
        raise RuntimeError(f"{accepted} of {readings} readings were committed")


def _presence() -> Presence:
    """As an agent sends: the central keeps a lease for it."""
    presence = Presence()
    presence.begin(Sender("a" * 16, 1, secrets.token_hex(5), machine="c" * 12, lease_s=60, site="benchmark"))
    return presence


@contextlib.asynccontextmanager
async def _https(url: str, there: Central) -> AsyncIterator[Transport]:
    transport = HttpsTransport(url, gateway_id=GATEWAY, api_key=there.api_key, presence=_presence())
    try:
        yield transport
    finally:
        await transport.close()


@contextlib.asynccontextmanager
async def _mqtt(port: int) -> AsyncIterator[Transport]:
    transport = MqttTransport(Broker("127.0.0.1", port, tls=None), gateway_id=GATEWAY, presence=_presence())
    try:
        yield transport
    finally:
        await transport.close()


def _client(url: str, there: Central) -> httpx.AsyncClient:
    headers = {"X-API-Key": there.api_key, "Content-Type": wire.JSON_CONTENT_TYPE}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=30.0)
