"""HTTPS and HTTP through proxies that others wrote, to a server that says who asked it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from cloud_sync.errors import TransientSyncError
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.http_exchange import HttpExchange
from cloud_sync.transports.proxies.choice import DIRECT, ProxyChoice
from cloud_sync.transports.proxies.proxy import Proxy
from cloud_sync.transports.tls import ClientTls
from tests.peers.proxies import PASSWORD, USERNAME, microsocks, tinyproxy
from tests.support.authority import Authority
from tests.support.sockets import free_port, listening

DEADLINE_S = 60.0
WRONG = "wrong"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextlib.asynccontextmanager
async def central(tls: Authority | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers each request with {}, and the request lines it saw."""
    seen: list[bytes] = []
    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls.issue())

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            seen.append(head.split(b"\r\n")[0])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with listening(answer, tls=context) as port:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}/", seen


async def ask(url: str, connection: ConnectionOptions) -> int:
    """Ask twice over one connection. Returns the second status."""
    http = HttpExchange(headers={}, tls=ClientTls(connection.ca_file), connection=connection)
    async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(http):
        await http.ask("GET", url)
        return (await http.ask("GET", url)).status


async def refused(url: str, proxy: Proxy, authority: Authority) -> TransientSyncError:
    with pytest.raises(TransientSyncError) as caught:
        await ask(url, ConnectionOptions(authority.ca_file, proxy=ProxyChoice(proxy)))
    assert caught.value.message.startswith(f"{url}: {proxy.in_words}")
    return caught.value


@pytest.mark.parametrize("with_password", [False, True])
@pytest.mark.parametrize("with_tls", [False, True])
async def test_an_http_proxy_lets_https_and_http_through(
    tmp_path: Path, authority: Authority, with_tls: bool, with_password: bool
):
    signs_in = (USERNAME, PASSWORD) if with_password else (None, None)
    async with (
        tinyproxy(tmp_path, with_password=with_password) as port,
        central(authority if with_tls else None) as (url, seen),
    ):
        choice = ProxyChoice(Proxy("http", "127.0.0.1", port, *signs_in))
        assert await ask(url, ConnectionOptions(authority.ca_file, proxy=choice)) == 200
        direct = ConnectionOptions(authority.ca_file, proxy=DIRECT)
        assert await ask(url, direct) == 200
    assert seen == [b"GET / HTTP/1.1"] * 4


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("with_password", [False, True])
async def test_a_socks_proxy_lets_https_through(authority: Authority, scheme: str, with_password: bool):
    signs_in = (USERNAME, PASSWORD) if with_password else (None, None)
    async with microsocks(with_password=with_password) as port, central(authority) as (url, seen):
        choice = ProxyChoice(Proxy(scheme, "127.0.0.1", port, *signs_in))
        assert await ask(url, ConnectionOptions(authority.ca_file, proxy=choice)) == 200
    assert len(seen) == 2


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_the_environment_names_a_proxy_when_no_setting_does(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, variable: str
):
    async with tinyproxy(tmp_path, with_password=True) as port, central(authority) as (url, _):
        monkeypatch.setenv(variable, f"http://{USERNAME}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}")
        assert await ask(url, ConnectionOptions(authority.ca_file)) == 200
        monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
        with pytest.raises(TransientSyncError, match=f"{variable}\\) answers 407"):
            await ask(url, ConnectionOptions(authority.ca_file))
        monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
        assert await ask(url, ConnectionOptions(authority.ca_file)) == 200


async def test_each_refusal_of_an_http_proxy_is_named(tmp_path: Path, authority: Authority):
    only_443 = ("ConnectPort 443",)
    async with tinyproxy(tmp_path, lines=only_443) as port, central(authority) as (url, seen):
        proxy = Proxy("http", "127.0.0.1", port)
        assert "answers 403: it does not allow" in (await refused(url, proxy, authority)).message
    async with tinyproxy(tmp_path, with_password=True) as port, central(authority) as (url, seen):
        proxy = Proxy("http", "127.0.0.1", port)
        error = await refused(url, proxy, authority)
        assert "answers 407: it wants a user name and password" in error.message
        assert "central.proxy.username" in str(error.hint)
        error = await refused(url, replace(proxy, username=USERNAME, password=WRONG), authority)
        assert "does not take this user name and password" in error.message
        nobody = f"https://127.0.0.1:{free_port()}/"
        error = await refused(nobody, replace(proxy, username=USERNAME, password=PASSWORD), authority)
        assert "it does not reach 127.0.0.1:" in error.message
    assert seen == []


