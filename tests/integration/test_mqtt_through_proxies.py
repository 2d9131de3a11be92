"""The way to a real broker through real proxies, over TCP, TLS and WebSockets; and what each refusal is called."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_sync.errors import SyncError, TransientSyncError
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.mqtt.broker import Broker, Tls, WebSocket
from cloud_sync.transports.mqtt.link import Link
from cloud_sync.transports.proxies.choice import ProxyChoice
from cloud_sync.transports.proxies.proxy import Proxy
from tests.peers.proxies import PASSWORD, USERNAME, microsocks, tinyproxy
from tests.support.authority import Authority
from tests.support.databases import remove, short_folder
from tests.support.mosquitto import Mosquitto, mosquitto
from tests.support.sockets import free_port
from tests.support.websocket_front import WebSocketFront, websocket_front

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[Mosquitto]:
    with mosquitto() as server:
        yield server


async def let_in(broker: Broker, proxy: Proxy | None, **options: float) -> None:
    """Connect, be let in and granted a topic. Raises what the link raises."""
    choice = ProxyChoice(proxy)
    lost: list[SyncError] = []
    link = Link(
        broker, client_id="gw", on_message=lambda _: None, on_lost=lost.append,
        connection=ConnectionOptions(proxy=choice, **options),
    )  # fmt: skip
    async with asyncio.timeout(DEADLINE_S):
        try:
            await link.open()
            await link.subscribe("sm/v1/gw/ack")
        finally:
            await link.close()


async def refused(broker: Broker, proxy: Proxy) -> TransientSyncError:
    with pytest.raises(TransientSyncError) as caught:
        await let_in(broker, proxy)
    assert caught.value.message.startswith(f"{broker.where}: {proxy.in_words}")
    return caught.value


@pytest.mark.parametrize("with_password", [False, True])
async def test_a_broker_is_reached_through_each_kind_of_proxy(tmp_path: Path, server: Mosquitto, with_password: bool):
    signs_in = (USERNAME, PASSWORD) if with_password else (None, None)
    async with tinyproxy(tmp_path, with_password=with_password) as port:
        await let_in(server.broker(), Proxy("http", "127.0.0.1", port, *signs_in))
    async with microsocks(with_password=with_password) as port:
        for scheme in ("socks5", "socks5h"):
            await let_in(server.broker(), Proxy(scheme, "127.0.0.1", port, *signs_in))


async def test_all_proxy_counts_and_no_proxy_takes_the_broker_out(
    tmp_path: Path, server: Mosquitto, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(TransientSyncError, match=r"\(ALL_PROXY\): nobody listens there"):
        await let_in(server.broker(), None)
    monkeypatch.setenv("NO_PROXY", f"127.0.0.1:{server.port}")
    await let_in(server.broker(), None)


async def test_tls_and_websockets_go_through_a_proxy(tmp_path: Path):
    folder = short_folder()
    try:
        authority = Authority(folder)
        chain, key = authority.issue(name="broker")
        for path in (authority.ca_file, chain, key):
            path.chmod(0o644)  # the broker reads them as the user it becomes
        with mosquitto(lines=(f"certfile {chain}", f"keyfile {key}")) as secure:
            async with tinyproxy(tmp_path) as port:
                proxy = Proxy("http", "127.0.0.1", port)
                await let_in(Broker("127.0.0.1", secure.port, Tls(authority.ca_file)), proxy)
                with pytest.raises(TransientSyncError, match="was signed by an unknown CA"):
                    await let_in(Broker("127.0.0.1", secure.port, Tls()), proxy)
        with mosquitto() as plain:
            async with websocket_front(WebSocketFront(plain.port)) as front, microsocks() as port:
                broker = replace(plain.broker(), port=front, websocket=WebSocket())
                await let_in(broker, Proxy("socks5h", "127.0.0.1", port))
    finally:
        remove(folder)


async def test_each_refusal_names_the_proxy(tmp_path: Path, server: Mosquitto):
    async with tinyproxy(tmp_path, with_password=True) as port:
        proxy = Proxy("http", "127.0.0.1", port)
        error = await refused(server.broker(), proxy)
        assert "answers 407: it wants a user name and password" in error.message
        assert "central.proxy.username" in str(error.hint)
    async with microsocks() as port:
        nobody = replace(server.broker(), port=free_port())
        assert "connection refused" in (await refused(nobody, Proxy("socks5h", "127.0.0.1", port))).message
    gone = Proxy("socks5", "127.0.0.1", free_port())
    assert "nobody listens there" in (await refused(server.broker(), gone)).message
    assert "over TLS" in (await refused(server.broker(), Proxy("https", "127.0.0.1", 1))).message


async def test_each_step_that_is_cut_is_named_with_its_setting():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        plain, secure = Broker("127.0.0.1", port, tls=None), Broker("127.0.0.1", port)
        proxy = Proxy("http", "127.0.0.1", port)
        with pytest.raises(TransientSyncError, match=r"TLS handshake was not over within .* \(central.tls_time"):
            await let_in(secure, None, tls_timeout_s=0.2)
        with pytest.raises(TransientSyncError, match="the broker did not answer within"):
            await let_in(plain, None, connect_timeout_s=0.2)
        with pytest.raises(TransientSyncError, match=r"did not answer within 0\.2 s \(central.connect_timeout_s"):
            await let_in(plain, proxy, connect_timeout_s=0.2)
    with pytest.raises(TransientSyncError):
        await let_in(Broker("central.invalid", 1, tls=None), None)
