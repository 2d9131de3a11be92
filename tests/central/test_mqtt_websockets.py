"""MQTT inside WebSockets, through a front before a real broker: the contract, TLS, and what fronts say instead."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.central.database.store import Store
from cloud_sync.errors import CredentialsError, SyncError, TransientSyncError
from cloud_sync.transports.mqtt.broker import Broker, Tls, WebSocket
from cloud_sync.transports.mqtt.options import ProtocolOptions
from cloud_sync.transports.mqtt.transport import MqttTransport
from tests.central.test_mqtt_contract import MqttBench, benched
from tests.contract.check_transport import CHECKS, GATEWAY, batch, check_same_batch_twice_counts_once
from tests.support.authority import Authority
from tests.support.central import Database
from tests.support.databases import DatabaseServer
from tests.support.mosquitto import Mosquitto, mosquitto
from tests.support.websocket_front import WebSocketFront, accepting, frame, websocket_front


@pytest.fixture
def database_server(plain_server: DatabaseServer) -> DatabaseServer:
    return plain_server


@pytest.fixture(scope="module")
def server() -> Iterator[Mosquitto]:
    with mosquitto(users={GATEWAY: "right", "central": "also-right"}) as server:
        yield server


@pytest.fixture
async def bench(server: Mosquitto, store: Store, database: Database) -> AsyncIterator[MqttBench]:
    """The relay that loses answers stands behind the front, where packets are whole."""
    speaking = ProtocolOptions("3.1.1")
    async with benched(server, store, database, speaking, ProtocolOptions()) as bench:
        front = WebSocketFront(bench._relay.port)
        async with websocket_front(front) as port:
            through = replace(server.broker(GATEWAY, "right"), port=port, websocket=WebSocket(), options=speaking)
            await bench.transport.close()
            bench.transport = MqttTransport(through, gateway_id=GATEWAY)
            yield bench
            await bench.transport.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_websockets_keep_the_contract(check, bench: MqttBench) -> None:
    await check(bench)


async def test_frames_of_any_size_and_pings_between_them_and_headers_that_are_asked_for(
    server: Mosquitto, store: Store, database: Database
) -> None:
    async with benched(server, store, database, ProtocolOptions(), ProtocolOptions()) as bench:
        front = WebSocketFront(server.port, path="/far/away?x=1", pieces=1)
        async with websocket_front(front) as port:
            websocket = WebSocket("/far/away?x=1", {"X-Token": "abc"})
            through = replace(server.broker(GATEWAY, "right"), port=port, websocket=websocket)
            await bench.transport.close()
            bench.transport = MqttTransport(through, gateway_id=GATEWAY)
            await check_same_batch_twice_counts_once(bench)
            await bench.transport.close()
        assert "\r\nX-Token: abc\r\n" in front.requests[0]
        assert "\r\nSec-WebSocket-Protocol: mqtt\r\n" in front.requests[0]
        assert front.pongs == 1


async def test_inside_tls(server: Mosquitto, store: Store, database: Database, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(name="127.0.0.1"))
    async with (
        benched(server, store, database, ProtocolOptions(), ProtocolOptions()) as bench,
        websocket_front(WebSocketFront(server.port), tls=context) as port,
    ):
        through = replace(server.broker(GATEWAY, "right"), port=port, websocket=WebSocket(), tls=Tls(authority.ca_file))
        await bench.transport.close()
        bench.transport = MqttTransport(through, gateway_id=GATEWAY)
        await check_same_batch_twice_counts_once(bench)
        await bench.transport.close()


REFUSALS: dict[str, tuple[bytes, type[SyncError], str]] = {
    "forbidden": (b"HTTP/1.1 403 Forbidden\r\n\r\n", CredentialsError, "403 Forbidden"),
    "no such path": (b"HTTP/1.1 404 Not Found\r\n\r\n", TransientSyncError, "404 Not Found"),
    "a web page": (b"HTTP/1.1 200 OK\r\n\r\n<html>", TransientSyncError, "200 OK"),
    "not HTTP": (b"\x20\x02\x00\x00\r\n\r\n", TransientSyncError, "does not speak HTTP"),
    "an endless head": (b"HTTP/1.1 101 x\r\n" + b"A: " + b"b" * 20_000, TransientSyncError, "bytes of head"),
    "another's key": (accepting("Sec-WebSocket-Key: x\r\n"), TransientSyncError, "not to our question"),
    "silence": (b"", TransientSyncError, "hung up at the upgrade"),
}


@pytest.mark.parametrize(("greeting", "error", "words"), REFUSALS.values(), ids=REFUSALS)
async def test_what_is_no_websocket_is_named(greeting: bytes, error: type[SyncError], words: str) -> None:
    async with websocket_front(WebSocketFront(1, greeting=greeting)) as port:
        transport = MqttTransport(Broker("127.0.0.1", port, None, websocket=WebSocket()), gateway_id=GATEWAY)
        with pytest.raises(error, match=words) as caught:
            await transport.send(wire.encode(batch()), batch_id="b1")
        await transport.close()
    assert caught.value.hint


class Misbehaving(WebSocketFront):
    """Upgrades, and then says what a script tells it."""

    said = b""

    async def handle(self, reader, writer) -> None:  # type: ignore[no-untyped-def]
        writer.write(accepting((await reader.readuntil(b"\r\n\r\n")).decode()) + self.said)
        await writer.drain()
        while await reader.read(1_000):
            pass


FRAMES = {
    "masked": b"\x82\x80abcd",
    "text": frame(1, b"hello"),
    "a long ping": b"\x89\x7e\x01\x00" + bytes(256),
    "closed": frame(8, (1008).to_bytes(2) + b"policy"),
}


@pytest.mark.parametrize("said", FRAMES.values(), ids=FRAMES)
async def test_frames_that_rfc_6455_forbids_end_the_connection(said: bytes) -> None:
    front = Misbehaving(1)
    front.said = said
    async with websocket_front(front) as port:
        transport = MqttTransport(Broker("127.0.0.1", port, None, websocket=WebSocket()), gateway_id=GATEWAY)
        with pytest.raises(TransientSyncError):
            await transport.send(wire.encode(batch()), batch_id="b1")
        await transport.close()
