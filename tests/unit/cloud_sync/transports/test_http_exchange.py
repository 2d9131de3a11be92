"""One deadline and one bound for the whole answer, against a server that sends what it likes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_sync.errors import TransientSyncError
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.http_exchange import HttpExchange
from cloud_sync.transports.tls import ClientTls, trusting
from tests.support.sockets import listening

DEADLINE_S = 60.0
SHORT_S = 0.3
LONG_S = 50.0
PATIENT = ConnectionOptions(connect_timeout_s=LONG_S, answer_timeout_s=LONG_S)
Write = Callable[[bytes], Awaitable[None]]


@contextlib.asynccontextmanager
async def exchange_with(
    answer: Callable[[Write], Awaitable[None]], *, answer_timeout_s: float = LONG_S
) -> AsyncIterator[tuple[HttpExchange, str]]:
    """A client, and the URL of a server that reads a request whole and then lets `answer` write."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), b":0")
            await reader.readexactly(int(length.split(b":")[1]))
            await answer(write)

    async with listening(handle) as port, asyncio.timeout(DEADLINE_S):
        connection = replace(PATIENT, answer_timeout_s=answer_timeout_s)
        http = HttpExchange(headers={}, tls=ClientTls(), connection=connection)
        async with contextlib.aclosing(http):
            yield http, f"http://127.0.0.1:{port}/"


def always(data: bytes) -> Callable[[Write], Awaitable[None]]:
    return lambda write: write(data)


def dripping(first: bytes, drop: bytes) -> Callable[[Write], Awaitable[None]]:
    async def answer(write: Write) -> None:
        await write(first)
        while True:
            await write(drop)
            await asyncio.sleep(SHORT_S / 20)

    return answer


def for_ever(first: bytes, more: bytes) -> Callable[[Write], Awaitable[None]]:
    async def answer(write: Write) -> None:
        await write(first)
        while True:
            await write(more)

    return answer


OK = b"HTTP/1.1 200 OK\r\n"
SLOW = {
    "status": dripping(b"", b"H"),
    "headers": dripping(OK, b"a"),
    "many headers": dripping(OK, b"a: b\r\n"),
    "information": dripping(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "body": dripping(OK + b"Content-Length: 1000000\r\n\r\n", b"x"),
    "chunks": dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "trailers": dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n"),
}


@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_an_answer_in_drops_ends_at_the_deadline(answer: Callable[[Write], Awaitable[None]], method: str):
    async with exchange_with(answer, answer_timeout_s=SHORT_S) as (http, url):
        # A GET is given the time to connect as well: of that there is more here than the test has.
        http._unsent_s = SHORT_S
        with pytest.raises(TransientSyncError, match="no whole answer in time"):
            await http.ask(method, url, body=b"x" if method == "POST" else b"")


ENDLESS = {
    "headers": (for_ever(OK, b"a: b\r\n"), "too large|exceed|too long|limit"),
    "one header": (for_ever(OK + b"a: ", b"a" * 65_536), "too large|exceed|too long|limit"),
    "body": (for_ever(OK + b"\r\n", b"x" * 65_536), "longer than 100000 bytes"),
    "chunks": (for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"4\r\nxxxx\r\n" * 1_000), "longer than 1"),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "named"), ENDLESS.values(), ids=ENDLESS)
async def test_an_answer_without_end_is_cut_at_the_bound(answer: Callable[[Write], Awaitable[None]], named: str):
    async with exchange_with(answer) as (http, url):
        with pytest.raises(TransientSyncError, match=named):
            await http.ask("POST", url, body=b"x", max_bytes=100_000)


@pytest.mark.parametrize("encoding", ["zstd", "gzip", "br", "gzip, gzip, gzip", "odd"])
async def test_nothing_is_unpacked(encoding: str):
    packed = f"Content-Encoding: {encoding}\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    async with exchange_with(always(OK + packed)) as (http, url):
        with pytest.raises(TransientSyncError) as caught:
            await http.ask("POST", url, body=b"x")
    assert caught.value.message.isprintable()
    async with exchange_with(always(b"HTTP/1.1 404 No\r\n" + packed)) as (http, url):
        answer = await http.ask("POST", url, body=b"x")
    assert (answer.status, answer.body) == (404, b"")


async def test_no_cookie_is_kept():
    heads: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(OK + b"Set-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n")

    async with listening(handle) as port, asyncio.timeout(DEADLINE_S):
        http = HttpExchange(headers={}, tls=ClientTls(), connection=PATIENT)
        async with contextlib.aclosing(http):
            for _ in range(2):
                await http.ask("GET", f"http://127.0.0.1:{port}/")
    assert len(heads) == 2
    assert b"ookie" not in heads[1]


@pytest.mark.parametrize(
    ("variable", "value"),
    [("http_proxy", "http://secret:word@corp:abc"), ("HTTP_PROXY", "ftp://127.0.0.1:1"), ("all_proxy", "\udcff"),
     ("NO_PROXY", "[::1")],
)  # fmt: skip
async def test_a_proxy_variable_that_cannot_be_used_is_a_failure_of_the_link_named_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
):
    async with exchange_with(always(OK + b"Content-Length: 2\r\n\r\n{}")) as (http, url):
        monkeypatch.setenv(variable, value)
        if variable == "NO_PROXY":
            monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        with pytest.raises(TransientSyncError, match=f"variable {variable} cannot be used") as caught:
            await http.ask("POST", url, body=b"x")
        assert caught.value.message.isprintable()
        assert "word" not in caught.value.message
        monkeypatch.delenv(variable)
        monkeypatch.delenv("HTTP_PROXY", raising=False)
        assert (await http.ask("POST", url, body=b"x")).status == 200


async def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch):
    async with exchange_with(always(OK + b"\r\n")) as (http, url):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        with pytest.raises(TransientSyncError) as caught:
            await http.ask("POST", url, body=b"x")
    assert "the proxy at http://127.0.0.1:1 (HTTP_PROXY): nobody listens there" in caught.value.message
    assert "HTTP_PROXY" in str(caught.value.hint)


def test_the_environment_makes_no_connection_tell_its_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for place in (tmp_path / "keys", tmp_path / "none" / "keys"):
        monkeypatch.setenv("SSLKEYLOGFILE", str(place))
        assert trusting(None).keylog_filename is None
        assert not place.exists()
