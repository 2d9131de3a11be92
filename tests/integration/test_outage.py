"""The whole pipeline from a producer to the committed row, through every kind of outage, key by key.

Real parts: outbox, writer, uplink, HTTPS transport, a relay on the wire, the central as a process, PostgreSQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cloud_sync.central.database.store import Store
from cloud_sync.columns import Record, RowColumns
from cloud_sync.outbox.audit_log import AuditLog, read_audit_log
from cloud_sync.outbox.store import Outbox
from cloud_sync.outbox.writer import OutboxWriter
from cloud_sync.records import Event, EventKind, Row, Series
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.https import HttpsTransport
from cloud_sync.uplink.sender import LinkState, Uplink
from tests.peers.processes import first_line
from tests.support.databases import TEMPLATE as DATABASE
from tests.support.databases import PlainPostgres, execute, make_template, remove, short_folder
from tests.support.relay import Relay, relaying
from tests.support.writing import until

GATEWAY = "gw-1"
API_KEY = "key-of-the-outage-test"
SENSORS = 20
DEADLINE_S = 30.0
BACKLOG_RECORDS = 2_000


class Central:
    """`edge-central serve` as a process that comes back at the same address."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._port = 0
        self._process: subprocess.Popen[str] | None = None

    async def start(self) -> str:
        command = [sys.executable, "-m", "cloud_sync.central.cli.main", "serve", "--exit-with-parent"]
        command += ["--database-url", self._database_url, "--port", str(self._port)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        url: str = json.loads(await asyncio.to_thread(first_line, self._process))["url"]
        self._port = urlsplit(url).port or 0
        return url

    async def end(self, order: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(order)
        with self._process:
            await asyncio.to_thread(self._process.wait, DEADLINE_S)


class Producer:
    """Rows with keys that never come twice, and a gap event now and then."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], float] = {}
        self.events: set[str] = set()
        self._series = [
            Series(f"pump-{n:02d}.de-x.rms", "vibration", "g", {"asset": f"pump-{n:02d}"}) for n in range(SENSORS)
        ]
        self._start_us = time.time_ns() // 1000 - 3_600_000_000

    async def run(self, writer: OutboxWriter) -> None:
        while True:
            await writer.put(self._next_records())
            await asyncio.sleep(0.002)

    def _next_records(self) -> list[Record]:
        number = len(self.rows) // SENSORS
        time_us = self._start_us + number * 10_001
        rows = [Row(s, time_us, math.sin(number + n / SENSORS), 1.0) for n, s in enumerate(self._series)]
        self.rows |= {row.key: row.value for row in rows}
        if number % 50:
            return [RowColumns.of(rows)]
        event = Event(f"gap-{number}", EventKind.GAP, "pump-00", time_us, {"number": number})
        self.events.add(event.event_id)
        return [RowColumns.of(rows), event]


class Gateway:
    """The agent half over one outbox file; every start is a new life of it."""

    def __init__(self, folder: Path, url: str, producer: Producer) -> None:
        self.audit_log = folder / "keys"
        self.outbox = Outbox(folder / "outbox.db", max_bytes=100_000_000)
        self._url = url
        self._producer = producer
        self.uplink: Uplink
        self.writer: OutboxWriter

    @contextlib.asynccontextmanager
    async def life(self) -> AsyncIterator[None]:
        """Producing, storing and sending; at the end all that was put is flushed, as the agent does it."""
        transport = HttpsTransport(
            self._url, gateway_id=GATEWAY, api_key=API_KEY, connection=ConnectionOptions(answer_timeout_s=5.0)
        )
        with self.outbox:
            self.uplink = Uplink(self.outbox, transport, backoff_max_s=0.2)
            self.writer = OutboxWriter(
                self.outbox,
                gateway_id=GATEWAY,
                flush_interval_s=0.02,
                audit_log=AuditLog(self.audit_log),
                on_flush=self.uplink.wake,
            )
            async with asyncio.TaskGroup() as group:
                parts = [self._producer.run(self.writer), self.writer.run(), self.uplink.run()]
                tasks = [group.create_task(part) for part in parts]
                yield
                for task in tasks:
                    task.cancel()
            assert await self.writer.flush()
            await transport.close()

    async def online(self) -> None:
        settled = self.uplink.state.batches_total
        await until(
            lambda: self._is(LinkState.ONLINE) and self.uplink.state.batches_total > settled, deadline_s=DEADLINE_S
        )

    async def cut_off(self) -> None:
        """Until the link is known to be gone and a backlog has grown."""
        await until(lambda: self._is(LinkState.OFFLINE), deadline_s=DEADLINE_S)
        flushed = self.writer.state.flushed_total
        await until(lambda: self.writer.state.flushed_total > flushed + BACKLOG_RECORDS, deadline_s=DEADLINE_S)

    def _is(self, link: LinkState) -> bool:
        return self.uplink.state.link is link


@pytest.fixture
async def postgres() -> AsyncIterator[PlainPostgres]:
    folder = short_folder()
    server = PlainPostgres(folder)
    async with server.postgres:
        await make_template(server)
        async with Store(server.url(DATABASE)) as store:
            await store.add_key(API_KEY, gateway_id=GATEWAY)
        yield server
    remove(server.postgres.home.socket_dir)
    remove(folder)


@pytest.fixture
async def central(postgres: PlainPostgres) -> AsyncIterator[Central]:
    central = Central(postgres.url(DATABASE))
    try:
        yield central
    finally:
        await central.end(signal.SIGKILL)


async def lost_answers(relay: Relay, gateway: Gateway, count: int) -> None:
    for _ in range(count):
        relay.drop_next_answer = True
        await until(lambda: not relay.drop_next_answer, deadline_s=DEADLINE_S)
        await gateway.online()


async def committed_rows(url: str) -> list[tuple[tuple[str, int], float]]:
    statement = (
        "SELECT sensor_id, (extract(epoch FROM timestamp) * 1000000)::bigint AS time_us, value FROM sensor_readings"
    )
    return [((row["sensor_id"], row["time_us"]), row["value"]) for row in await execute(url, statement)]


async def test_every_durable_key_arrives_exactly_once_through_every_outage(
    postgres: PlainPostgres, central: Central, tmp_path: Path
):
    url = postgres.url(DATABASE)
    producer = Producer()
    async with relaying(await central.start()) as relay:
        gateway = Gateway(tmp_path, relay.url, producer)
        async with gateway.life():
            await gateway.online()

            await central.end(signal.SIGKILL)
            await gateway.cut_off()
            await central.start()
            await gateway.online()

            await lost_answers(relay, gateway, 3)

            await postgres.kill()
            await gateway.cut_off()
            await postgres.start()
            await gateway.online()

            await central.end(signal.SIGTERM)
            await gateway.cut_off()
        backlog = len(list(read_audit_log(gateway.audit_log)))

        async with gateway.life():  # the agent starts again while the central is still away
            await gateway.cut_off()
            await central.start()
            await gateway.online()
        await _sent_to_the_end(gateway, relay.url)

    expected, arrived = dict.fromkeys(read_audit_log(gateway.audit_log)), await committed_rows(url)
    assert len(expected) > backlog > 4 * BACKLOG_RECORDS
    assert set(expected) == set(producer.rows)
    assert len(arrived) == len(expected)
    assert dict(arrived) == producer.rows
    events = [row["event_id"] for row in await execute(url, "SELECT event_id FROM edge_events")]
    assert sorted(events) == sorted(producer.events)
    with gateway.outbox as outbox:
        counters, depth = outbox.counters(), outbox.depth()
    assert (depth.records, depth.dead_letters) == (0, 0)
    assert counters["accepted"] + counters["duplicates"] == counters["appended"]
    assert counters["appended"] == len(producer.rows) + len(producer.events)
    assert counters["duplicates"] > 0  # answers were lost, and what they were about was sent again


async def _sent_to_the_end(gateway: Gateway, url: str) -> None:
    """What the last life had flushed after its last word."""
    transport = HttpsTransport(url, gateway_id=GATEWAY, api_key=API_KEY)
    with gateway.outbox as outbox:
        assert await Uplink(outbox, transport, backoff_max_s=0.2).drain()
    await transport.close()
