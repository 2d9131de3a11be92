"""A broker that keeps to nothing ends its own connection, and nothing else; what it makes us hold is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Mapping

import pytest

from cloud_sync.errors import SyncError, TransientSyncError
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.mqtt.broker import Broker
from cloud_sync.transports.mqtt.client import BoundedClient
from cloud_sync.transports.mqtt.link import Link
from cloud_sync.transports.mqtt.message import Message
from cloud_sync.transports.mqtt.options import KEEP_ALIVE_S
from tests.support.scripted_broker import CONNACK, CONNECT, SUBSCRIBE, broker_that_says, packet, publish
from tests.support.sockets import free_port

DEADLINE_S = 60.0
SUBACK = packet(0x90, b"MI\x00\x01")


class Heard:
    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.errors: list[SyncError] = []


@contextlib.asynccontextmanager
async def linked(after: Mapping[int, bytes], *, connack: bytes = CONNACK) -> AsyncIterator[tuple[Link, Heard]]:
    heard = Heard()
    async with broker_that_says({CONNECT: connack, **after}) as broker, asyncio.timeout(DEADLINE_S):
        link = Link(
            broker, client_id="c", on_message=heard.messages.append, on_lost=heard.errors.append,
            max_in_flight=4, connection=ConnectionOptions(connect_timeout_s=DEADLINE_S),
        )  # fmt: skip
        try:
            await link.open()
            yield link, heard
        finally:
            await link.close()


ENDS = {
    "256 MB": (packet(0x32, b"", length=268_435_455), "longer than an answer can be"),
    "QoS 2": (publish(b"t", qos=2), "not MQTT 5"),
    "more than we take at a time": (b"".join(publish(b"t", mid=mid) for mid in range(1, 6)), "not MQTT 5"),
    "half a surrogate pair": (publish(b"t", properties=b"\x08\x00\x03\xed\xa0\x80"), "not MQTT 5"),
    "a property that is none": (publish(b"t", properties=b"\x7f"), "not MQTT 5"),
    "a second CONNACK that refuses": (packet(0x20, b"\x00\x87\x00"), "does not let us in"),
    "an unknown packet": (packet(0xF0, b"\xff" * 9), "connection was lost"),
    "an endless length": (b"\x30" + b"\xff" * 9, "connection was lost"),
}


@pytest.mark.parametrize(("said", "named"), ENDS.values(), ids=ENDS)
async def test_what_mqtt_does_not_allow_ends_the_connection_with_a_name(said: bytes, named: str):
    async with linked({SUBSCRIBE: SUBACK + said}) as (link, heard):
        with contextlib.suppress(SyncError):  # the connection may be gone before the subscription is known
            await link.subscribe("t")
        await link.lost.wait()
    assert named in heard.errors[0].message
    assert len(heard.errors) == 1


@pytest.mark.parametrize("said", [b"MI\x00", b"MI\x00\x80", b"MI\x00\x87\x00", b"MI\x00" + b"\x83" * 9], ids=repr)
async def test_a_subscription_that_is_not_granted_is_an_error(said: bytes):
    async with linked({SUBSCRIBE: packet(0x90, said)}) as (link, _):
        with pytest.raises(SyncError):
            await link.subscribe("t")


async def test_odd_messages_are_handed_over_and_the_connection_stands():
    said = [publish(b"\xff\xfe"), publish(b"t", b"x" * 9, qos=0), publish(b"", mid=2), publish(b"t", b"last", mid=3)]
    async with linked({SUBSCRIBE: SUBACK + b"".join(said)}) as (link, heard):
        await link.subscribe("t")
        while not heard.messages or heard.messages[-1].payload != b"last":
            await asyncio.sleep(0.01)
        assert [message.topic for message in heard.messages] == ["", "t", "", "t"]
        for message in heard.messages:
            link.acknowledge(message)
        assert link.is_open


async def test_an_end_of_the_network_thread_that_nobody_foresaw_is_heard(monkeypatch: pytest.MonkeyPatch):
    def end(_: BoundedClient) -> None:
        raise SystemExit

    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # it would be in the journal
    async with linked({SUBSCRIBE: SUBACK}) as (link, heard):
        monkeypatch.setattr(BoundedClient, "_packet_handle", end)
        with pytest.raises(TransientSyncError):
            await link.subscribe("t")
    assert isinstance(heard.errors[0], TransientSyncError)


@pytest.mark.parametrize("wish", [0, 5, 65_535])
async def test_a_broker_cannot_make_its_silence_unnoticed(wish: int):
    connack = packet(0x20, b"\x00\x00\x03\x13" + wish.to_bytes(2))
    async with linked({}, connack=connack) as (link, _):
        assert link._connection is not None
        expected_s = min(wish or KEEP_ALIVE_S, KEEP_ALIVE_S)
        while link._connection.client._keepalive != expected_s:  # its thread may be at it just now
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("host", "words"), [("127.0.0.1", "nobody listens there: connection refused"), ("broker.invalid", "no such name")]
)
async def test_a_broker_that_is_not_reached_is_said_with_what_to_look_at(host: str, words: str):
    link = Link(
        Broker(host, free_port(), tls=None), client_id="c", on_message=lambda _: None, on_lost=lambda _: None,
        connection=ConnectionOptions(connect_timeout_s=DEADLINE_S),
    )  # fmt: skip
    try:
        with pytest.raises(TransientSyncError, match=words) as caught:
            await link.open()
    finally:
        await link.close()
    assert "does the broker run?" in str(caught.value.hint)
