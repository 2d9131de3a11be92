"""The second handshake with one server is short, and never stands on what is no longer shown or trusted."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud_sync.errors import TransientSyncError
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.http_exchange import HttpExchange
from cloud_sync.transports.tls import ClientCertificate, ClientTls
from tests.support.authority import Authority
from tests.support.sockets import listening

DEADLINE_S = 60.0


class Server:
    """Says of each connection whether its session was known, and ends it after one answer."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.was_reused: list[bool] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        async with listening(self._answer, tls=self.context) as port:
            yield f"https://127.0.0.1:{port}/"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.was_reused.append(bool(writer.get_extra_info("ssl_object").session_reused))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def context_of(authority: Authority, *, most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue())
    context.maximum_version = most
    return context


async def ask(url: str, tls: ClientTls) -> None:
    connection = ConnectionOptions(tls.ca_file)
    http = HttpExchange(headers={}, tls=tls, connection=connection)
    async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(http):
        assert (await http.ask("GET", url)).status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_is_taken_up_again(authority: Authority, version: ssl.TLSVersion):
    server, tls = Server(context_of(authority, most=version)), ClientTls(authority.ca_file)
    async with server.running() as url:
        for _ in range(3):
            await ask(url, tls)
        await ask(url, ClientTls(authority.ca_file))  # of another client nothing is known
    assert server.was_reused == [False, True, True, False]


async def test_a_server_that_forgot_it_makes_a_whole_handshake(authority: Authority):
    tls = ClientTls(authority.ca_file)
    contexts = [context_of(authority), context_of(authority)]
    seen = []
    for context in contexts:
        server = Server(context)
        async with server.running() as url:
            await ask(url, tls)
            await ask(url, tls)
        seen += server.was_reused
    assert seen == [False, True, False, True]


async def test_a_renewed_certificate_is_shown_and_no_old_session(authority: Authority, tmp_path: Path):
    context = context_of(authority)
    context.load_verify_locations(authority.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    server, own = Server(context), ClientCertificate(*authority.issue(name="gw"))
    tls = ClientTls(authority.ca_file, own)
    async with server.running() as url:
        await ask(url, tls)
        await ask(url, tls)
        authority.issue(name="gw")
        await ask(url, tls)
        own.private_key_file.write_text("half")  # the former pair stays in use, and so does its session
        await ask(url, tls)
    assert server.was_reused == [False, True, False, True]


async def test_a_server_with_another_certificate_is_not_trusted_for_an_old_session(
    authority: Authority, tmp_path: Path
):
    tls = ClientTls(authority.ca_file)
    server = Server(context_of(authority))
    async with server.running() as url:
        await ask(url, tls)
    (tmp_path / "other").mkdir()
    stranger = Server(context_of(Authority(tmp_path / "other")))
    async with stranger.running() as url:
        with pytest.raises(TransientSyncError, match="unknown CA"):
            await ask(url, tls)
    assert stranger.was_reused == []
