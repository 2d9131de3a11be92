"""Batches through a broker that dies, refuses, is silent or lies: nothing is lost, and every cause has its name."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from cloud_sync import wire
from cloud_sync.central.database.store import Store
from cloud_sync.central.ingress.mqtt import MqttConsumer
from cloud_sync.errors import (
    BatchRefusedError,
    BatchTooLargeError,
    CredentialsError,
    SyncError,
    TransientSyncError,
)
from cloud_sync.records import Batch, Row, Series
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.failover import FailoverTransport
from cloud_sync.transports.memory import MemoryTransport
from cloud_sync.transports.mqtt.broker import Broker, Topics
from cloud_sync.transports.mqtt.link import Link
from cloud_sync.transports.mqtt.message import Message, Will
from cloud_sync.transports.mqtt.options import ProtocolOptions
from cloud_sync.transports.mqtt.transport import OFFLINE, ONLINE, MqttTransport, answer_of
from tests.contract.check_transport import GATEWAY, NOW_US, batch, keys_of
from tests.support.central import Database
from tests.support.databases import DatabaseServer
from tests.support.mosquitto import Mosquitto, documented_acl, mosquitto, relaying_broker
from tests.support.sockets import listening

DEADLINE_S = 30.0
TOPICS = Topics(GATEWAY)
SECRET = "s3cr3t-word-that-must-not-be-seen"  # noqa: S105 (invented)
GOOD = {"batch_id": "b1", "committed": True, "accepted": 6, "duplicates": 0, "rejected": []}

USERS = {GATEWAY: "right", "gw-2": "other", "central": "also-right"}


@pytest.fixture
def database_server(plain_server: DatabaseServer) -> DatabaseServer:
    """What is stored is the store's own test; these are about the way there."""
    return plain_server


@pytest.fixture(scope="module")
def server() -> Iterator[Mosquitto]:
    with mosquitto(users=USERS, acl=documented_acl()) as server:
        yield server


@contextlib.asynccontextmanager
async def consuming(broker: Broker, store: Store) -> AsyncIterator[MqttConsumer]:
    consumer = MqttConsumer(broker, store)
    running = asyncio.create_task(consumer.run())
    try:
        await asyncio.wait_for(consumer.listening.wait(), DEADLINE_S)
        yield consumer
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait([running])


@contextlib.asynccontextmanager
async def sending(
    broker: Broker,
    *,
    gateway_id: str = GATEWAY,
    reconnect_max_s: float = 60.0,
    max_in_flight: int = 8,
    **options: float,
) -> AsyncIterator[MqttTransport]:
    transport = MqttTransport(
        broker,
        gateway_id=gateway_id,
        max_in_flight=max_in_flight,
        connection=ConnectionOptions(**options),
        reconnect_max_s=reconnect_max_s,
    )
    try:
        yield transport
    finally:
        await transport.close()


@contextlib.asynccontextmanager
async def spying(broker: Broker, *topics: str) -> AsyncIterator[asyncio.Queue[Message]]:
    """Everything published on these topics."""
    heard: asyncio.Queue[Message] = asyncio.Queue()
    link = Link(broker, client_id="spy", on_message=heard.put_nowait, on_lost=lambda _: None)
    await link.open()
    for topic in topics:
        await link.subscribe(topic)
    try:
        yield heard
    finally:
        await link.close()


async def heard_until(heard: asyncio.Queue[Message], wanted: Callable[[Message], bool]) -> Message:
    async with asyncio.timeout(DEADLINE_S):
        while not wanted(message := await heard.get()):
            pass
    return message


def central(server: Mosquitto) -> Broker:
    return server.broker("central", "also-right")


def gateway(server: Mosquitto) -> Broker:
    return server.broker(GATEWAY, "right")


def numbered(number: int, *, count: int = 20) -> Batch:
    series = Series(f"pump-07.p{number}.rms", "vibration", "g", {})
    return Batch(GATEWAY, tuple(Row(series, NOW_US + n * 1_000_000, n / 8, 1.0) for n in range(count)))


