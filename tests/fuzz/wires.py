"""Doors of bytes on a wire, against a server on this machine that answers with the input: HTTP, MQTT, Modbus, OPC UA,
framed samples over TCP and UDP."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator

import numpy as np

from cloud_sync.errors import SyncError
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.http_central import failure_of
from cloud_sync.transports.http_exchange import HttpExchange
from cloud_sync.transports.known_central import KnownCentral
from cloud_sync.transports.mqtt.broker import Broker
from cloud_sync.transports.mqtt.transport import MqttTransport
from cloud_sync.transports.tls import ClientTls
from edge_agent.core.clock import SystemClock
from edge_agent.drivers.accelerometer.protocol import SampleFormat, encode
from edge_agent.drivers.accelerometer.settings import AccelerometerSettings
from edge_agent.drivers.base import Driver
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.registry import build_driver
from edge_agent.errors import DriverError
from tests.chaos.mqtt_packets import packets
from tests.fuzz.answers import NOW
from tests.fuzz.door import Door, Enter
from tests.fuzz.generator import damaged
from tests.support.scripted_broker import PUBLISH, SUBSCRIBE, packet, publish, with_mid
from tests.support.sockets import listening

Answer = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Client = Callable[[int], Awaitable[object]]

PATIENCE_S = 0.3
"""How long a client waits for an answer that does not come: most inputs end sooner, by the end of the connection."""

HANG_S = 60.0


def against(answer: Answer, client: Client) -> Callable[[], contextlib.AbstractContextManager[Enter]]:
    """A door whose input is what a server sends to `client`, which is given the port."""

    @contextlib.contextmanager
    def opened() -> Iterator[Enter]:
        content = b""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await answer(content, reader, writer)

        async def meet(port: int) -> None:
            try:
                async with asyncio.timeout(HANG_S):
                    await client(port)
            except TimeoutError:
                raise AssertionError(f"not over after {HANG_S:g} s") from None

        with asyncio.Runner() as runner:
            scope = listening(handle)
            port = runner.run(_entered(scope))

            def enter(given: bytes) -> None:
                nonlocal content
                content = given
                runner.run(meet(port))

            try:
                yield enter
            finally:
                runner.run(scope.__aexit__(None, None, None))

    return opened


async def _entered(scope: contextlib.AbstractAsyncContextManager[int]) -> int:
    return await scope.__aenter__()


# HTTP

_HEADS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 503 Busy\r\nRetry-After: 17\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://[::1/\r\nSet-Cookie: a=b; Expires=Thu, 01 Jan 99999 00:00:00 GMT\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, zstd\r\nContent-Type: text/html; charset=nope\r\n\r\n\x1f\x8b\x08\0",
    b"HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm=x\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n", b"HTTP/1.0 200\r\n\r\n", b"HTTP/2 200\r\n\r\n",
)  # fmt: skip
_HTTP_CHUNKS = (
    b"\r\n", b"\n", b"\0", b"HTTP/1.1 103 Early\r\n\r\n" * 200, b"A: b\r\n" * 5_000,
    b"A: " + b"b" * 110_000 + b"\r\n",
    b"Content-Length: -1\r\n", b"Content-Length: 1\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"ffffffffffffffff\r\n",
    b"Retry-After: Mon, 01 Jan 2026 99999999999999999999:00:00 GMT\r\n", b"Location: \xff://\xed\xa0\x80\r\n",
    b": ", b" ",
    b"Content-Encoding: br\r\n", b"Set-Cookie: \x80=" + b"c" * 5_000 + b"\r\n", b"\xff" * 10, b"9" * 5_000,
)  # fmt: skip


async def _answer_http(content: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(content)
    await writer.drain()


async def _ask_http(port: int) -> None:
    quick = ConnectionOptions(connect_timeout_s=HANG_S / 4, answer_timeout_s=HANG_S / 4)
    http = HttpExchange(headers={}, tls=_TLS, connection=quick)
    async with contextlib.aclosing(http):
        answer = await http.ask("POST", f"http://127.0.0.1:{port}/", body=b"x")
    if answer.status != 200:
        raise failure_of(answer, now=NOW, known=KnownCentral())


_TLS = ClientTls()


# MQTT: what a broker sends after CONNECT, after SUBSCRIBE, and after the batch, with three bytes between them

_BREAK = b"\xfe\xed\xfe"
_ACK = b"sm/v1/g/ack"
_PROPERTIES = (b"", b"\x09\x00\x02b1", b"\x09\x00\x02b2", b"\x08\x00\x01t", b"\x26\x00\x01a\x00\x01b", b"\x23\x00\x01",
               b"\x02\x00\x00\x00\x00", b"\x0b\xff\xff\xff\x7f", b"\x7f", b"\x09\xff\xff",
               b"\x03\x00\x02\xed\xa0")  # fmt: skip
_CONNACKS = (packet(0x20, b"\0\0\0"), packet(0x20, b"\0\0\x05\x27\0\0\0\x01"), packet(0x20, b"\0\x87\0"),
             packet(0x20, b"\x01\0\x06\x13\0\0\x21\0\0"), packet(0x20, b"\0\0"), packet(0x20,
             b"\0\0\x02\x24\0"))  # fmt: skip
_SUBACKS = (packet(0x90, b"MI\0\x01"), packet(0x90, b"MI\0"), packet(0x90, b"MI\0\x87"), packet(0x90, b"\0\0\0\x01"))
_PUBACKS = (packet(0x40, b"MI"), packet(0x40, b"MI\x10\0"), packet(0x40, b"MI\x87\0"), packet(0x40, b"\xff\xff\x80\0"))
_SETTLED = b'{"batch_id":"b1","committed":true,"accepted":1,"duplicates":0,"rejected":[]}'
_OTHERS = (packet(0xE0, b"\x8e\0"), packet(0xD0, b""), packet(0x50, b"\0\x01"), packet(0x62, b"\0\x01"), b"\xe0\x00",
           packet(0x30, b"", length=200_000_000), b"\x30\xff\xff\xff\xff\x01", packet(0xC0, b""))  # fmt: skip


def _broker(rng: random.Random) -> bytes:
    def some_publish() -> bytes:
        topic = rng.choice([_ACK] * 6 + [b"", b"\xff", b"a" * 60_000, b"sm/v1/+/ack"])
        content = rng.choice([_SETTLED] * 6 + [b"", b"[" * 5_000, b'{"error":"busy","retry_after_s":1e999}'])
        return publish(
            topic,
            content,
            mid=rng.choice([0, 1, 2, 65_535]),
            properties=rng.choice([_PROPERTIES[1]] * 8 + list(_PROPERTIES)),
            qos=rng.choice([1] * 6 + [0, 2]),
        )

    after_batch = [
        rng.choice([rng.choice(_PUBACKS), some_publish(), some_publish(), rng.choice(_OTHERS)])
        for _ in range(rng.randrange(1, 6))
    ]
    parts = [rng.choice(_CONNACKS[:1] * 4 + _CONNACKS), rng.choice(_SUBACKS[:1] * 4 + _SUBACKS), b"".join(after_batch)]
    if rng.random() < 0.5:
        at = rng.randrange(3)
        parts[at] = damaged(rng, parts[at])
    return _BREAK.join(parts)


async def _answer_mqtt(content: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Of our two PUBLISHes that of the state is answered by its PUBACK, the batch by the input; then it hangs up."""
    connack, suback, rest = [*content.split(_BREAK, 2), b"", b""][:3]
    after = {1: [connack], SUBSCRIBE: [suback], PUBLISH: [packet(0x40, b"MI"), rest]}
    async for each in packets(reader):
        said = after.get(each.kind) or []
        if said:
            writer.write(with_mid(said.pop(0), each.kind, each.body))
            await writer.drain()
        if each.kind == PUBLISH and not said:
            await asyncio.sleep(0.01)
            return


