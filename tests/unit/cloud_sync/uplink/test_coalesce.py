"""Several blocks in one request, several requests at a time, and a backlog beside what is live."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.errors import OutboxUnavailableError
from cloud_sync.outbox.store import Block, Outbox
from cloud_sync.records import Refusal, Row, Settlement
from cloud_sync.transports.memory import Fault, MemoryTransport, RefuseIndex
from cloud_sync.uplink.coalesce import coalesce, part_of
from cloud_sync.uplink.scheduler import LIVE_BLOCKS
from cloud_sync.uplink.sender import LinkState, Policy, Uplink
from tests.support.blocks import block_of, fresh_rows
from tests.support.transports import FakeTransport
from tests.support.writing import until

DEADLINE_S = 10.0


@dataclass
class Gate(FakeTransport):
    """A central that answers only when it is let; it knows how many requests are with it at once."""

    inner: MemoryTransport = field(default_factory=MemoryTransport)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    most: int = 0

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await self.open.wait()
            return await self.inner.send(body, batch_id=batch_id)
        finally:
            self.waiting -= 1


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db", max_bytes=10_000_000) as outbox:
        yield outbox


@contextlib.asynccontextmanager
async def running(uplink: Uplink) -> AsyncIterator[None]:
    task = asyncio.create_task(uplink.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=DEADLINE_S)
        assert task.cancelled()


def store(outbox: Outbox, *sizes: int) -> list[Row]:
    parts = [fresh_rows(size) for size in sizes]
    outbox.append([block_of(part) for part in parts])
    return [row for part in parts for row in part]


def uplink_to(transport: MemoryTransport | Gate, outbox: Outbox, **policy: float) -> Uplink:
    return Uplink(outbox, transport, policy=Policy(0.01, **policy))  # type: ignore[arg-type]


def blocks_in(outbox: Outbox, count: int) -> list[Block]:
    blocks: list[Block] = []
    for _ in range(count):
        block = outbox.peek(after_id=blocks[-1].id if blocks else 0)
        assert block is not None
        blocks.append(block)
    return blocks


# ---- joining


async def test_small_blocks_travel_in_one_request_and_are_settled_each(outbox: Outbox):
    rows, transport = store(outbox, 3, 1, 5), MemoryTransport()
    uplink = uplink_to(transport, outbox)
    assert await uplink.drain()
    assert transport.sent_total == 1
    assert list(transport.rows.values()) == rows
    assert outbox.depth().blocks == 0
    assert (uplink.state.accepted_total, uplink.state.batches_total) == (9, 3)


async def test_row_refused_in_a_joined_request_is_found_in_its_own_block(outbox: Outbox):
    rows = store(outbox, 3, 4, 5)
    transport = MemoryTransport(outcomes=[RefuseIndex(frozenset({2, 4}))])
    assert await uplink_to(transport, outbox).drain()
    letters = outbox.dead_letters()
    assert [letter.position for letter in letters] == [2, 1]
    assert [wire.decode(letter.content).rows for letter in letters] == [(rows[2],), (rows[4],)]
    assert len(transport.rows) == 10


@pytest.mark.parametrize("fault", [Fault.TOO_LARGE, Fault.UNREADABLE])
async def test_joined_request_that_is_refused_goes_block_by_block(outbox: Outbox, fault: Fault):
    rows, transport = store(outbox, 3, 4, 5), MemoryTransport(outcomes=[fault])
    assert await uplink_to(transport, outbox).drain()
    assert transport.sent_total == 4
    assert list(transport.rows.values()) == rows
    assert outbox.depth().dead_letters == 0


async def test_block_that_nobody_can_read_costs_its_neighbours_nothing(outbox: Outbox):
    good, other = block_of(fresh_rows(3)), block_of(fresh_rows(2))
    bad = type(good)("b1", good.record_class, good.first_time_us, good.last_time_us, 3, b"not a batch")
    outbox.append([good, bad, other])
    transport = MemoryTransport()
    assert await uplink_to(transport, outbox).drain()
    assert len(transport.rows) == 5
    assert [letter.code for letter in outbox.dead_letters()] == ["unreadable_block"]


async def test_lost_answer_to_a_joined_request_gives_duplicates_and_no_loss(outbox: Outbox):
    rows, transport = store(outbox, 3, 4, 5), MemoryTransport(outcomes=[Fault.ANSWER_LOST])
    uplink = uplink_to(transport, outbox)
    async with running(uplink):
        await until(lambda: uplink.state.batches_total == 3)
    assert list(transport.rows.values()) == rows
    assert outbox.counters()["duplicates"] == 12


class Cramped(Outbox):
    """On a disk with room for small transactions, and only for so many."""

    room = 2

    def settle_all(self, settled: Sequence[tuple[Block, Settlement]], *, now_us: int) -> None:
        if len(settled) > 1 or not self.room:
            raise OutboxUnavailableError("the disk is full", reason="full")
        self.room -= 1
        super().settle_all(settled, now_us=now_us)


async def test_blocks_that_a_full_disk_lets_go_one_by_one_are_counted_as_they_go(tmp_path: Path):
    with Cramped(tmp_path / "outbox.db", max_bytes=10_000_000) as outbox:
        store(outbox, 3, 4, 5)
        uplink = uplink_to(MemoryTransport(), outbox)
        assert not await uplink.drain()
        assert (uplink.state.link, uplink.state.batches_total) == (LinkState.BLOCKED, 2)
        assert outbox.depth().records == 5
        outbox.room = 10
        assert await uplink.drain()
        assert (uplink.state.batches_total, uplink.state.accepted_total, uplink.state.duplicates_total) == (3, 7, 5)


def test_answer_is_parted_by_position_and_repeats_go_to_the_oldest(outbox: Outbox):
    store(outbox, 3, 4, 5)
    blocks = blocks_in(outbox, 3)
    whole = Settlement(5, 5, (Refusal(1, "a", ""), Refusal(7, "b", "")))
    assert part_of(whole, blocks) == [
        Settlement(0, 2, (Refusal(1, "a", ""),)),
        Settlement(1, 3),
        Settlement(4, 0, (Refusal(0, "b", ""),)),
    ]


def test_joined_body_holds_the_rows_of_all_blocks_in_order(outbox: Outbox):
    rows = store(outbox, 3, 4, 5)
    assert wire.decode(coalesce(blocks_in(outbox, 3))).rows == tuple(rows)


# ---- several at a time


async def test_first_request_goes_alone_and_its_answer_lets_others_follow(outbox: Outbox):
    rows, gate = store(outbox, *[1] * 20), Gate()
    uplink = uplink_to(gate, outbox, in_flight=3, coalesce_records=1)
    async with running(uplink):
        await until(lambda: gate.waiting == 1)
        gate.open.set()
        await until(lambda: outbox.depth().blocks == 0)
        gate.open.clear()
        rows += store(outbox, *[1] * 20)
        uplink.wake()
        await until(lambda: gate.waiting == 3)
        gate.open.set()
        await until(lambda: uplink.state.batches_total == 40)
    assert gate.most == 3
    assert set(gate.inner.rows) == {row.key for row in rows}
    assert uplink.state.duplicates_total == 0


async def test_failure_of_one_request_does_not_undo_its_neighbours(outbox: Outbox):
    rows = store(outbox, *[1] * 30)
    outcomes = [None, None, Fault.UNREACHABLE, None, Fault.BUSY, None, None, Fault.ANSWER_LOST]
    transport = MemoryTransport(outcomes=outcomes)
    uplink = uplink_to(transport, outbox, in_flight=4, coalesce_records=1)
    async with running(uplink):
        await until(lambda: outbox.depth().blocks == 0)
    assert set(transport.rows) == {row.key for row in rows}
    counters = outbox.counters()
    assert counters["accepted"] + counters["duplicates"] == 30


async def test_what_is_new_is_sent_while_another_request_is_stuck(outbox: Outbox):
    transport = MemoryTransport()
    uplink = uplink_to(transport, outbox, in_flight=2)
    async with running(uplink):
        store(outbox, 1)
        uplink.wake()
        await until(lambda: uplink.state.link is LinkState.ONLINE)
        transport.script(Fault.SILENT)
        store(outbox, 1)
        uplink.wake()
        await until(lambda: transport.sent_total == 2)
        fresh = store(outbox, 1)
        uplink.wake()
        await until(lambda: fresh[0].key in transport.rows)


async def test_fault_of_the_program_is_not_hidden_by_its_neighbours(outbox: Outbox):
    store(outbox, *[1] * 20)

    class BreaksLater(MemoryTransport):
        async def send(self, body: bytes, *, batch_id: str) -> Settlement:
            if self.sent_total == 3:
                raise ZeroDivisionError("a bug")
            return await super().send(body, batch_id=batch_id)

    with pytest.raises(ExceptionGroup) as group:
        await uplink_to(BreaksLater(), outbox, in_flight=2, coalesce_records=1).drain()
    assert group.group_contains(ZeroDivisionError)


# ---- the backlog beside what is live


async def test_backlog_waits_after_an_outage_and_what_is_live_does_not(outbox: Outbox):
    rows, transport = store(outbox, *[1] * (LIVE_BLOCKS + 4)), MemoryTransport()
    uplink = uplink_to(transport, outbox, stagger_s=10_000.0)
    async with running(uplink):
        await until(lambda: len(transport.rows) == LIVE_BLOCKS)
        fresh = store(outbox, 1)
        uplink.wake()
        await until(lambda: fresh[0].key in transport.rows)
    assert set(transport.rows) == {row.key for row in [*rows[4:], *fresh]}
    assert await uplink.drain()
    assert len(transport.rows) == len(rows) + 1


async def test_paced_backlog_does_not_hold_up_what_is_live(outbox: Outbox):
    store(outbox, *[200] * 40)
    transport = MemoryTransport()
    uplink = uplink_to(transport, outbox, max_bytes_per_s=1.0, coalesce_records=1)
    async with running(uplink):
        await until(lambda: outbox.depth().blocks <= 40 - LIVE_BLOCKS)
        fresh = store(outbox, 1)
        uplink.wake()
        await until(lambda: fresh[0].key in transport.rows)
    assert outbox.depth().blocks >= 40 - LIVE_BLOCKS - 1


async def test_what_was_too_large_once_is_cut_before_it_is_sent(outbox: Outbox):
    """The halves of the first block fit; the second is not tried whole."""
    numbers = random.Random(5)
    first, second = ([replace(row, value=numbers.random()) for row in fresh_rows(count)] for count in (1_800, 2_000))
    size = len(block_of(first).body)
    assert len(block_of(second).body) >= size
    outbox.append([block_of(first)])
    transport = MemoryTransport(max_body_bytes=size * 3 // 4)
    uplink = uplink_to(transport, outbox)
    assert await uplink.drain()
    assert transport.sent_total == 3  # whole, and its halves
    outbox.append([block_of(second)])
    assert await uplink.drain()
    assert transport.sent_total == 5  # only halves
    assert len(transport.rows) == 3_800
