"""The door of an OPC UA server: what a real one said in one session, said again with one message changed; and values of
every kind where numbers were asked for."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from asyncua import Client, Server, ua

from edge_agent.core.clock import SystemClock
from edge_agent.drivers.opcua.driver import OpcUaDriver
from edge_agent.drivers.opcua.server_limits import ServerLimits
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.drivers.opcua.subscribing.subscription import Subscription
from edge_agent.drivers.opcua.subscribing.subscriptions import Subscriptions
from edge_agent.errors import DriverError
from tests.fuzz.door import Door, Enter
from tests.fuzz.generator import damaged
from tests.fuzz.wires import PATIENCE_S, against, first_item
from tests.support.sockets import listening

_HEADER_BYTES = 8  # kind, flag, and the size of the whole message
_CHUNKS = (
    b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x01\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80",
    b"\x80", b"\xff",
    b"\0\0\0\0\0\0\xf8\x7f", b"\0\0\0\0\0\0\xf0\x7f", b"\xff" * 8, b"MSGC", b"MSGA", b"ERRF", b"OPNF",
    b"\0" * 70_000,
)  # fmt: skip


def driver_of(port: int, *, silent_after_s: float = PATIENCE_S) -> OpcUaDriver:
    settings = {
        "type": "opcua", "name": "pump", "endpoint": f"opc.tcp://127.0.0.1:{port}/t", "allow_plaintext": True,
        "silent_after_s": silent_after_s, "publishing_interval_ms": 20,
        "nodes": [{"name": "p.flow", "unit": "", "node_id": "ns=2;s=flow"},
                  {"name": "p.none", "unit": "", "node_id": "ns=2;s=none"}],
    }  # fmt: skip
    return OpcUaDriver(OpcUaSettings.model_validate(settings), SystemClock())


@functools.cache
def recorded() -> tuple[bytes, ...]:
    """What a real server says, message by message, until the first value has come."""
    return asyncio.run(_record())


async def _record() -> tuple[bytes, ...]:
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0/t")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace("urn:test")
    await server.nodes.objects.add_variable(ua.NodeId("flow", index), "flow", 1.0)
    said: list[bytes] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", server.bserver.port)
        asks = asyncio.create_task(_carry(reader, back, []))
        try:
            await _carry(there, writer, said)
        finally:
            asks.cancel()
            back.close()

    async with server, listening(relay) as port:
        await first_item(driver_of(port, silent_after_s=30.0))
    return tuple(said)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: list[bytes]) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while True:
            kept.append(await _message(reader))
            writer.write(kept[-1])
            await writer.drain()


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(_HEADER_BYTES)
    return head + await reader.readexactly(struct.unpack_from("<I", head, 4)[0] - _HEADER_BYTES)


def _session(rng: random.Random) -> bytes:
    """The messages, each after its length."""
    said = list(recorded())
    for _ in range(rng.choice([1, 1, 2])):
        at = rng.randrange(len(said))
        head, body = said[at][:_HEADER_BYTES], damaged(rng, said[at][_HEADER_BYTES:], _CHUNKS)
        if rng.random() < 0.9:  # else the size is the old one
            head = head[:4] + struct.pack("<I", len(body) + _HEADER_BYTES)
        said[at] = damaged(rng, head, _CHUNKS) + body if rng.random() < 0.1 else head + body
        if rng.random() < 0.1:
            said.insert(at, said[at])
    return b"".join(struct.pack("<I", len(message)) + message for message in said)


async def _replay(content: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One message for each of the client's; the rest, and the end, when all have been asked for."""
    said = []
    while content:
        (length,) = struct.unpack_from("<I", content)
        said.append(content[4 : 4 + length])
        content = content[4 + length :]
    for message in said:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S / 3):
                await _message(reader)
        writer.write(message)
        await writer.drain()


_SET_BY_NOBODY = (datetime.max, datetime.min, datetime(1601, 1, 1))  # noqa: DTZ901, DTZ001 (the library's are naive)
_VALUES: tuple[Any, ...] = (
    0, True, 1.5, float("nan"), float("-inf"), 2**63, -(2**63), "text", "", b"\xff", None, [1, 2], [], [[1.0]],
    *_SET_BY_NOBODY, SimpleNamespace(), ua.NodeId(1), ua.LocalizedText("a"), 2**64 - 1,
)  # fmt: skip
_TIMES = (None, *_SET_BY_NOBODY, datetime(2026, 1, 1, tzinfo=UTC))
_CODES = (0, 0x80000000, 0x40000000, 0xFFFFFFFF, 0x480, 0x80340000, 0xC0000000, 1)


def _choices(rng: random.Random) -> bytes:
    return rng.randbytes(40)


def _published(content: bytes) -> Any:
    take = iter(content).__next__

    def item() -> Any:
        value = ua.DataValue(ua.Variant(1.0))
        pick = take()
        if pick < 200:
            value = SimpleDataValue(pick)
        return SimpleNamespace(
            ClientHandle=[0, 1, 2, 2**32 - 1][take() % 4], Value=[value, value, value, None][take() % 4]
        )

    class SimpleDataValue(ua.DataValue):
        def __init__(self, pick: int) -> None:
            super().__init__()
            object.__setattr__(
                self, "Value", [SimpleNamespace(Value=_VALUES[pick % len(_VALUES)]), None][pick % 7 == 0]
            )
            object.__setattr__(self, "StatusCode_", ua.StatusCode(_CODES[take() % len(_CODES)]))
            object.__setattr__(self, "SourceTimestamp", _TIMES[take() % len(_TIMES)])

    change = ua.DataChangeNotification()
    change.MonitoredItems = [item() for _ in range(take() % 4)] if take() % 8 else None
    message = SimpleNamespace(
        PublishTime=None,
        NotificationData=[change] if take() % 8 else None,
        SequenceNumber=[0, 1, 5, 2**32 - 1][take() % 4],
    )
    return SimpleNamespace(SubscriptionId=1, NotificationMessage=message, MoreNotifications=False)


@contextlib.contextmanager
def _publishing() -> Iterator[Enter]:
    driver, clock = driver_of(1), SystemClock()

    async def publish(content: bytes) -> None:
        subscriptions = Subscriptions(Client("opc.tcp://127.0.0.1:1"), driver._settings, ServerLimits(), clock)
        subscriptions._by_id[1] = Subscription(1, 20.0, 1.0, 0, 0.0)
        for part in (content[:20], content[20:]):
            for notice in await subscriptions.take(_published(part)):
                await driver._items(notice)

    with asyncio.Runner() as runner:
        yield lambda content: runner.run(publish(content))


DOORS = (
    Door("opcua", _session, against(_replay, lambda port: first_item(driver_of(port))), (DriverError,), in_tests=20),
    Door("opcua-values", _choices, _publishing, ()),
)
