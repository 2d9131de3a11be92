"""What a TLS connection to the central costs, whose certificates are taken, and that a slow handshake is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from fastapi import FastAPI

from cloud_sync.central.server import Listen, running
from cloud_sync.errors import TransientSyncError
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.http_exchange import HttpExchange
from cloud_sync.transports.tls import ClientTls
from tests.support.authority import Authority
from tests.support.counting_relay import counting_relay

DEADLINE_S = 60.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def ask(url: str, tls: ClientTls) -> int:
    http = HttpExchange(headers={}, tls=tls, connection=ConnectionOptions(tls.ca_file))
    async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(http):
        return (await http.ask("GET", url)).status


def listen(authority: Authority, **issued: object) -> Listen:
    chain, key = authority.issue(**issued)
    return Listen(tls_cert=chain, tls_key=key)


async def test_a_later_connection_takes_the_session_up_and_carries_no_certificate(authority: Authority) -> None:
    """`pytest -s` shows the bytes up and down of each connection: handshake, one small request, its answer."""
    tls, costs = ClientTls(authority.ca_file), []
    async with (
        running(FastAPI(), listen(authority)) as url,
        counting_relay("127.0.0.1", int(url.rpartition(":")[2])) as relay,
    ):
        for _ in range(3):
            relay.forget()
            assert await ask(f"https://127.0.0.1:{relay.port}/", tls) == 404
            costs.append((relay.up, relay.down))
    print("up, down:", costs)
    whole, *resumed = (sum(cost) for cost in costs)
    assert max(resumed) < whole - 400  # the certificate alone has more


@pytest.mark.parametrize(
    ("issued", "host"),
    [
        ({"address": "127.0.0.1"}, "127.0.0.1"),
        ({"address": "::1"}, "::1"),
        ({"dns": "localhost"}, "localhost"),
        ({"dns": "*.plant.localhost"}, "central.plant.localhost"),
    ],
)
async def test_a_certificate_for_an_address_a_name_or_a_wildcard_is_taken(
    authority: Authority, issued: dict[str, str], host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []

    async def on_this_machine(name: str, port: int, **_: object) -> list[object]:
        looked_up.append(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", on_this_machine)
    at = listen(authority, **issued)
    if host == "::1":
        at = Listen("::1", tls_cert=at.tls_cert, tls_key=at.tls_key)
    async with running(FastAPI(), at) as url:
        port = url.rpartition(":")[2]
        shown = f"[{host}]" if ":" in host else host
        assert await ask(f"https://{shown}:{port}/", ClientTls(authority.ca_file)) == 404


@pytest.mark.parametrize(
    ("host", "issued", "said"),
    [
        ("127.0.0.1", {"with_names": False, "name": "127.0.0.1"}, "is for another address"),
        ("127.0.0.1", {"dns": "127.0.0.1"}, "is for another address"),
        ("127.0.0.1", {"dns": "*.plant"}, "is for another address"),
        ("localhost", {"with_names": False, "name": "localhost"}, "is for another host name"),
    ],
)
async def test_a_common_name_alone_does_not_count_and_the_remedy_says_so(
    authority: Authority, host: str, issued: dict[str, object], said: str
) -> None:
    async with running(FastAPI(), listen(authority, **issued)) as url:
        with pytest.raises(TransientSyncError, match=f"certificate {said}") as caught:
            await ask(f"https://{host}:{url.rpartition(':')[2]}/", ClientTls(authority.ca_file))
    assert "subjectAltName" in str(caught.value.hint)


async def test_the_central_ends_a_handshake_that_never_goes_on(authority: Authority) -> None:
    at = listen(authority)
    quick = Listen(tls_cert=at.tls_cert, tls_key=at.tls_key, tls_s=0.3)
    async with running(FastAPI(), quick) as url, asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        assert await reader.read() == b""
        writer.close()


async def test_what_is_accepted_is_probed_as_what_is_opened(authority: Authority) -> None:
    async with running(FastAPI(), Listen()) as url, asyncio.timeout(DEADLINE_S):
        http = HttpExchange(headers={}, tls=ClientTls(), connection=ConnectionOptions())
        async with contextlib.aclosing(http):
            await http.ask("GET", url)
            (connection,) = http._client._transport._pool.connections
            opened = connection._connection._network_stream.get_extra_info("socket")
            assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 300_000
