"""What is said of a central that never answered: each cause with its own words and its own remedy."""

from __future__ import annotations

import asyncio
import socket

import pytest

from cloud_sync import wire
from cloud_sync.errors import TransientSyncError
from cloud_sync.records import Batch
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.https import HttpsTransport
from tests.support.sockets import listening

QUICK = ConnectionOptions(connect_timeout_s=5.0, answer_timeout_s=5.0)
PAGE = b"<!DOCTYPE html><title>Hotel</title>log in"


async def words_of(url: str) -> tuple[str, str]:
    transport = HttpsTransport(url, gateway_id="gw", api_key="k", connection=QUICK)
    try:
        with pytest.raises(TransientSyncError) as found:
            await transport.send(wire.encode(Batch("gw")), batch_id="b")
    finally:
        await transport.close()
    return found.value.message, found.value.hint or ""


async def test_a_name_that_nobody_knows() -> None:
    what, do = await words_of("https://central.invalid")
    assert what.endswith(": no such name")
    assert "DNS" in do


async def test_a_port_where_nobody_listens() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        what, do = await words_of(f"https://127.0.0.1:{closed.getsockname()[1]}")
    assert what.endswith("nobody listens there: connection refused")
    assert "host and port in central.url" in do


async def test_a_login_page_in_the_centrals_place() -> None:
    async def portal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % len(PAGE) + PAGE)
        await writer.drain()
        await reader.read()

    async with listening(portal) as port:
        what, do = await words_of(f"http://127.0.0.1:{port}")
    assert what == (
        f"something that does not say its name at 127.0.0.1:{port} answered 200: the answer does not settle batch b: "
        "it is a web page"
    )
    assert "portal" in do


@pytest.mark.parametrize(
    ("answer", "words"),
    [(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "was cut short on the way (received 1 bytes, expected 99"),
     (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "the answer was cut short on the way"),
     (b"", "the connection was closed before an answer")],
)  # fmt: skip
async def test_an_answer_that_is_cut_short_is_said_as_that(answer: bytes, words: str) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with listening(cut) as port:
        what, do = await words_of(f"http://127.0.0.1:{port}")
    assert words in what
    assert "proxy or firewall" in do


async def test_a_redirect_is_not_followed_and_the_key_stays_here() -> None:
    asked: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(1))

    async with listening(elsewhere) as there:

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            head = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://localhost:%d/\r\nContent-Length: 0\r\n\r\n"
            writer.write(head % there)
            await writer.drain()

        async with listening(redirect) as port:
            what, do = await words_of(f"http://127.0.0.1:{port}")
    assert f"it redirects to http://localhost:{there}/" in what
    assert "the key stays here" in do
    assert asked == []
