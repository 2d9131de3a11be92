"""Whose time counts as the central's: the central's own answers over each transport, and nobody's in between."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from email.utils import formatdate

import pytest

from cloud_sync import wire
from cloud_sync.central.database.store import Store
from cloud_sync.central.ingress.mqtt import MqttConsumer
from cloud_sync.errors import SyncError
from cloud_sync.records import Batch
from cloud_sync.transports.auto import AutoTransport, transport_for
from cloud_sync.transports.base import Transport
from cloud_sync.transports.central_time import CentralTime
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.mqtt.transport import MqttTransport
from cloud_sync.transports.single import SingleReadingTransport
from tests.central.test_somebody_between import NAMED, said
from tests.contract.check_transport import GATEWAY, batch, event, rows
from tests.support import platform as platforms
from tests.support.central import API_KEY
from tests.support.mosquitto import mosquitto
from tests.support.relay import relaying

DEADLINE_S = 60.0
PLATFORMS_OWN_S = 10.0
YEAR_2040_S = 2_208_988_800.0
SOMEBODYS_DATE = f"Date: {formatdate(YEAR_2040_S, usegmt=True)}"


def options(heard: CentralTime) -> ConnectionOptions:
    return ConnectionOptions(connect_timeout_s=20.0, answer_timeout_s=DEADLINE_S, central_time=heard)


@contextlib.asynccontextmanager
async def over_https(url: str, heard: CentralTime) -> AsyncIterator[Transport]:
    transport = transport_for("batch", url, gateway_id=GATEWAY, api_key=API_KEY, connection=options(heard))
    try:
        yield transport
    finally:
        await transport.close()


def is_true_time(heard: CentralTime) -> bool:
    """Whether what was heard holds this machine's time, which is the central's too."""
    true_us = time.time_ns() // 1000 - time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    clock = heard.clock
    # A server on a busy machine makes its Date later than it promises.
    return clock is not None and abs(clock.offset_us - true_us) <= clock.within_us + PLATFORMS_OWN_S * 1e6


@pytest.mark.parametrize("database_server", ["plain"], indirect=True)
async def test_a_proven_answer_says_the_centrals_time(service_url: str):
    heard = CentralTime()
    async with over_https(service_url, heard) as transport:
        await transport.send(wire.encode(Batch(GATEWAY)), batch_id="b1")
    assert is_true_time(heard)


@pytest.mark.parametrize("database_server", ["plain"], indirect=True)
async def test_a_proven_refusal_says_it_too(service_url: str):
    heard = CentralTime()
    async with over_https(service_url, heard) as transport:
        with pytest.raises(SyncError):
            await transport.send(b"no batch", batch_id="b1")
    assert is_true_time(heard)


@pytest.mark.parametrize("name", [name for name in NAMED if name != "settles everything"])
async def test_whoever_answers_in_the_centrals_place_says_nothing_of_its_time(name: str):
    heard = CentralTime()
    async with relaying("http://127.0.0.1:9") as relay, over_https(relay.url, heard) as transport:
        head, _, rest = NAMED[name](b"").partition(b"\r\n")
        relay.answer_instead(lambda _: head + b"\r\n" + SOMEBODYS_DATE.encode() + b"\r\n" + rest)
        with pytest.raises(SyncError):
            await transport.send(wire.encode(batch()), batch_id="b1")
    assert heard.clock is None


async def test_of_an_older_central_a_settlement_says_it():
    heard, settled = CentralTime(), said(
        200,
        b'{"batch_id": "b1", "committed": true, "accepted": 6, "duplicates": 0, "rejected": []}',
        "Content-Type: application/json",
        SOMEBODYS_DATE,
    )  # fmt: skip
    async with relaying("http://127.0.0.1:9") as relay, over_https(relay.url, heard) as transport:
        relay.answer_instead(settled)
        await transport.send(wire.encode(batch()), batch_id="b1")
    clock = heard.clock
    assert clock is not None
    now_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    assert abs(clock.offset_us + now_us - YEAR_2040_S * 1e6) < DEADLINE_S * 1e6


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 31 Feb 2040 00:00:00 GMT", "Sun, 01 Jan 2040 00:00:00 CET"])
async def test_a_date_that_is_none_says_nothing(date: str):
    heard, settled = CentralTime(), said(
        200,
        b'{"batch_id": "b1", "committed": true, "accepted": 6, "duplicates": 0, "rejected": []}',
        "Content-Type: application/json",
        f"Date: {date}",
    )  # fmt: skip
    async with relaying("http://127.0.0.1:9") as relay, over_https(relay.url, heard) as transport:
        relay.answer_instead(settled)
        await transport.send(wire.encode(batch()), batch_id="b1")
    assert heard.clock is None


async def platforms_time(body: bytes, api: str) -> CentralTime:
    """What the stand-in of the platform of single readings says, asked with this batch."""
    heard = CentralTime()
    async with platforms.serving(platforms.Platform()) as url:
        transport = transport_for(
            "single" if api == "single" else "auto",
            url, gateway_id=platforms.GATEWAY, api_key=platforms.API_KEY, connection=options(heard),
        )  # fmt: skip
        assert isinstance(transport, SingleReadingTransport | AutoTransport)
        try:
            with contextlib.suppress(SyncError):  # events have no place there
                await transport.send(body, batch_id="b1")
        finally:
            await transport.close()
    return heard


@pytest.mark.parametrize("api", ["single", "auto"])
async def test_the_platform_of_single_readings_says_it_also_when_there_are_only_events(api: str):
    assert is_true_time(await platforms_time(wire.encode(Batch(platforms.GATEWAY, rows(1))), api))
    assert is_true_time(await platforms_time(wire.encode(Batch(platforms.GATEWAY, (), (event("ev-1"),))), api))


@pytest.mark.parametrize("database_server", ["plain"], indirect=True)
async def test_an_answer_over_mqtt_says_it_with_its_own_words(store: Store):
    heard = CentralTime()
    with mosquitto(users={GATEWAY: "right", "central": "also-right"}) as server:
        consumer = MqttConsumer(server.broker("central", "also-right"), store)
        running = asyncio.create_task(consumer.run())
        transport = MqttTransport(server.broker(GATEWAY, "right"), gateway_id=GATEWAY, connection=options(heard))
        try:
            async with asyncio.timeout(DEADLINE_S):
                await consumer.listening.wait()
            await transport.send(wire.encode(batch()), batch_id="b1")
        finally:
            await transport.close()
            running.cancel()
            await asyncio.wait([running])
    assert is_true_time(heard)
