"""Brokers that announce limits, lie about them, or have none to announce: what travels, is learned, is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from cloud_sync.errors import BatchTooLargeError, CredentialsError, SyncError, TransientSyncError
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.mqtt.limits import FLOOR_BYTES, Lessons
from cloud_sync.transports.mqtt.link import Link
from cloud_sync.transports.mqtt.message import Will
from cloud_sync.transports.mqtt.options import ProtocolOptions
from cloud_sync.transports.mqtt.transport import MqttTransport
from tests.chaos.mqtt_packets import Packet, packets
from tests.support.scripted_broker import CONNACK, CONNECT, PUBLISH, SUBSCRIBE, broker_that_says, packet, publish
from tests.support.sockets import listening

DEADLINE_S = 60.0
SUBACK = packet(0x90, b"MI\x00\x01")
PUBACK = packet(0x40, b"MI")
PUBACKED = 4
LARGE = bytes(40_000)
V3 = ProtocolOptions("3.1.1")
CONNACK_3 = packet(0x20, b"\x00\x00")


def connack(properties: bytes, code: int = 0) -> bytes:
    return packet(0x20, bytes([0, code, len(properties)]) + properties)


def refusing(kind: int, code: int) -> bytes:
    return packet(kind, b"MI" + bytes([code]))


def disconnect(code: int) -> bytes:
    return packet(0xE0, bytes([code, 0]))


@contextlib.asynccontextmanager
async def linked(
    after: Mapping[int, bytes], *, options: ProtocolOptions | None = None, lessons: Lessons | None = None
) -> AsyncIterator[Link]:
    spoken = options or ProtocolOptions()
    greeting = {CONNECT: CONNACK if spoken.has_properties else CONNACK_3}
    async with broker_that_says({**greeting, **after}) as broker, asyncio.timeout(DEADLINE_S):
        link = Link(
            replace(broker, options=spoken), client_id="c", on_message=lambda _: None, on_lost=lambda _: None,
            connection=ConnectionOptions(connect_timeout_s=DEADLINE_S), lessons=lessons, will=Will("s", b"gone"),
        )  # fmt: skip
        try:
            await link.open()
            yield link
        finally:
            await link.close()


async def test_what_a_broker_announces_is_kept_to():
    said = connack(b"\x27\x00\x01\x00\x00\x21\x00\x02\x24\x01\x25\x00\x22\x00\x05")
    async with linked({CONNECT: said}, options=ProtocolOptions(qos=2)) as link:
        limits = link.limits
        assert (limits.packet_bytes, limits.in_flight, limits.qos, limits.retains, limits.aliases) == (
            65_536, 2, 1, False, 5,
        )  # fmt: skip
        with pytest.raises(BatchTooLargeError, match="65536"):
            link.publish("t", bytes(65_536))


async def test_a_configured_bound_holds_where_nothing_is_announced():
    async with linked({}, options=replace(V3, max_packet_bytes=20_000)) as link:
        with pytest.raises(BatchTooLargeError, match="20000"):
            link.publish("t", bytes(20_000))


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        (b"\x21\x00\x00", "not MQTT 5: .*ReceiveMaximum"),
        (b"\x27\x00\x00\x00\x64", "100 bytes"),
        (b"\x24\x00", "at most once"),
    ],
)
async def test_limits_that_leave_no_place_for_a_batch_are_told_and_nothing_is_given_up(properties: bytes, words: str):
    with pytest.raises(TransientSyncError, match=words):
        async with linked({CONNECT: connack(properties)}):
            pass


@pytest.mark.parametrize(
    ("after", "qos"),
    [
        ({PUBLISH: refusing(0x40, 0x95)}, 1),
        ({PUBLISH: refusing(0x50, 0x95)}, 2),
        ({PUBLISH: disconnect(0x95)}, 1),
    ],
    ids=["PUBACK", "PUBREC", "DISCONNECT"],
)
async def test_a_size_that_is_refused_against_the_announcement_is_learned(after: Mapping[int, bytes], qos: int):
    lessons = Lessons()
    wide = {CONNECT: connack(b"\x27\x00\xff\x00\x00")}
    options = ProtocolOptions(qos=2 if qos == 2 else 1)
    async with linked({**wide, **after}, options=options, lessons=lessons) as link:
        with pytest.raises(BatchTooLargeError, match="smaller messages than one of 40"):
            await link.publish("t", LARGE)
    async with linked(wide, options=options, lessons=lessons) as link:
        with pytest.raises(BatchTooLargeError, match="takes packets of up to"):
            link.publish("t", LARGE)


async def test_a_broker_that_refuses_the_smallest_as_too_large_costs_no_row():
    async with linked({PUBLISH: refusing(0x40, 0x95)}) as link:
        with pytest.raises(TransientSyncError, match="smaller messages"):
            await link.publish("t", bytes(FLOOR_BYTES - 200))


@pytest.mark.parametrize("options", [ProtocolOptions(), V3], ids=["5", "3.1.1"])
async def test_the_second_hang_up_on_a_large_message_means_its_size(options: ProtocolOptions):
    lessons = Lessons()
    said: list[SyncError] = []
    for _ in range(3):
        async with hanging_up(options, lessons) as link:
            try:
                await link.publish("t", LARGE)
            except SyncError as exc:
                said.append(exc)
    assert [type(each) for each in said] == [TransientSyncError, BatchTooLargeError, BatchTooLargeError]
    assert "hung up twice" in said[1].message
    assert "takes packets of up to" in said[2].message


@contextlib.asynccontextmanager
async def hanging_up(options: ProtocolOptions, lessons: Lessons) -> AsyncIterator[Link]:
    """A link to a broker that ends the connection, without a word, at each publish."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for each in packets(reader):
            if each.kind == PUBLISH:
                return
            writer.write(CONNACK if options.has_properties else CONNACK_3)

    async with listening(handle) as port, broker_that_says({}) as broker, asyncio.timeout(DEADLINE_S):
        link = Link(
            replace(broker, port=port, options=options), client_id="c", on_message=lambda _: None,
            on_lost=lambda _: None, connection=ConnectionOptions(connect_timeout_s=DEADLINE_S), lessons=lessons,
        )  # fmt: skip
        try:
            await link.open()
            yield link
        finally:
            await link.close()


