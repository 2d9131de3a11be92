"""How each answer and each failure of the link is named. A scripted server on a real socket gives the answers."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import inspect
import json
import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from cloud_sync import wire
from cloud_sync.central.database.store import Store
from cloud_sync.central.ingress.http import create_app
from cloud_sync.central.server import Listen, running
from cloud_sync.errors import (
    BatchRefusedError,
    BatchTooLargeError,
    CredentialsError,
    SyncError,
    TransientSyncError,
)
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.http_central import retry_after_s
from cloud_sync.transports.http_errors import translated
from cloud_sync.transports.https import HttpsTransport
from tests.contract.check_transport import batch
from tests.support.authority import Authority
from tests.support.central import API_KEY
from tests.support.sockets import listening

SECRET = "s3cr3t-key-that-must-not-be-seen"  # noqa: S105 (invented)
GOOD = {"batch_id": "b1", "committed": True, "accepted": 6, "duplicates": 0, "rejected": []}
NOW = datetime.datetime(2025, 6, 15, 12, 0, tzinfo=datetime.UTC)
ANSWER_TIMEOUT_S = 20.0
JSON = "Content-Type: application/json"


@contextlib.asynccontextmanager
async def answering(raw: bytes, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that reads one request and answers with these bytes. Hands out its URL and the request heads."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(raw)
        await writer.drain()

    async with listening(answer, tls=tls) as port:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}", heads


async def send(url: str, ca_file: Path | None = None):
    connection = ConnectionOptions(ca_file, connect_timeout_s=10, answer_timeout_s=ANSWER_TIMEOUT_S)
    transport = HttpsTransport(url, gateway_id="gw-1", api_key=SECRET, connection=connection)
    try:
        return await transport.send(wire.encode(batch()), batch_id="b1")
    finally:
        await transport.close()


def reply(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} said", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_the_request_carries_the_agreed_headers_and_the_stored_bytes():
    async with answering(reply(200, json.dumps(GOOD).encode())) as (url, heads):
        settlement = await send(url + "/")
    assert len(settlement) == 6
    head = heads[0].decode().lower()
    assert head.startswith("post /api/v1/data/ingest/batch http/1.1")
    for line in (
        "idempotency-key: gw-1:b1",
        f"x-api-key: {SECRET}",
        "content-encoding: zstd",
        f"content-type: {wire.CONTENT_TYPE}",
        f"content-length: {len(wire.encode(batch()))}",
    ):
        assert line in head


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, CredentialsError), (403, CredentialsError), (413, BatchTooLargeError), (422, BatchRefusedError)]
    + [(status, TransientSyncError) for status in (201, 204, 301, 307, 400, 404, 408, 429, 500, 502, 503, 504)],
)  # fmt: skip
async def test_each_status_is_the_error_that_says_what_to_do(status: int, error: type[SyncError]):
    async with answering(reply(status, b'{"detail": "in its own words"}', JSON)) as (url, _):
        with pytest.raises(error) as caught:
            await send(url)
    assert type(caught.value) is error
    assert SECRET not in str(caught.value)


async def test_the_centrals_own_words_are_passed_on_but_a_proxys_page_is_not():
    async with answering(reply(422, b'{"detail": "row 3 is odd"}', JSON)) as (url, _):
        with pytest.raises(BatchRefusedError, match="row 3 is odd"):
            await send(url)
    async with answering(reply(502, b"<html>" + b"x" * 5_000)) as (url, _):
        with pytest.raises(TransientSyncError) as caught:
            await send(url)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "change",
    [{"committed": False}, {"committed": 1}, {"batch_id": "b2"}, {"accepted": -1}, {"accepted": True},
     {"accepted": "6"}, {"duplicates": None}, {"rejected": [{"index": 0}]}, {"rejected": None},
     {"rejected": [{"index": 0, "code": 3, "detail": ""}]},
     {"rejected": [{"index": 0, "code": "a", "detail": ""}] * 2}],
)  # fmt: skip
async def test_a_200_that_does_not_settle_this_batch_settles_nothing(change: dict[str, object]):
    async with answering(reply(200, json.dumps(GOOD | change).encode())) as (url, _):
        with pytest.raises(TransientSyncError, match="does not settle batch b1"):
            await send(url)


@pytest.mark.parametrize("body", [b"", b"<html>please log in</html>", b"[]", b"null", b"[" * 50_000])
async def test_a_200_of_somebody_else_settles_nothing(body: bytes):
    async with answering(reply(200, body)) as (url, _):
        with pytest.raises(TransientSyncError, match="does not settle"):
            await send(url)


NO_WHOLE_ANSWERS = [
    b"",
    b"SSH-2.0-OpenSSH\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
]


@pytest.mark.parametrize("raw", NO_WHOLE_ANSWERS)
async def test_bytes_that_are_no_whole_answer_are_transient(raw: bytes):
    async with answering(raw) as (url, _):
        with pytest.raises(TransientSyncError):
            await send(url)


@pytest.mark.parametrize(
    ("header", "expected_s"),
    [("17", 17.0), ("0", 0.0), ("99999999", 3_600.0), ("Sun, 15 Jun 2025 12:00:30 GMT", 30.0),
     ("Sun, 15 Jun 2025 11:00:00 GMT", 0.0), ("soon", None), ("", None), ("-5", None), ("²", None), ("1.5", None),
     ("9" * 5_000, 3_600.0), ("Mon, 01 Jan 2026 99999999999999999999:00:00 GMT", None),
     ("Fri, 31 Dec 9999999 23:59:59 GMT", None), ("Fri, 31 Dec 9999 23:59:59 GMT", 3_600.0),
     ("Sun, 15 Jun 2025 12:00:30 +9999", None), ("Sun, 99 Jun 2025 12:00:30 GMT", None),
     ("Sun, 00 Xyz 0000 00:00:00 GMT", None)],
)  # fmt: skip
def test_retry_after_is_read_in_both_forms(header: str, expected_s: float | None):
    headers = httpx.Headers([(b"Retry-After", header.encode())])
    assert retry_after_s(headers, now=NOW) == expected_s


async def test_retry_after_reaches_the_caller():
    async with answering(reply(503, b'{"detail": "busy"}', JSON, "Retry-After: 17")) as (url, _):
        with pytest.raises(TransientSyncError) as caught:
            await send(url)
    assert caught.value.retry_after_s == 17.0


async def test_nobody_listening_is_transient():
    async with answering(b"") as (url, _):
        pass
    with pytest.raises(TransientSyncError):
        await send(url)


LIBRARY_ERRORS = [
    item for _, item in inspect.getmembers(httpx, inspect.isclass) if issubclass(item, Exception)
]  # fmt: skip


@pytest.mark.parametrize("error", LIBRARY_ERRORS, ids=lambda error: error.__name__)
def test_every_error_of_the_library_is_translated(error: type[Exception]):
    with pytest.raises(TransientSyncError), translated("there"):
        raise error.__new__(error, "broken")


def test_the_library_has_errors_to_translate():
    assert {httpx.ReadTimeout, httpx.ConnectError, httpx.InvalidURL, httpx.StreamClosed} <= set(LIBRARY_ERRORS)


async def test_a_url_that_is_none_is_transient_not_a_library_error():
    with pytest.raises(TransientSyncError):
        await send("htps://nowhere")


@pytest.mark.parametrize("key", ["", "  ", "two words", "line\nbreak", "schlüssel"])
def test_a_key_no_header_can_carry_is_refused_without_showing_it(key: str):
    with pytest.raises(CredentialsError) as caught:
        HttpsTransport("http://localhost", gateway_id="gw-1", api_key=key)
    assert not key.strip() or key not in str(caught.value)


async def test_the_key_is_in_no_repr_and_no_log(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    transport = HttpsTransport("http://localhost", gateway_id="gw-1", api_key=SECRET)
    assert SECRET not in repr(transport)
    await transport.close()
    async with answering(reply(500)) as (url, _):
        with pytest.raises(TransientSyncError):
            await send(url)
    assert SECRET not in caplog.text


def test_a_ca_file_that_cannot_be_read_is_named(tmp_path: Path):
    (tmp_path / "empty.pem").write_text("not a certificate")
    for name in ("absent.pem", "empty.pem"):
        with pytest.raises(CredentialsError, match=name):
            HttpsTransport(
                "https://x", gateway_id="gw-1", api_key=SECRET, connection=ConnectionOptions(tmp_path / name)
            )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def over_tls(issued: tuple[Path, Path], ca_file: Path | None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*issued)
    async with answering(reply(200, json.dumps(GOOD).encode()), tls=context) as (url, _):
        return await send(url, ca_file=ca_file)


async def test_a_certificate_of_the_named_ca_is_trusted(authority: Authority):
    assert len(await over_tls(authority.issue(), authority.ca_file)) == 6


@pytest.mark.parametrize(
    ("options", "words"),
    [({"days": (-10, -1)}, "has expired"), ({"days": (1, 10)}, "is not valid yet"),
     ({"address": "192.0.2.1"}, "is for another address")],
)  # fmt: skip
async def test_what_is_wrong_with_a_certificate_is_said(authority: Authority, options, words: str):
    with pytest.raises(TransientSyncError, match=words) as caught:
        await over_tls(authority.issue(**options), authority.ca_file)
    assert caught.value.hint


async def test_an_unknown_ca_is_said(authority: Authority):
    with pytest.raises(TransientSyncError, match="unknown CA") as caught:
        await over_tls(authority.issue(), None)
    assert "ca_file" in str(caught.value.hint)


async def test_plain_http_where_tls_is_expected_is_said():
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(reply(400))
        await writer.drain()

    async with listening(refuse) as port:
        with pytest.raises(TransientSyncError) as caught:
            await send(f"https://127.0.0.1:{port}")
    assert "plain http" in str(caught.value.hint)


async def test_tls_where_plain_http_is_spoken_is_said():
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, as uvicorn sends it
        writer.transport.abort()

    async with listening(hang_up) as port:
        with pytest.raises(TransientSyncError, match="the connection was lost before an answer") as caught:
            await send(f"http://127.0.0.1:{port}")
    assert "https" in str(caught.value.hint)


async def test_the_real_service_takes_batches_over_tls(authority: Authority, store: Store):
    chain, key = authority.issue()
    async with running(create_app(store), Listen(tls_cert=chain, tls_key=key)) as url:
        transport = HttpsTransport(
            url, gateway_id="gw-1", api_key=API_KEY, connection=ConnectionOptions(authority.ca_file)
        )
        settlement = await transport.send(wire.encode(batch()), batch_id="b1")
        await transport.close()
    assert url.startswith("https://")
    assert settlement.accepted == 6