async def test_plain_http_through_a_proxy_that_wants_a_password_names_the_proxy(tmp_path: Path, authority: Authority):
    async with tinyproxy(tmp_path, with_password=True) as port, central(None) as (url, seen):
        error = await refused(url, Proxy("http", "127.0.0.1", port), authority)
    assert "answers 407: it wants a user name and password" in error.message
    assert seen == []


async def test_each_refusal_of_a_socks_proxy_is_named(authority: Authority):
    async with microsocks(with_password=True) as port, central(authority) as (url, seen):
        proxy = Proxy("socks5h", "127.0.0.1", port)
        assert "wants a user name and password" in (await refused(url, proxy, authority)).message
        wrong = replace(proxy, username=USERNAME, password=WRONG)
        assert "does not take this user name and password" in (await refused(url, wrong, authority)).message
        right = replace(proxy, username=USERNAME, password=PASSWORD)
        nobody = f"https://127.0.0.1:{free_port()}/"
        assert "connection refused" in (await refused(nobody, right, authority)).message
    assert seen == []


async def test_a_proxy_that_is_not_there_and_one_of_another_kind_are_told_apart(tmp_path: Path, authority: Authority):
    url = "https://central.invalid/"
    gone = Proxy("http", "127.0.0.1", free_port(), source="HTTPS_PROXY")
    error = await refused(url, gone, authority)
    assert "nobody listens there: connection refused" in error.message
    assert "HTTPS_PROXY" in str(error.hint)
    assert "no such name" in (await refused(url, Proxy("http", "proxy.invalid", 80), authority)).message
    async with microsocks() as port:
        said = (await refused(url, Proxy("http", "127.0.0.1", port), authority)).message
        assert "does not answer as an HTTP proxy" in said or "hung up" in said
    async with tinyproxy(tmp_path) as port:  # which waits for the end of a line
        socks = ProxyChoice(Proxy("socks5h", "127.0.0.1", port))
        with pytest.raises(TransientSyncError, match="did not answer within"):
            await ask(url, ConnectionOptions(connect_timeout_s=0.5, proxy=socks))


@contextlib.asynccontextmanager
async def tls_proxy(authority: Authority) -> AsyncIterator[int]:
    """An HTTP proxy that is itself spoken to over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(name="proxy"))

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        host, port = head.split()[1].decode().rsplit(":", 1)
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer))

    async with listening(tunnel, tls=context) as port:
        yield port


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_a_proxy_is_spoken_to_over_tls_when_its_url_says_so(tmp_path: Path, authority: Authority):
    async with tls_proxy(authority) as port, central(authority) as (url, _):
        trusted = Proxy("https", "127.0.0.1", port, ca_file=authority.ca_file)
        assert await ask(url, ConnectionOptions(authority.ca_file, proxy=ProxyChoice(trusted))) == 200
        error = await refused(url, replace(trusted, ca_file=None), authority)
        assert "its certificate is not trusted" in error.message
        assert "central.proxy.ca_file" in str(error.hint)
    async with tinyproxy(tmp_path) as port:
        plain = ProxyChoice(replace(trusted, port=port))
        with pytest.raises(TransientSyncError, match=r"proxy at .* TLS handshake was not over within"):
            await ask(url, ConnectionOptions(tls_timeout_s=0.5, proxy=plain))


async def test_a_proxy_that_never_answers_is_cut_by_name(authority: Authority):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = Proxy("http", *silent.getsockname()[:2])
        connection = ConnectionOptions(authority.ca_file, connect_timeout_s=0.2, proxy=ProxyChoice(proxy))
        with pytest.raises(TransientSyncError, match=r"did not answer within 0\.2 s") as caught:
            await ask("https://central.invalid/", connection)
    assert proxy.in_words in caught.value.message