LIES = {
    "more in flight": (0x93, "more messages at a time", ProtocolOptions()),
    "an alias": (0x94, "a topic alias", ProtocolOptions()),
    "a retained message": (0x9A, "retained messages", ProtocolOptions()),
    "QoS 2": (0x9B, "QoS 2", ProtocolOptions(qos=2)),
}


@pytest.mark.parametrize(("code", "words", "options"), LIES.values(), ids=LIES)
async def test_what_is_refused_against_the_announcement_is_named_and_not_done_again(
    code: int, words: str, options: ProtocolOptions
):
    lessons = Lessons()
    wide = connack(b"\x22\x00\x0a")
    async with linked({CONNECT: wide, PUBLISH: disconnect(code)}, options=options, lessons=lessons) as link:
        before = link.limits
        with pytest.raises(TransientSyncError, match=words):
            await link.publish("t", b"x", retain=True)
    async with linked({CONNECT: wide}, options=options, lessons=lessons) as link:
        after = link.limits
    assert (before.in_flight, before.aliases, before.retains, before.qos) == (8, 10, True, options.qos)
    assert after != before


class Recorded:
    """A broker that keeps what it is sent, and acknowledges."""

    def __init__(self) -> None:
        self.published: list[Packet] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for each in packets(reader):
            if each.kind == CONNECT:
                writer.write(connack(b"\x22\x00\x01"))
            if each.kind == PUBLISH:
                self.published.append(each)
                at = 2 + int.from_bytes(each.body[:2])
                writer.write(packet(0x40, each.body[at : at + 2]))


async def test_a_topic_is_said_once_where_the_broker_takes_one_alias():
    broker_side = Recorded()
    async with listening(broker_side.handle) as port, broker_that_says({}) as broker, asyncio.timeout(DEADLINE_S):
        link = Link(
            replace(broker, port=port), client_id="c", on_message=lambda _: None, on_lost=lambda _: None,
            connection=ConnectionOptions(connect_timeout_s=DEADLINE_S),
        )  # fmt: skip
        await link.open()
        for topic in ("a/long/topic", "a/long/topic", "another", "a/long/topic"):
            await link.publish(topic, b"x")
        await link.close()
    lengths = [int.from_bytes(each.body[:2]) for each in broker_side.published]
    assert lengths == [12, 0, 7, 0]
    assert [b"\x23\x00\x01" in each.body for each in broker_side.published] == [True, True, False, True]


@pytest.mark.parametrize(("code", "words"), [(0x87, "publish on t"), (0x97, "for now")])
async def test_a_refusal_in_a_pubrec_is_heard(code: int, words: str):
    async with linked({PUBLISH: refusing(0x50, code)}, options=ProtocolOptions(qos=2)) as link:
        with pytest.raises(SyncError, match=words):
            await link.publish("t", b"x")