async def _send_over_mqtt(port: int) -> None:
    patient = ConnectionOptions(connect_timeout_s=PATIENCE_S, answer_timeout_s=PATIENCE_S)
    transport = MqttTransport(
        Broker("127.0.0.1", port, tls=None),
        gateway_id="g",
        connection=patient,
    )
    try:
        await transport.send(b"x", batch_id="b1")
    finally:
        await transport.close()


# Drivers


async def first_item(driver: Driver) -> None:
    """Open, take what comes first, close, as the supervisor does."""
    try:
        await driver.open()
        async with contextlib.aclosing(driver.stream()) as items:  # type: ignore[type-var]
            async for _ in items:
                return
    finally:
        await driver.close()


_FRAMES = tuple(
    encode(
        np.ones((1, 30), np.float32), sequence=number, sample_rate_hz=1_000.0, timestamp_ns=stamp, sample_format=kind
    )
    for number, stamp, kind in (
        (5, None, SampleFormat.FLOAT32),
        (6, 1, SampleFormat.INT16),
        (2**32 - 1, -(2**63), SampleFormat.INT32),
    )
)
_FIELDS = (0, 1, 2, 64, 65, 2**16 - 1, 2**31, 2**32 - 1)


def _framed(rng: random.Random) -> bytes:
    """Frames whose checksum is right also where a field is absurd."""
    frames = []
    for _ in range(rng.choice([1, 3, 8])):
        frame = bytearray(rng.choice(_FRAMES))
        if rng.random() < 0.6:
            struct.pack_into("<I", frame, rng.choice([4, 8, 12, 16, 20, 24, 28, 40]), rng.choice(_FIELDS))
        if rng.random() < 0.3:
            struct.pack_into("<d", frame, 16, rng.choice([float("nan"), float("inf"), -1.0, 0.0, 1e308, 1_000.0]))
        if rng.random() < 0.2:
            struct.pack_into("<f", frame, 32, rng.choice([float("nan"), float("inf"), -3.4e38]))
        frame[-4:] = struct.pack("<I", zlib.crc32(frame[:-4]))
        frames.append(bytes(frame))
    content = b"".join(frames)
    return content if rng.random() < 0.6 else damaged(rng, content)