async def settle(transport: MqttTransport, offered: Batch, batch_id: str) -> None:
    """As the uplink does it: again and again until it is settled."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                settlement = await transport.send(wire.encode(offered), batch_id=batch_id)
            except TransientSyncError:
                await asyncio.sleep(0.02)
            else:
                assert len(settlement) == len(offered)
                assert settlement.refused == ()
                return


async def test_a_broker_that_is_killed_loses_and_doubles_nothing(store: Store, database: Database):
    batches = [numbered(n) for n in range(30)]
    left = list(enumerate(batches))
    with mosquitto() as server:

        async def deliver() -> None:
            while left:
                number, offered = left.pop()
                await settle(transport, offered, f"b{number}")

        async with (
            consuming(server.broker(), store),
            sending(server.broker(), answer_timeout_s=1.0, reconnect_max_s=0.1) as transport,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(4):
                group.create_task(deliver())
            for waiting in (20, 10):
                async with asyncio.timeout(DEADLINE_S):
                    while len(left) > waiting:
                        await asyncio.sleep(0)
                server.kill()
                server.start()
    assert await database.keys() == set().union(*map(keys_of, batches))
    stats = await store.stats()
    assert stats["rows"] == sum(map(len, batches))


async def test_two_consumers_share_the_load(server: Mosquitto, store: Store, database: Database):
    batches = [numbered(n) for n in range(20)]
    async with (
        consuming(central(server), store) as one,
        consuming(central(server), store) as other,
        sending(gateway(server)) as transport,
    ):
        await asyncio.gather(*(settle(transport, offered, f"b{n}") for n, offered in enumerate(batches)))
    assert one.answered_total["settled"] > 0
    assert other.answered_total["settled"] > 0
    assert one.answered_total["settled"] + other.answered_total["settled"] == len(batches)
    assert await database.keys() == set().union(*map(keys_of, batches))


async def test_when_one_of_two_consumers_goes_the_other_takes_all(server: Mosquitto, store: Store):
    async with consuming(central(server), store) as stays, sending(gateway(server)) as transport:
        async with consuming(central(server), store):
            await settle(transport, numbered(0), "b0")
        for number in range(1, 5):
            await transport.send(wire.encode(numbered(number)), batch_id=f"b{number}")
        assert stays.answered_total["settled"] >= 4


async def test_no_central_at_the_broker_is_said_at_once(server: Mosquitto):
    async with sending(gateway(server), answer_timeout_s=1e6) as transport:
        with pytest.raises(TransientSyncError, match="no central listens") as caught:
            await asyncio.wait_for(transport.send(wire.encode(batch()), batch_id="b1"), DEADLINE_S)
    assert "--mqtt-url" in str(caught.value.hint)


async def test_an_acknowledgement_of_the_broker_settles_nothing(server: Mosquitto):
    async with (
        spying(central(server), TOPICS.batch) as heard,
        sending(gateway(server), answer_timeout_s=0.2) as transport,
    ):
        with pytest.raises(TransientSyncError, match="no answer to batch b1"):
            await transport.send(wire.encode(batch()), batch_id="b1")
        assert (await heard_until(heard, lambda _: True)).payload == wire.encode(batch())


async def test_resting_is_no_loss_of_the_connection_however_often(server: Mosquitto, caplog: pytest.LogCaptureFixture):
    """Another route is used, and this one is only probed now and then."""
    async with sending(gateway(server)) as transport:
        for number in range(6):
            with pytest.raises(TransientSyncError, match="no central listens"):
                await transport.send(wire.encode(numbered(number)), batch_id=f"b{number}")
            await transport.rest()
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_the_message_carries_the_agreed_topic_properties_and_bytes(server: Mosquitto):
    async with spying(central(server), TOPICS.batch) as heard, sending(gateway(server)) as transport:
        pending = asyncio.create_task(transport.send(wire.encode(batch()), batch_id="b1"))
        message = await heard_until(heard, lambda _: True)
        pending.cancel()
        await asyncio.wait([pending])
        assert pending.cancelled()
    assert message.topic == "sm/v1/gw-1/batch"
    assert message.response_topic == "sm/v1/gw-1/ack"
    assert message.correlation == b"b1"
    assert message.content_encoding == "zstd"
    assert message.content_type == wire.CONTENT_TYPE
    assert message.payload == wire.encode(batch())
    assert not message.retain


async def test_answers_about_other_batches_or_that_are_none_settle_nothing(server: Mosquitto):
    async with (
        spying(central(server), TOPICS.batch) as heard,
        sending(gateway(server), answer_timeout_s=1e6) as transport,
    ):
        pending = asyncio.create_task(transport.send(wire.encode(batch()), batch_id="b1"))
        await heard_until(heard, lambda _: True)
        link = Link(central(server), client_id="liar", on_message=lambda _: None, on_lost=lambda _: None)
        await link.open()
        await link.publish(TOPICS.answer, json.dumps(GOOD).encode(), correlation=b"b2")
        await link.publish(TOPICS.answer, json.dumps(GOOD).encode())
        await link.publish(TOPICS.answer, b"<html>", correlation=b"b1")
        with pytest.raises(TransientSyncError, match="does not settle batch b1"):
            await asyncio.wait_for(pending, DEADLINE_S)
        assert transport.unexpected_total == 2
        await link.close()


async def test_spoofed_answers_are_counted_where_status_looks_and_the_connection_stands(
    server: Mosquitto, store: Store
):
    """At QoS 0 there is nothing to acknowledge: mosquitto hangs up on whoever does."""
    mqtt = MqttTransport(gateway(server), gateway_id="gw-1", connection=ConnectionOptions(answer_timeout_s=1e6))
    both = FailoverTransport(mqtt, MemoryTransport())
    liar = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    liar.username_pw_set(central(server).username, central(server).password)
    async with consuming(central(server), store):
        try:
            await both.send(wire.encode(numbered(0)), batch_id="b0")
            liar.connect("127.0.0.1", server.port)
            liar.loop_start()
            for payload in (json.dumps(GOOD), "", "[]"):
                await asyncio.to_thread(liar.publish(TOPICS.answer, payload, qos=0).wait_for_publish, DEADLINE_S)
            async with asyncio.timeout(DEADLINE_S):
                while both.route.unexpected_answers < 3:
                    await asyncio.sleep(0.01)
            await both.send(wire.encode(numbered(1)), batch_id="b1")
            assert (both.route.name, both.switches_total) == ("mqtt", 0)
            assert mqtt._link is not None
            assert mqtt._link.is_open
        finally:
            liar.disconnect()
            await asyncio.to_thread(liar.loop_stop)
            await both.close()


async def test_a_lost_answer_is_asked_for_again_and_counts_once(server: Mosquitto, store: Store, database: Database):
    async with (
        consuming(central(server), store),
        relaying_broker(server.port) as relay,
        sending(replace(gateway(server), port=relay.port)) as transport,
    ):
        relay.drop_next_answer = True
        with pytest.raises(TransientSyncError):
            await transport.send(wire.encode(batch()), batch_id="b1")
        assert (await transport.send(wire.encode(batch()), batch_id="b1")).duplicates == 6
    assert await database.keys() == keys_of(batch())


async def test_a_connection_that_went_dead_is_replaced(server: Mosquitto, store: Store, database: Database):
    async with (
        consuming(central(server), store),
        relaying_broker(server.port) as relay,
        sending(replace(gateway(server), port=relay.port), answer_timeout_s=0.3) as transport,
    ):
        await settle(transport, numbered(0), "b0")
        relay.silent = True  # the packets go nowhere, and nobody says so
        with pytest.raises(TransientSyncError, match="no answer to batch b1"):
            await transport.send(wire.encode(batch()), batch_id="b1")
        relay.silent = False
        await settle(transport, batch(), "b1")
    assert await database.keys() == keys_of(batch()) | keys_of(numbered(0))


async def test_a_topic_the_acl_denies_is_a_credentials_error(server: Mosquitto, store: Store, database: Database):
    async with consuming(central(server), store), sending(server.broker("gw-2", "other")) as transport:
        with pytest.raises(CredentialsError, match="sm/v1/gw-1/") as caught:
            await transport.send(wire.encode(batch()), batch_id="b1")
    assert "ACL" in str(caught.value.hint)
    assert await database.keys() == set()


async def test_a_batch_the_acl_denies_is_a_credentials_error_also_when_all_else_is_permitted(store: Store):
    acl = "topic read #\ntopic write sm/v1/gw-1/state\n"
    with mosquitto(acl=acl) as server:
        async with consuming(server.broker(), store), sending(server.broker()) as transport:
            with pytest.raises(CredentialsError, match="sm/v1/gw-1/batch"):
                await transport.send(wire.encode(batch()), batch_id="b1")


async def test_a_wrong_password_is_a_credentials_error_and_is_shown_nowhere(
    server: Mosquitto, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    broker = server.broker(GATEWAY, SECRET)
    async with sending(broker) as transport:
        with pytest.raises(CredentialsError, match="password") as caught:
            await transport.send(wire.encode(batch()), batch_id="b1")
        assert SECRET not in repr(transport) + repr(broker) + caplog.text + str(caught.value) + str(caught.value.hint)


async def test_a_gateway_cannot_send_for_another(server: Mosquitto, store: Store, database: Database):
    async with (
        consuming(central(server), store) as consumer,
        sending(server.broker("gw-2", "other"), gateway_id="gw-2") as transport,
    ):
        with pytest.raises(CredentialsError, match="gw-1"):
            await transport.send(wire.encode(batch()), batch_id="b1")  # a batch that says gw-1
        assert consumer.answered_total == {"credentials": 1}
    assert await database.keys() == set()


@pytest.mark.parametrize("response_topic", ["sm/v1/gw-2/ack", "sm/v1/gw-1/batch", None])
async def test_an_answer_goes_only_to_the_senders_own_topic(
    server: Mosquitto, store: Store, database: Database, response_topic: str | None
):
    with mosquitto() as open_to_all:
        async with consuming(open_to_all.broker(), store) as consumer, spying(open_to_all.broker(), "sm/#") as heard:
            link = Link(open_to_all.broker(), client_id="forger", on_message=lambda _: None, on_lost=lambda _: None)
            await link.open()
            body = wire.encode(batch())
            await link.publish(
                TOPICS.batch, body, response_topic=response_topic, correlation=b"b1", content_encoding="zstd"
            )
            await link.publish("sm/v1/gw-1/end", b"")
            await heard_until(heard, lambda message: message.topic.endswith("/batch"))
            await heard_until(heard, lambda message: message.topic.endswith("/end"))
            async with asyncio.timeout(DEADLINE_S):
                while consumer.unanswerable_total == 0:
                    await asyncio.sleep(0)
            await link.close()
            assert consumer.answered_total == {}
    assert await database.keys() == set()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"payload": b"not a batch"}, BatchRefusedError, "zstd"),
        ({"content_encoding": "lzma"}, BatchRefusedError, "content-encoding 'lzma'"),
        ({"content_encoding": None, "payload": b"nonsense"}, BatchRefusedError, "not JSON"),
        ({"payload": bytes(9_000_000)}, BatchTooLargeError, "9000000"),
        ({"correlation": None}, BatchRefusedError, "batch id"),
        ({"correlation": b"\xff"}, BatchRefusedError, "UTF-8"),
        ({"correlation": b"x" * 300}, BatchRefusedError, "256"),
    ],
)
async def test_what_the_consumer_cannot_use_is_answered_with_its_reason(
    server: Mosquitto, store: Store, change: dict[str, bytes], error: type[SyncError], words: str
):
    async with consuming(central(server), store) as consumer, spying(gateway(server), TOPICS.answer) as heard:
        link = Link(gateway(server), client_id="odd", on_message=lambda _: None, on_lost=lambda _: None)
        await link.open()
        ordinary = {"payload": wire.encode(batch()), "correlation": b"b1", "content_encoding": "zstd"}
        await link.publish(TOPICS.batch, response_topic=TOPICS.answer, **{**ordinary, **change})
        answer = await heard_until(heard, lambda _: True)
        await link.close()
        with pytest.raises(error, match=words):
            answer_of(answer.payload, batch_id="b1")
        assert answer.correlation == change.get("correlation", b"b1")
        assert "settled" not in consumer.answered_total


async def test_a_database_that_is_away_is_busy_and_the_consumer_goes_on(
    server: Mosquitto, store: Store, database: Database
):
    async with consuming(central(server), store) as consumer, sending(gateway(server)) as transport:
        await database.server.kill()
        with pytest.raises(TransientSyncError, match="database is away") as caught:
            await transport.send(wire.encode(batch()), batch_id="b1")
        assert caught.value.retry_after_s == 2.0
        await database.server.start()
        await settle(transport, batch(), "b1")
        assert consumer.answered_total["busy"] >= 1


async def test_a_body_larger_than_the_broker_takes_is_too_large_before_it_is_sent(store: Store):
    with mosquitto(lines=("max_packet_size 20000",)) as server:
        async with consuming(server.broker(), store), sending(server.broker()) as transport:
            with pytest.raises(BatchTooLargeError, match="20000"):
                await transport.send(bytes(30_000), batch_id="b1")
            await settle(transport, batch(), "b2")


async def test_a_broker_that_refuses_a_size_it_never_announced_gets_smaller_ones(store: Store):
    """mosquitto 2.0 says it with a code that MQTT 5 has for other packets."""
    with mosquitto(lines=("message_size_limit 20000",)) as server:
        async with consuming(server.broker(), store), sending(server.broker()) as transport:
            with pytest.raises(BatchTooLargeError, match="smaller messages") as caught:
                await transport.send(bytes(30_000), batch_id="b1")
            assert "max_packet_bytes" in str(caught.value.hint)
            await settle(transport, batch(), "b2")


async def test_a_broker_of_3_1_1_that_hangs_up_on_a_size_is_found_out_the_second_time(store: Store):
    with mosquitto(lines=("max_packet_size 20000",)) as server:
        spoken = replace(server.broker(), options=ProtocolOptions("3.1.1"))
        async with consuming(server.broker(), store), sending(spoken) as transport:
            with pytest.raises(TransientSyncError, match="connection was lost"):
                await transport.send(bytes(30_000), batch_id="b1")
            with pytest.raises(BatchTooLargeError, match="hung up twice on a message of 30"):
                await transport.send(bytes(30_000), batch_id="b1")
            await settle(transport, batch(), "b2")


async def test_the_state_topic_says_online_then_offline_when_closed(server: Mosquitto):
    async with spying(central(server), TOPICS.state) as heard:
        async with sending(gateway(server)) as transport:
            with contextlib.suppress(TransientSyncError):  # nobody listens, which is no matter here
                await transport.send(wire.encode(batch()), batch_id="b1")
            await heard_until(heard, lambda message: message.payload == ONLINE)
        await heard_until(heard, lambda message: message.payload == OFFLINE)
    async with spying(central(server), TOPICS.state) as heard:
        assert (await heard_until(heard, lambda message: message.retain)).payload == OFFLINE


CLIENT = """
import asyncio, contextlib, sys
from cloud_sync.errors import TransientSyncError
from cloud_sync.transports.mqtt.transport import MqttTransport
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.mqtt.broker import Broker

