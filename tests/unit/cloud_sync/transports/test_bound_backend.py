"""Requests that leave this box by one of its links, in the clear and over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_sync.errors import TransientSyncError
from cloud_sync.transports.connection import ConnectionOptions, LinkUse
from cloud_sync.transports.http_exchange import HttpExchange
from cloud_sync.transports.link_meter import LinkMeter
from cloud_sync.transports.local_end import LocalEnd
from cloud_sync.transports.tls import ClientTls
from tests.support.authority import Authority
from tests.support.sockets import listening

DEADLINE_S = 60.0
BODY = b"x" * 100_000


class Central:
    """Answers each request with {}, ends a connection after `requests` of them; knows from where it was asked."""

    def __init__(self, requests: int) -> None:
        self.asked_from: list[str] = []
        self.connections = 0
        self._requests = requests

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        for _ in range(self._requests):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(len(BODY) if b"POST" in head else 0)
            except asyncio.IncompleteReadError:
                return
            self.asked_from.append(writer.get_extra_info("peername")[0])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()


@contextlib.asynccontextmanager
async def central(tls: Authority | None, *, requests: int = 10) -> AsyncIterator[tuple[str, Central]]:
    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls.issue())
    server = Central(requests)
    async with listening(server.answer, tls=context) as port:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}/", server


async def ask(url: str, options: ConnectionOptions, *, times: int = 2) -> None:
    http = HttpExchange(headers={}, tls=ClientTls(options.ca_file), connection=options)
    async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(http):
        for _ in range(times):
            assert (await http.ask("POST", url, body=BODY)).status == 200


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    ("end", "seen"),
    [
        (LocalEnd(source_address="127.0.0.2"), "127.0.0.2"),
        pytest.param(LocalEnd(interface="lo"), "127.0.0.1", marks=pytest.mark.root),
        pytest.param(LocalEnd("lo", "127.0.0.3"), "127.0.0.3", marks=pytest.mark.root),
    ],
    ids=["address", "interface", "both"],
)
async def test_requests_come_from_the_end_that_is_named_over_one_connection(
    tmp_path: Path, end: LocalEnd, seen: str, is_secure: bool
):
    authority = Authority(tmp_path) if is_secure else None
    meter = LinkMeter()
    options = ConnectionOptions(ca_file=authority.ca_file if authority else None, use=LinkUse(meter.of("lte")), end=end)
    async with central(authority) as (url, server):
        await ask(url, options)
    assert server.asked_from == [seen] * 2
    assert server.connections == 1
    assert meter.total.sent > 2 * len(BODY)
    assert meter.parts["lte"].total == meter.total


async def test_a_connection_that_the_other_side_closed_is_made_again():
    async with central(None, requests=1) as (url, server):
        await ask(url, ConnectionOptions(end=LocalEnd(source_address="127.0.0.2")), times=3)
    assert server.connections == 3


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (LocalEnd(source_address="192.0.2.7"), "does not have the address 192.0.2.7"),
        (LocalEnd(source_address="::1"), "has no address of the kind of ::1"),
        pytest.param(LocalEnd(interface="wwan9"), "no network interface wwan9", marks=pytest.mark.root),
    ],
    ids=["address", "kind", "interface"],
)
async def test_a_link_that_is_not_there_is_a_failure_with_its_name(end: LocalEnd, words: str):
    async with central(None) as (url, _):
        with pytest.raises(TransientSyncError, match=words) as caught:
            await ask(url, ConnectionOptions(end=end))
    assert caught.value.hint


async def test_nobody_there_and_no_trust_are_told_as_without_a_link(tmp_path: Path):
    options = ConnectionOptions(end=LocalEnd(source_address="127.0.0.2"))
    async with central(Authority(tmp_path)) as (url, _):
        with pytest.raises(TransientSyncError, match="certificate"):
            await ask(url, options)
    with pytest.raises(TransientSyncError, match="refused"):
        await ask(url, replace(options, connect_timeout_s=5.0))
