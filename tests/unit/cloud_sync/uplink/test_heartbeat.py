"""A sign of life goes when nothing else does, and only while the link is up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from cloud_sync import wire
from cloud_sync.errors import TransientSyncError
from cloud_sync.presence import Presence
from cloud_sync.records import Settlement
from cloud_sync.twins import Sender
from cloud_sync.uplink.heartbeat import Heartbeat
from cloud_sync.uplink.state import LinkState
from tests.support.transports import FakeTransport


class Central(FakeTransport):
    """Takes everything; `fails` for once."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self.bodies: list[bytes] = []
        self.fails = False

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        self._presence.line()
        self.bodies.append(body)
        if self.fails:
            self.fails = False
            raise TransientSyncError("away")
        return Settlement(0, 0)

    async def close(self) -> None:
        """Nothing is open."""


class Bench:
    def __init__(self, *, every_s: float = 20.0) -> None:
        self.now_s = 0.0
        self.link = LinkState.ONLINE
        self.on_sleep: Callable[[], None] = lambda: None
        self.presence = Presence(monotonic_s=lambda: self.now_s)
        self.presence.begin(Sender("a" * 16, 1, "b" * 10))
        self.central = Central(self.presence)
        self._heartbeat = Heartbeat(
            self.central,
            self.presence,
            gateway_id="gw-1",
            every_s=every_s,
            link=lambda: self.link,
            sleep=self._sleep,
        )

    async def run_for(self, seconds: float) -> None:
        self._ends_s = self.now_s + seconds
        with pytest.raises(asyncio.CancelledError):
            await self._heartbeat.run()

    async def _sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.on_sleep()
        if self.now_s > self._ends_s:
            raise asyncio.CancelledError


async def test_an_idle_box_is_heard_of_every_twenty_seconds():
    bench = Bench()
    await bench.run_for(61)
    assert len(bench.central.bodies) == 3
    assert len(wire.decode(bench.central.bodies[0])) == 0


async def test_a_box_that_sends_needs_no_sign_of_life():
    bench = Bench()
    bench.on_sleep = bench.presence.line
    await bench.run_for(100)
    assert bench.central.bodies == []


async def test_nothing_goes_while_the_link_is_down():
    bench = Bench()
    bench.link = LinkState.OFFLINE
    await bench.run_for(100)
    assert bench.central.bodies == []


async def test_one_that_fails_is_not_the_last():
    bench = Bench()
    bench.central.fails = True
    await bench.run_for(41)
    assert len(bench.central.bodies) == 2


async def test_none_is_sent_when_none_is_wanted():
    bench = Bench(every_s=0)
    bench._ends_s = 0.0
    await bench._heartbeat.run()
    assert bench.central.bodies == []