async def _send_all(content: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(content)
    await writer.drain()


def _sensor(port: int) -> Awaitable[None]:
    settings = AccelerometerSettings.model_validate(
        {"type": "accelerometer", "name": "a", "asset": "r", "interface": "tcp", "port": port,
        "sample_rate_hz": 1_000,
         "block_s": 0.03, "silent_after_s": PATIENCE_S, "channels": [{"point": "x"}]}
    )  # fmt: skip
    return first_item(build_driver(settings, SystemClock()))


_PDUS = (
    b"\x03\x06\x00\x01\x7f\xc0\x00\x00", b"\x83\x02", b"\x83\x0b", b"\x83\xff", b"\x01\x01\x01", b"\x03\x00",
    b"\x03\xff", b"",
    b"\x2b\x0e\x01", b"\x10\x00\x01\x00\x02", b"\x03\x06\xff\xff\xff\xff\xff\xff", b"\x80\x01", b"\x00",
    b"\x07\x00", b"\x17\x02\x00\x01",
    b"\x16" + b"\0" * 6, b"\x18\x00\x06\x00\x02\x01\xb8\x12\x84", b"\x14\x05\x01\x06\x00\x00\x00",
    b"\x08\x00\x00\x12\x34", b"\x41\x05\x06",
)  # fmt: skip


def _modbus(rng: random.Random) -> bytes:
    """Answers after one another, each with its header; `TI` stands for the transaction that was asked."""
    out = b""
    for _ in range(rng.choice([1, 1, 2, 5])):
        pdu = rng.choice(_PDUS[:1] * 4 + _PDUS)
        if rng.random() < 0.3:
            pdu = damaged(rng, pdu)[:300]
        length = rng.choice([len(pdu) + 1] * 6 + [0, 1, 2, 255, 65_535])
        out += rng.choice([b"TI"] * 8 + [b"\0\0", b"\xff\xff"]) + rng.choice([b"\0\0"] * 9 + [b"\0\1"])
        out += struct.pack(">HB", length, rng.choice([1] * 8 + [0, 255])) + pdu
    return out if rng.random() < 0.85 else damaged(rng, out)


async def _answer_modbus(content: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.readexactly(12)
    writer.write(content.replace(b"TI", request[:2]))
    await writer.drain()


def _plc(port: int) -> Awaitable[None]:
    settings = ModbusSettings.model_validate(
        {"type": "modbus", "name": "plc", "host": "127.0.0.1", "port": port, "timeout_s": PATIENCE_S / 5,
         "poll_groups": [{"interval_s": 0.1, "tags": [
             {"name": "a.b", "unit": "1", "address": 0}, {"name": "a.c", "unit": "1", "address": 1,
             "data_type": "float32"}]}]}
    )  # fmt: skip
    return first_item(build_driver(settings, SystemClock()))


DOORS = (
    Door(
        "http",
        lambda rng: damaged(rng, rng.choice(_HEADS), _HTTP_CHUNKS),
        against(_answer_http, _ask_http),
        (SyncError,),
    ),
    Door("mqtt", _broker, against(_answer_mqtt, _send_over_mqtt), (SyncError,), in_tests=60),
    Door("frames", _framed, against(_send_all, _sensor), (DriverError,)),
    Door("modbus", _modbus, against(_answer_modbus, _plc), (DriverError,), in_tests=40),
)