async def main():
    transport = MqttTransport(Broker("127.0.0.1", int(sys.argv[1]), None, "gw-1", "right"), gateway_id="gw-1")
    with contextlib.suppress(TransientSyncError):
        await transport.send(b"", batch_id="b1")
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_the_broker_says_offline_for_a_gateway_that_was_killed(server: Mosquitto):
    async with spying(central(server), TOPICS.state) as heard:
        client = subprocess.Popen([sys.executable, "-c", CLIENT, str(server.port)])
        try:
            await heard_until(heard, lambda message: message.payload == ONLINE)
        finally:
            client.kill()
            client.wait()
        await heard_until(heard, lambda message: message.payload == OFFLINE)


async def test_the_gateway_is_online_again_without_sending_when_the_broker_is_back():
    with mosquitto() as server:
        async with sending(server.broker(), reconnect_max_s=0.05) as transport:
            with contextlib.suppress(TransientSyncError):
                await transport.send(wire.encode(batch()), batch_id="b1")
            server.kill()
            server.start()
            async with spying(server.broker(), TOPICS.state) as heard:
                await heard_until(heard, lambda message: message.payload == ONLINE)


async def test_two_gateways_of_one_name_are_told_so(server: Mosquitto):
    async with (
        spying(central(server), TOPICS.batch) as heard,
        sending(gateway(server), answer_timeout_s=1e6) as one,
        sending(gateway(server), answer_timeout_s=1e6) as other,
    ):
        pending = asyncio.create_task(one.send(wire.encode(batch()), batch_id="b1"))
        await heard_until(heard, lambda _: True)
        intruding = asyncio.create_task(other.send(wire.encode(batch()), batch_id="b2"))
        with pytest.raises(TransientSyncError, match="connection was lost") as caught:
            await asyncio.wait_for(pending, DEADLINE_S)
        assert "gateway.id" in str(caught.value.hint)
        intruding.cancel()
        await asyncio.wait([intruding])


