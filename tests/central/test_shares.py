"""Turns at the database: how many at a time, in which order, who is turned away; and that no gateway costs another."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

import httpx
import pytest

from cloud_sync import wire
from cloud_sync.central.database import shares
from cloud_sync.central.database.shares import AskedTogether, FairShare, ShareLimits, TurnedAwayError
from cloud_sync.central.database.store import Store
from cloud_sync.records import Batch
from tests.contract.check_transport import rms, rows
from tests.support.central import API_KEY

DEADLINE_S = 60.0


class Work:
    """Turns that last until they are told to end, and the order in which they began."""

    def __init__(self, share: FairShare) -> None:
        self._share = share
        self.begun: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}
        self.turned_away: Counter[str] = Counter()

    async def do(self, name: str) -> None:
        gateway_id, _, _ = name.partition("/")
        self.ends[name] = asyncio.Event()
        try:
            async with self._share.turn(gateway_id):
                self.begun.append(name)
                await self.ends[name].wait()
        except TurnedAwayError as exc:
            self.turned_away[f"{gateway_id}: own doing" if exc.is_own_doing else gateway_id] += 1


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_gateway_with_many_requests_takes_no_place_from_another():
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        work = Work(FairShare(ShareLimits(at_once=3, each=2, waiting=10, waiting_each=3)))
        for name in ("a/1", "a/2", "a/3", "a/4", "a/5", "a/6", "b/1", "b/2", "c/1"):
            group.create_task(work.do(name))
            await settled()
        assert work.begun == ["a/1", "a/2", "b/1"]  # a third of a's finds a free place, and must not have it
        assert work.turned_away == {"a: own doing": 1}
        for name, then in (("a/1", "a/3"), ("b/1", "b/2"), ("a/2", "c/1"), ("a/3", "a/4")):
            work.ends[name].set()
            await settled()
            assert work.begun[-1] == then
        for name in ("b/2", "c/1", "a/4", "a/5"):
            work.ends[name].set()


async def test_those_who_wait_get_turns_by_gateway_and_not_by_request():
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        work = Work(FairShare(ShareLimits(at_once=1, each=1, waiting=10, waiting_each=5)))
        names = ["a/1", "a/2", "a/3", "a/4", "b/1", "c/1"]
        for name in names:
            group.create_task(work.do(name))
            await settled()
        for name in ("a/1", "a/2", "b/1", "c/1", "a/3", "a/4"):
            assert work.begun[-1] == name
            work.ends[name].set()
            await settled()


async def test_what_waits_is_bounded_in_number_and_in_time():
    counted: Counter[str] = Counter()
    limits = ShareLimits(at_once=1, each=1, waiting=2, waiting_each=1, patience_s=0.01)
    share = FairShare(limits, on_turned_away=lambda gateway_id: counted.update([gateway_id]))
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        work = Work(share)
        waiting = [group.create_task(work.do(name)) for name in ("a/1", "b/1", "c/1", "d/1")]
        await asyncio.wait(waiting[1:])  # d at once, the others when their patience is at its end
        assert work.turned_away == counted == Counter("bcd")
        work.ends["a/1"].set()


async def test_who_gives_up_leaves_no_place_taken():
    share = FairShare(ShareLimits(at_once=1, each=1, waiting=10, waiting_each=10))
    async with asyncio.timeout(DEADLINE_S):
        for steps in range(6):  # a cancel before, at and after the moment the turn is granted
            work = Work(share)
            first, second = (asyncio.create_task(work.do(name)) for name in ("a/1", "b/1"))
            await settled()
            work.ends["a/1"].set()
            for _ in range(steps):
                await asyncio.sleep(0)
            second.cancel()
            with suppress(asyncio.CancelledError):
                await second
            await first
            async with share.turn("c"):
                pass


async def test_those_who_ask_at_the_same_time_get_one_answer():
    asked, may_answer = 0, asyncio.Event()

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await may_answer.wait()
        return asked

    together = AskedTogether(ask)
    asking = [asyncio.create_task(together.answer()) for _ in range(50)]
    await settled()
    asking[0].cancel()  # costs the others nothing
    may_answer.set()
    assert await asyncio.gather(*asking[1:]) == [1] * 49
    assert await together.answer() == 2


async def test_digests_of_one_gateway_keep_no_batch_of_another_waiting(store: Store, service_url: str):
    """While the database is held up for every digest."""
    await store.add_key("key-2", gateway_id="gw-2")
    question = {"gateway_id": "gw-2", "from": "2025-06-01T00:00:00Z", "to": "2025-06-20T00:00:00Z"}
    async with asyncio.timeout(DEADLINE_S), httpx.AsyncClient(base_url=service_url, timeout=DEADLINE_S) as client:
        async with store.reached() as (connection, _), connection.transaction():
            await connection.execute("LOCK TABLE sensors IN ACCESS EXCLUSIVE MODE")
            headers = {"X-API-Key": "key-2"}
            digests = [
                asyncio.create_task(client.get("/api/v1/data/digest", params=question, headers=headers))
                for _ in range(40)
            ]
            done, _ = await asyncio.wait(digests, return_when=asyncio.FIRST_COMPLETED)
            assert (await client.get("/health")).status_code == 200
        answers = [(await digest).status_code for digest in digests]
        assert Counter(answers) == {200: 3, 429: 37}
        assert all(one.result().headers["Retry-After"] for one in done)
        headers = {"X-API-Key": API_KEY, "Idempotency-Key": "gw-1:b1", "Content-Encoding": "zstd"}
        body = wire.encode(Batch("gw-1", rows(5, rms("of.another"))))
        assert (await client.post("/api/v1/data/ingest/batch", content=body, headers=headers)).status_code == 200
        assert 'turned_away_total{gateway="gw-2",work="digest"} 37' in (await client.get("/metrics")).text


def test_shares_leave_connections_for_the_rest():
    taken = shares.INGEST.at_once + shares.DIGEST.at_once
    assert shares.CONNECTIONS - taken >= 4  # keys, health, totals, and a job that runs for minutes
    assert shares.INGEST.each < shares.INGEST.at_once
    assert shares.DIGEST.each < shares.DIGEST.at_once


@pytest.mark.parametrize("limits", [shares.INGEST, shares.DIGEST, shares.BODIES])
def test_one_gateway_never_fills_a_share_or_its_queue(limits: ShareLimits):
    assert limits.each < limits.at_once
    assert limits.waiting_each * 4 <= limits.waiting