@pytest.mark.parametrize(
    ("code", "options", "words"),
    [
        (0x9E, ProtocolOptions(), "no shared subscriptions"),
        (0xA2, ProtocolOptions(), "no wildcard"),
        (0x87, ProtocolOptions(), "subscribe to t"),
        (0x80, V3, "subscribe to t"),
    ],
)
async def test_a_subscription_that_is_denied_is_a_matter_for_somebody(code: int, options: ProtocolOptions, words: str):
    answer = b"MI\x00" if options.has_properties else b"MI"
    async with linked({SUBSCRIBE: packet(0x90, answer + bytes([code]))}, options=options) as link:
        with pytest.raises(CredentialsError, match=words):
            await link.subscribe("t")


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (1, TransientSyncError, r"does not speak MQTT 3\.1\.1"),
        (2, CredentialsError, "client id"),
        (3, TransientSyncError, "for now"),
        (4, CredentialsError, "does not let us in"),
        (5, CredentialsError, "does not let us in"),
    ],
)
async def test_each_refusal_of_3_1_1_has_its_name(code: int, error: type[SyncError], words: str):
    with pytest.raises(error, match=words):
        async with linked({CONNECT: packet(0x20, bytes([0, code]))}, options=V3):
            pass


async def test_retained_answers_are_ignored_and_counted():
    answer = b'{"batch_id": "b1", "committed": true, "accepted": 0, "duplicates": 0, "rejected": []}'
    correlated = b"\x09\x00\x02b1"
    topic = b"sm/v1/gw-1/ack"
    rubbish = publish(topic, answer, properties=correlated)
    retained = bytes([rubbish[0] | 1]) + rubbish[1:]
    after = {CONNECT: CONNACK, SUBSCRIBE: SUBACK, PUBLISH: PUBACK + retained}
    async with broker_that_says(after) as broker, asyncio.timeout(DEADLINE_S):
        transport = MqttTransport(broker, gateway_id="gw-1", connection=ConnectionOptions(answer_timeout_s=0.3))
        with pytest.raises(TransientSyncError, match="no answer to batch b1"):
            await transport.send(b"x", batch_id="b1")
        assert transport.unexpected_total > 0
        await transport.close()


async def test_answers_that_come_while_we_sign_in_are_acknowledged_and_leave_room_for_the_next():
    """As many as may wait for us: late ones, of the connection before. A broker sends no more until they are taken."""
    late = b"".join(publish(b"sm/v1/gw-1/ack", b"{}", mid=mid) for mid in range(1, 9))
    acknowledged: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for each in packets(reader):
            if each.kind == CONNECT:
                writer.write(CONNACK)
            elif each.kind == SUBSCRIBE:
                writer.write(packet(0x90, each.body[:2] + b"\x00\x01") + late)
            elif each.kind == PUBACKED:
                acknowledged.append(each.body[:2])

    async with listening(handle) as port, broker_that_says({}) as broker, asyncio.timeout(DEADLINE_S):
        transport = MqttTransport(replace(broker, port=port), gateway_id="gw-1", max_in_flight=8)
        sending = asyncio.create_task(transport.send(b"x", batch_id="b1"))
        while len(acknowledged) < 8:
            await asyncio.sleep(0.01)
        sending.cancel()
        await asyncio.wait([sending])
        await transport.close()
    assert transport.unexpected_total == 8


async def test_a_take_over_is_told_with_its_count_and_no_sign_in_follows_at_once():
    signed_in = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal signed_in
        async for each in packets(reader):
            signed_in += each.kind == CONNECT
            writer.write(CONNACK if each.kind == CONNECT else disconnect(0x8E))
            await writer.drain()

    async with listening(handle) as port, broker_that_says({}) as broker, asyncio.timeout(DEADLINE_S):
        transport = MqttTransport(replace(broker, port=port), gateway_id="gw-1")
        for _ in range(3):
            with pytest.raises(TransientSyncError, match="another client has signed in") as caught:
                await transport.send(b"x", batch_id="b1")
        await transport.close()
    assert "'sm-gw-1' (1 times in a row)" in caught.value.message
    assert "gateway.id" in str(caught.value.hint)
    assert signed_in == 1


async def test_a_broker_that_takes_no_retained_will_is_signed_in_to_without_one():
    """A will stands in the CONNECT, before the broker can announce that it retains nothing."""
    retained_wills: list[bool] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for each in packets(reader):
            if each.kind == CONNECT:
                retained_wills.append(bool(each.body[7] & 0x20))
                writer.write(connack(b"", 0x9A) if retained_wills[-1] else CONNACK)
            elif each.kind == SUBSCRIBE:
                writer.write(packet(0x90, each.body[:2] + b"\x00\x01"))
            elif each.kind == PUBLISH:
                return

    async with listening(handle) as port, broker_that_says({}) as broker, asyncio.timeout(DEADLINE_S):
        transport = MqttTransport(replace(broker, port=port), gateway_id="gw-1")
        with pytest.raises(TransientSyncError, match="retained messages"):
            await transport.send(b"x", batch_id="b1")
        with pytest.raises(TransientSyncError, match="connection was lost"):
            await transport.send(b"x", batch_id="b1")
        await transport.close()
    assert retained_wills[:2] == [True, False]
