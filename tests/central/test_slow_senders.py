"""A sender that never finishes is not waited for: its connection is closed, and others are answered meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI

from cloud_sync import wire
from cloud_sync.central.database.store import Store
from cloud_sync.central.ingress.bodies import BodyLimits
from cloud_sync.central.ingress.http import INGEST_PATH, create_app
from cloud_sync.central.server import Listen, running
from cloud_sync.transports.https import HttpsTransport
from tests.contract.check_transport import batch
from tests.support.central import API_KEY

DEADLINE_S = 30.0
REQUEST = (
    f"POST {INGEST_PATH} HTTP/1.1\r\nHost: central\r\nX-API-Key: {API_KEY}\r\nIdempotency-Key: gw-1:b1\r\n"
    "Content-Length: 100000\r\n\r\n"
).encode()


@pytest.fixture
async def url(store: Store) -> AsyncIterator[str]:
    async with running(create_app(store, limits=BodyLimits(idle_s=0.3)), Listen()) as url:
        yield url


@contextlib.asynccontextmanager
async def connection(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_body_that_stops_halfway_is_408_and_the_connection_is_closed(url: str) -> None:
    async with connection(url) as (reader, writer):
        writer.write(REQUEST + b"x" * 10)
        answer = await reader.read()  # until the other side has closed
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"10 bytes" in answer


async def test_a_body_that_drips_is_408_although_each_byte_is_progress(url: str) -> None:
    async with connection(url) as (reader, writer):
        writer.write(REQUEST)
        answering = asyncio.ensure_future(reader.read())
        while not answering.done():
            writer.write(b"x")
            await asyncio.wait([answering], timeout=0.05)
        answer = await answering
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_others_are_answered_while_slow_ones_are_waited_for(store: Store) -> None:
    async with running(create_app(store), Listen()) as url, contextlib.AsyncExitStack() as slow:
        for _ in range(20):
            _, writer = await slow.enter_async_context(connection(url))
            writer.write(REQUEST)
        transport = HttpsTransport(url, gateway_id="gw-1", api_key=API_KEY)
        assert (await transport.send(wire.encode(batch()), batch_id="b1")).accepted == 6
        await transport.close()


@pytest.mark.parametrize("sent", [b"", REQUEST[:40]], ids=["nothing", "half the headers"])
async def test_a_connection_without_a_request_is_closed(store: Store, sent: bytes) -> None:
    async with running(create_app(store), Listen(request_s=0.3)) as url, connection(url) as (reader, writer):
        writer.write(sent)
        assert await reader.read() == b""


async def test_a_kept_connection_waits_for_its_next_request_as_well(store: Store) -> None:
    async with running(create_app(store), Listen(request_s=0.3)) as url, connection(url) as (reader, writer):
        for _ in range(2):
            writer.write(b"GET /health HTTP/1.1\r\nHost: central\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            await reader.readexactly(length)
        writer.write(b"GET /health HTTP")
        assert await reader.read() == b""


async def test_an_answer_that_nobody_reads_is_given_up() -> None:
    """A server that waited for its reader for ever would hold the answer as long."""
    given_up = asyncio.Event()

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"50000001")]})
        await send({"type": "http.response.body", "body": bytes(50_000_000), "more_body": True})
        await send({"type": "http.response.body", "body": b"x"})  # waits until the rest is read, or never will be
        given_up.set()

    app = FastAPI()
    app.mount("/", large)
    with socket.socket() as client:  # nothing of this process reads it
        async with asyncio.timeout(DEADLINE_S), running(app, Listen(request_s=0.3)) as url:
            client.connect(("127.0.0.1", int(url.rpartition(":")[2])))
            client.sendall(b"GET / HTTP/1.1\r\nHost: central\r\n\r\n")
            await given_up.wait()


def test_a_steady_slow_link_may_take_as_long_as_it_needs() -> None:
    limits = BodyLimits(idle_s=30.0, bytes_per_s=500.0)
    assert limits.patience_s(0, 0.0) == 30.0
    assert limits.patience_s(600 * 900, 900.0) == 30.0, "it is faster than the least rate: only a pause ends it"
    assert limits.patience_s(100 * 60, 60.0) < 0, "too slow on the whole"
