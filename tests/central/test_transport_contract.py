"""Both transports keep one contract: the one in memory, and HTTPS to the real service over real databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from cloud_sync.transports.https import HttpsTransport
from cloud_sync.transports.memory import Fault, MemoryTransport
from tests.contract.check_transport import CHECKS, GATEWAY, Bench
from tests.support.central import API_KEY, MAX_BODY_BYTES, Database
from tests.support.relay import Relay, page, relaying


class MemoryBench:
    max_body_bytes = MAX_BODY_BYTES

    def __init__(self) -> None:
        self.transport = MemoryTransport(max_body_bytes=MAX_BODY_BYTES)
        self.stranger = MemoryTransport(outcomes=[Fault.WRONG_KEY])

    async def keys(self) -> set[tuple[str, int] | str]:
        return {*self.transport.rows, *self.transport.events}

    async def lose_next_answer(self) -> None:
        self.transport.script(Fault.ANSWER_LOST)

    async def go_down(self) -> None:
        self.transport.reachable = False

    async def come_up(self) -> None:
        self.transport.reachable = True

    async def put_somebody_between(self, status: int) -> None:
        self.transport.somebody_says = status

    async def let_through(self) -> None:
        self.transport.somebody_says = None

    async def fall_silent(self) -> asyncio.Event:
        self.transport.script(Fault.SILENT)
        return self.transport.heard


class HttpsBench:
    max_body_bytes = MAX_BODY_BYTES

    def __init__(self, relay: Relay, database: Database) -> None:
        self._relay = relay
        self._database = database
        self.transport = HttpsTransport(relay.url, gateway_id=GATEWAY, api_key=API_KEY)
        self.stranger = HttpsTransport(relay.url, gateway_id=GATEWAY, api_key="nobody-knows-this-key")

    async def keys(self) -> set[tuple[str, int] | str]:
        return await self._database.keys()

    async def lose_next_answer(self) -> None:
        self._relay.drop_next_answer = True

    async def go_down(self) -> None:
        await self._database.server.kill()

    async def come_up(self) -> None:
        await self._database.server.start()

    async def put_somebody_between(self, status: int) -> None:
        self._relay.answer_instead(lambda _: page(status))

    async def let_through(self) -> None:
        self._relay.answer_instead(None)

    async def fall_silent(self) -> asyncio.Event:
        self._relay.silent = True
        return self._relay.heard


@pytest.fixture
async def https_bench(service_url: str, database: Database) -> AsyncIterator[HttpsBench]:
    async with relaying(service_url) as relay:
        bench = HttpsBench(relay, database)
        yield bench
        await bench.transport.close()
        await bench.stranger.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_memory_transport_keeps_the_contract(check) -> None:
    bench: Bench = MemoryBench()
    await check(bench)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_https_transport_keeps_the_contract(check, https_bench: HttpsBench) -> None:
    await check(https_bench)