CONNACK = b"\x20\x03\x00\x00\x00"


@pytest.mark.parametrize(
    ("disconnect", "error", "words"),
    [
        (b"\xe0\x02\x8e\x00", TransientSyncError, "another client has signed in"),
        (b"\xe0\x02\x87\x00", CredentialsError, "put us out"),
        (b"\xe0\x02\x8b\x00", TransientSyncError, "0x8b"),
    ],
)
async def test_why_a_broker_puts_us_out_is_said(disconnect: bytes, error: type[SyncError], words: str):
    async def put_out(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(CONNACK)
        await reader.read(1_000)
        writer.write(disconnect)
        await writer.drain()

    async with listening(put_out) as port, sending(Broker("127.0.0.1", port, tls=None)) as transport:
        with pytest.raises(error, match=words):
            await transport.send(b"", batch_id="b1")


async def test_nobody_listening_is_transient():
    with mosquitto() as server:
        pass
    async with sending(server.broker()) as transport:
        with pytest.raises(TransientSyncError, match="refused"):
            await transport.send(wire.encode(batch()), batch_id="b1")


@pytest.mark.parametrize("host", ["a" * 70, "a..b"])
async def test_a_host_that_can_be_none_is_said_at_once(host: str):
    async with sending(Broker(host, 1, tls=None)) as transport:
        with pytest.raises(CredentialsError, match="not the name of a host"):
            await transport.send(b"", batch_id="b1")


async def test_connections_that_fail_or_end_leave_no_thread_and_no_socket(server: Mosquitto):
    """As after days without a broker: each try has a thread and three sockets of its own."""
    with mosquitto() as gone:
        pass

    def open_files_and_threads() -> tuple[int, int]:
        mine = [thread for thread in threading.enumerate() if thread.name.startswith("paho")]
        return len(list(Path("/proc/self/fd").iterdir())), len(mine)

    async with asyncio.timeout(DEADLINE_S):
        before = open_files_and_threads()
        for broker in (gone.broker(), server.broker(GATEWAY, "wrong"), gateway(server)):
            for _ in range(20):
                async with sending(broker) as transport:
                    with pytest.raises(SyncError):
                        await transport.send(b"", batch_id="b1")
        while open_files_and_threads() > before:
            await asyncio.sleep(0.02)


async def test_a_silent_broker_is_transient_and_a_waiting_send_can_be_cancelled():
    connected = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        connected.set()
        while await reader.read(1_000):
            pass

    async with listening(say_nothing) as port:
        broker = Broker("127.0.0.1", port, tls=None)
        async with sending(broker, connect_timeout_s=0.2) as transport:
            with pytest.raises(TransientSyncError, match="did not answer"):
                await transport.send(b"", batch_id="b1")
        connected.clear()
        async with sending(broker, connect_timeout_s=30.0) as transport:
            pending = asyncio.create_task(transport.send(b"", batch_id="b1"))
            await asyncio.wait_for(connected.wait(), DEADLINE_S)
            pending.cancel()
            await asyncio.wait([pending], timeout=DEADLINE_S)
            assert pending.cancelled()


@pytest.mark.parametrize("raw", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x03\x00\x84\x00", b"\xff" * 100, b""])
async def test_something_else_than_an_mqtt5_broker_is_transient(raw: bytes):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(raw)
        await writer.drain()

    async with listening(answer) as port, sending(Broker("127.0.0.1", port, tls=None)) as transport:
        with pytest.raises(TransientSyncError):
            await transport.send(b"", batch_id="b1")


async def test_no_more_than_the_limit_are_in_flight(server: Mosquitto):
    async with spying(central(server), TOPICS.batch) as heard, sending(gateway(server), max_in_flight=3) as transport:
        tasks = [asyncio.create_task(transport.send(b"x", batch_id=f"b{n}")) for n in range(10)]
        for _ in range(3):
            await heard_until(heard, lambda _: True)
        tasks[0].cancel()  # its place is free for the next
        await heard_until(heard, lambda _: True)
        assert heard.empty()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_a_will_needs_a_link_that_ends_without_goodbye(server: Mosquitto):
    """The will is dropped by an ordinary goodbye and published by the one that asks for it."""
    async with spying(central(server), TOPICS.state) as heard:
        for with_will in (False, True):
            payload = str(with_will).encode()
            will = Will(TOPICS.state, payload)
            link = Link(gateway(server), client_id="w", on_message=lambda _: None, on_lost=lambda _: None, will=will)
            await link.open()
            await link.close(with_will=with_will)
        first = await heard_until(heard, lambda message: message.payload in (b"False", b"True"))
    assert first.payload == b"True"


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({"error": "too_large", "detail": "d"}, BatchTooLargeError),
        ({"error": "refused", "detail": "d"}, BatchRefusedError),
        ({"error": "credentials", "detail": "d"}, CredentialsError),
        ({"error": "busy"}, TransientSyncError),
        ({"error": "something new"}, TransientSyncError),
        ({"error": ["odd"]}, TransientSyncError),
        ({**GOOD, "committed": False}, TransientSyncError),
        ({**GOOD, "batch_id": "b2"}, TransientSyncError),
        ([], TransientSyncError),
    ],
)
def test_each_answer_is_the_error_that_says_what_to_do(document: object, error: type[SyncError]):
    with pytest.raises(error) as caught:
        answer_of(json.dumps(document).encode(), batch_id="b1")
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("value", "expected"), [(2, 2.0), (0, 0.0), (-1, None), (1e9, None), (True, None), ("2", None), (None, None)]
)
def test_only_a_sensible_wait_is_obeyed(value: object, expected: float | None):
    with pytest.raises(TransientSyncError) as caught:
        answer_of(json.dumps({"error": "busy", "detail": "d", "retry_after_s": value}).encode(), batch_id="b1")
    assert caught.value.retry_after_s == expected


async def test_two_boxes_of_one_name_are_found_out_though_the_broker_says_nothing():
    """mosquitto 2.0 ends the older connection without a word; both come back until one of them stays away."""
    with mosquitto() as server:
        async with (
            sending(server.broker(), answer_timeout_s=1e6, reconnect_max_s=0.05) as one,
            sending(server.broker(), answer_timeout_s=1e6, reconnect_max_s=0.05) as other,
        ):
            said: list[str] = []
            async with asyncio.timeout(DEADLINE_S):
                while not any("soon after each sign-in" in each for each in said):
                    for transport in (one, other):
                        with contextlib.suppress(SyncError):
                            await transport._connected_link()
                        said += [transport._lost[1].message] if transport._lost else []
                    await asyncio.sleep(0.01)
    assert any("'sm-gw-1' (3 times in a row)" in each for each in said)
