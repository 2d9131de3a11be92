"""Delivery in order, and what the uplink makes of every kind of answer and failure."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.columns import RowColumns
from cloud_sync.errors import BatchRefusedError, TransientSyncError
from cloud_sync.outbox.store import Outbox
from cloud_sync.records import Batch, Refusal, Row, Settlement
from cloud_sync.transports.base import Transport
from cloud_sync.transports.memory import Fault, MemoryTransport, RefuseIndex
from cloud_sync.uplink.pacing import BACKOFF_FIRST_S
from cloud_sync.uplink.sender import LinkState, Policy, Uplink
from tests.support.blocks import GATEWAY, START_US, block_of, fresh_rows, gap_event, series
from tests.support.transports import FakeTransport
from tests.support.writing import until, writer_to

BACKOFF_MAX_S = 60.0
DEADLINE_S = 10.0


@dataclass
class Poisoned(FakeTransport):
    """A central that answers 422 to every body that holds one of these values."""

    values: set[float]
    inner: MemoryTransport = field(default_factory=MemoryTransport)

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        if self.values & {row.value for row in wire.decode(body).rows}:
            raise BatchRefusedError("the central cannot read the batch")
        return await self.inner.send(body, batch_id=batch_id)


@dataclass
class Answering(FakeTransport):
    """Gives one answer to everything, and keeps what it was sent."""

    answer: Settlement
    batch_ids: list[str] = field(default_factory=list)

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        self.batch_ids.append(batch_id)
        return self.answer


@dataclass
class Clock:
    """Seconds that pass only when the uplink sleeps."""

    now_s: float = 1_000.0
    slept: list[float] = field(default_factory=list)

    def now_ns(self) -> int:
        return int(self.now_s * 1e9)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db", max_bytes=10_000_000) as outbox:
        yield outbox


@pytest.fixture
def clock() -> Clock:
    return Clock()


def uplink_to(transport: Transport, outbox: Outbox, clock: Clock, jitter: float = 1.0) -> Uplink:
    """One stored block a request, one request at a time: what each of them is answered can be scripted."""
    policy = Policy(BACKOFF_MAX_S, in_flight=1, coalesce_records=1)
    return Uplink(
        outbox,
        transport,
        policy=policy,
        now_ns=clock.now_ns,
        monotonic_s=lambda: clock.now_s,
        jitter=lambda: jitter,
        sleep=clock.sleep,
    )


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
    rows: list[Row] = []
    for size in sizes:
        some = fresh_rows(size)
        outbox.append([block_of(some)])
        rows += some
    return rows


def is_online(uplink: Uplink) -> Callable[[], bool]:
    return lambda: uplink.state.link is LinkState.ONLINE


# ---- the ordinary way


async def test_blocks_are_delivered_in_order_and_leave_the_outbox(outbox: Outbox, clock: Clock):
    rows, transport = store(outbox, 3, 1, 5), MemoryTransport()
    uplink = uplink_to(transport, outbox, clock)
    assert await uplink.drain()
    assert list(transport.rows) == [row.key for row in rows]
    assert list(transport.rows.values()) == rows
    assert outbox.depth().blocks == 0
    state = uplink.state
    assert (state.link, state.accepted_total, state.batches_total) == (LinkState.ONLINE, 9, 3)
    assert (state.failures, state.error, state.hint) == (0, None, None)
    assert state.last_settled_ns == clock.now_ns()
    assert state.sent_bytes_total > 0
    assert outbox.counters()["accepted"] == 9


async def test_events_arrive_too(outbox: Outbox, clock: Clock):
    writer, transport = writer_to(outbox), MemoryTransport()
    await writer.put([gap_event("ev-1"), gap_event("ev-2")])
    await writer.flush()
    assert await uplink_to(transport, outbox, clock).drain()
    assert list(transport.events) == ["ev-1", "ev-2"]


async def test_running_uplink_sends_what_the_writer_wakes_it_for(outbox: Outbox, clock: Clock):
    transport = MemoryTransport()
    uplink = uplink_to(transport, outbox, clock)
    writer = writer_to(outbox, on_flush=uplink.wake)
    async with running(uplink):
        for n in range(1, 4):
            await writer.put([RowColumns.of(fresh_rows(2))])
            await writer.flush()
            await until(lambda n=n: len(transport.rows) == 2 * n)
    assert clock.slept == []


async def test_nothing_waits_and_nothing_is_sent(outbox: Outbox, clock: Clock):
    transport = MemoryTransport()
    uplink = uplink_to(transport, outbox, clock)
    assert await uplink.drain()
    assert transport.sent_total == 0
    assert uplink.state.link is LinkState.STARTING


# ---- the central is away


async def test_backoff_doubles_up_to_its_bound_and_ends_with_the_first_answer(outbox: Outbox, clock: Clock):
    rows = store(outbox, 3)
    transport = MemoryTransport(outcomes=[Fault.UNREACHABLE] * 10)
    uplink = uplink_to(transport, outbox, clock)
    async with running(uplink):
        await until(is_online(uplink))
    assert clock.slept == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert list(transport.rows) == [row.key for row in rows]
    assert uplink.state.failures == 0


@pytest.mark.parametrize("jitter", [0.0, 0.25, 0.5])
async def test_waiting_has_full_jitter(outbox: Outbox, clock: Clock, jitter: float):
    store(outbox, 3)
    uplink = uplink_to(MemoryTransport(outcomes=[Fault.UNREACHABLE] * 3), outbox, clock, jitter)
    async with running(uplink):
        await until(is_online(uplink))
    assert clock.slept == [jitter * ceiling for ceiling in (0.5, 1.0, 2.0)]


async def test_backoff_begins_again_after_a_success(outbox: Outbox, clock: Clock):
    store(outbox, 1, 1)
    outcomes = [Fault.UNREACHABLE, Fault.UNREACHABLE, None, Fault.UNREACHABLE]
    uplink = uplink_to(MemoryTransport(outcomes=outcomes), outbox, clock)
    async with running(uplink):
        await until(lambda: uplink.state.accepted_total == 2)
    assert clock.slept == [0.5, 1.0, 0.5]


@pytest.mark.parametrize(("asked_s", "jitter"), [(7.0, 0.0), (7.0, 1.0), (0.0, 1.0), (600.0, 0.5)])
async def test_retry_after_is_kept_to_and_spread(outbox: Outbox, clock: Clock, asked_s: float, jitter: float):
    store(outbox, 1)
    transport = MemoryTransport(outcomes=[Fault.BUSY], retry_after_s=asked_s)
    uplink = uplink_to(transport, outbox, clock, jitter)
    async with running(uplink):
        await until(is_online(uplink))
    assert clock.slept == [asked_s + jitter * BACKOFF_FIRST_S]


async def test_retry_after_counts_for_one_wait_only(outbox: Outbox, clock: Clock):
    store(outbox, 1)
    transport = MemoryTransport(outcomes=[Fault.BUSY, Fault.UNREACHABLE], retry_after_s=600.0)
    uplink = uplink_to(transport, outbox, clock, jitter=0.0)
    async with running(uplink):
        await until(is_online(uplink))
    assert clock.slept == [600.0, 0.0]


async def test_outage_is_told_with_its_beginning_and_its_cause(outbox: Outbox, clock: Clock, caplog):
    caplog.set_level(logging.INFO, "cloud_sync.uplink.sender")
    store(outbox, 1)
    transport = MemoryTransport()
    transport.reachable = False
    uplink = uplink_to(transport, outbox, clock)
    began_ns = clock.now_ns()
    for failures in (1, 2, 3):
        assert not await uplink.drain()
        assert (uplink.state.link, uplink.state.since_ns) == (LinkState.OFFLINE, began_ns)
        assert (uplink.state.failures, uplink.state.error) == (failures, "the central cannot be reached")
        clock.now_s += 10.0
    transport.reachable = True
    assert await uplink.drain()
    assert (uplink.state.link, uplink.state.since_ns) == (LinkState.ONLINE, clock.now_ns())
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_lost_answers_give_duplicates_and_no_loss(outbox: Outbox, clock: Clock):
    rows = store(outbox, 4, 4, 4)
    transport = MemoryTransport(outcomes=[Fault.ANSWER_LOST, None, Fault.ANSWER_LOST, Fault.ANSWER_LOST])
    uplink = uplink_to(transport, outbox, clock)
    async with running(uplink):
        await until(lambda: uplink.state.batches_total == 3)
    assert list(transport.rows.values()) == rows
    assert (uplink.state.accepted_total, uplink.state.duplicates_total) == (4, 8)
    assert outbox.depth().blocks == 0


async def test_unknown_key_is_told_and_waits_long_at_once(outbox: Outbox, clock: Clock):
    store(outbox, 1)
    uplink = uplink_to(MemoryTransport(outcomes=[Fault.WRONG_KEY] * 2), outbox, clock, jitter=0.0)
    assert not await uplink.drain()
    assert uplink.state.link is LinkState.REFUSED
    assert "API key" in str(uplink.state.error)
    assert "central.api_key" in str(uplink.state.hint)
    async with running(uplink):
        await until(is_online(uplink))
    assert clock.slept == [BACKOFF_MAX_S / 2]
    assert outbox.depth().blocks == 0


# ---- the central refuses


async def test_refused_rows_become_dead_letters_with_their_reason(outbox: Outbox, clock: Clock):
    rows = store(outbox, 5)
    transport = MemoryTransport(outcomes=[RefuseIndex(frozenset({1, 3}), "conflict", "two values")])
    uplink = uplink_to(transport, outbox, clock)
    assert await uplink.drain()
    assert list(transport.rows.values()) == [rows[0], rows[2], rows[4]]
    letters = outbox.dead_letters()
    assert [(letter.position, letter.code, letter.detail) for letter in letters] == [
        (1, "conflict", "two values"),
        (3, "conflict", "two values"),
    ]
    assert [wire.decode(letter.content) for letter in letters] == [Batch(GATEWAY, (rows[n],)) for n in (1, 3)]
    assert (uplink.state.accepted_total, uplink.state.refused_total) == (3, 2)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 33])
@pytest.mark.parametrize("where", ["first", "middle", "last"])
async def test_poison_record_is_isolated_and_costs_no_other(outbox: Outbox, clock: Clock, size: int, where: str):
    position = {"first": 0, "middle": size // 2, "last": size - 1}[where]
    rows = [Row(series(), START_US + n, float(n), 1.0) for n in range(size)]
    outbox.append([block_of(rows), block_of([Row(series(), START_US + 99, 99.0, 1.0)])])
    transport = Poisoned({float(position)})
    uplink = uplink_to(transport, outbox, clock)
    assert await uplink.drain()
    expected = {row.value for row in rows} - {float(position)} | {99.0}
    assert {row.value for row in transport.inner.rows.values()} == expected
    (letter,) = outbox.dead_letters()
    assert (letter.position, letter.code) == (position, "refused")
    assert wire.decode(letter.content).rows == (rows[position],)
    assert outbox.depth().blocks == 0


async def test_several_poison_records_are_all_found(outbox: Outbox, clock: Clock):
    poison = {3.0, 4.0, 17.0, 31.0}
    rows = [Row(series(), START_US + n, float(n), 1.0) for n in range(32)]
    outbox.append([block_of(rows)])
    uplink = uplink_to(Poisoned(poison), outbox, clock)
    assert await uplink.drain()
    assert {float(letter.position) for letter in outbox.dead_letters()} == poison
    assert (uplink.state.accepted_total, uplink.state.refused_total) == (28, 4)


async def test_positions_refused_in_a_part_are_those_of_the_block(outbox: Outbox, clock: Clock):
    rows = store(outbox, 8)
    transport = MemoryTransport(outcomes=[Fault.TOO_LARGE, None, RefuseIndex(frozenset({1}))])
    assert await uplink_to(transport, outbox, clock).drain()
    (letter,) = outbox.dead_letters()
    assert letter.position == 5
    assert wire.decode(letter.content).rows == (rows[5],)


async def test_block_that_is_too_large_is_cut_until_it_fits(outbox: Outbox, clock: Clock):
    rows = [Row(series(), START_US + n, math.sin(n), 1.0) for n in range(1_024)]
    outbox.append([block_of(rows)])
    limit = 2_000
    assert outbox.depth().body_bytes > 2 * limit
    transport = MemoryTransport(max_body_bytes=limit)
    assert await uplink_to(transport, outbox, clock).drain()
    assert list(transport.rows.values()) == rows
    assert outbox.depth().dead_letters == 0


async def test_record_that_is_too_large_alone_becomes_a_dead_letter(outbox: Outbox, clock: Clock):
    store(outbox, 2)
    assert await uplink_to(MemoryTransport(max_body_bytes=10), outbox, clock).drain()
    assert [letter.code for letter in outbox.dead_letters()] == ["too_large", "too_large"]


async def test_link_that_breaks_while_a_block_is_halved_settles_nothing(outbox: Outbox, clock: Clock):
    rows = store(outbox, 8)
    transport = MemoryTransport(outcomes=[Fault.UNREADABLE, None, Fault.UNREACHABLE])
    uplink = uplink_to(transport, outbox, clock)
    assert not await uplink.drain()
    assert outbox.depth().records == 8
    assert await uplink.drain()
    assert list(transport.rows.values()) == rows
    assert (uplink.state.accepted_total, uplink.state.duplicates_total) == (4, 4)


async def test_block_that_nobody_can_read_is_kept_whole_as_a_dead_letter(outbox: Outbox, clock: Clock):
    block = block_of(fresh_rows(3))
    unreadable = type(block)("b1", block.record_class, block.first_time_us, block.last_time_us, 3, b"not a batch")
    outbox.append([unreadable, block])
    transport = MemoryTransport()
    assert await uplink_to(transport, outbox, clock).drain()
    (letter,) = outbox.dead_letters()
    assert (letter.position, letter.code, letter.content) == (-1, "unreadable_block", b"not a batch")
    assert len(transport.rows) == 3


# ---- answers that cannot be true


@pytest.mark.parametrize(
    "answer",
    [
        Settlement(0, 0), Settlement(2, 0), Settlement(4, 0), Settlement(3, 1), Settlement(4, -1), Settlement(-1, 4),
        Settlement(2, 0, (Refusal(3, "c", "d"),)), Settlement(2, 0, (Refusal(-1, "c", "d"),)),
        Settlement(0, 0, (Refusal(-1, "c", "d"),)),
        Settlement(1, 0, (Refusal(0, "c", "d"), Refusal(0, "c", "d"))),
    ],
)  # fmt: skip
async def test_answer_that_does_not_fit_the_batch_settles_nothing(outbox: Outbox, clock: Clock, answer: Settlement):
    store(outbox, 3)
    uplink = uplink_to(Answering(answer), outbox, clock)
    assert not await uplink.drain()
    assert outbox.depth().records == 3
    assert outbox.counters()["accepted"] == 0
    assert uplink.state.link is LinkState.OFFLINE
    assert "accounts for" in str(uplink.state.error)
    assert "central.url" in str(uplink.state.hint)


async def test_answers_to_parts_are_checked_one_by_one(outbox: Outbox, clock: Clock):
    """4 and 4 of 3 and 5 would add up to 8."""
    store(outbox, 9)
    answers = Answering(Settlement(4, 0))
    first_refused = _RefusesFirst(answers)
    assert not await uplink_to(first_refused, outbox, clock).drain()
    assert outbox.depth().records == 9


@dataclass
class _RefusesFirst(FakeTransport):
    inner: Answering

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        if not self.inner.batch_ids:
            self.inner.batch_ids.append(batch_id)
            raise BatchRefusedError("422")
        return await self.inner.send(body, batch_id=batch_id)


async def test_same_block_keeps_its_batch_id(outbox: Outbox, clock: Clock):
    store(outbox, 3)
    transport = Answering(Settlement(0, 0))
    uplink = uplink_to(transport, outbox, clock)
    await uplink.drain()
    await uplink.drain()
    assert transport.batch_ids[0] == transport.batch_ids[1]


# ---- our own side


async def test_outbox_that_cannot_be_settled_is_blocked_and_loses_nothing(outbox: Outbox, clock: Clock):
    rows, transport = store(outbox, 3), MemoryTransport()
    uplink = uplink_to(transport, outbox, clock)
    outbox.read(lambda db: db.execute("PRAGMA busy_timeout = 10"))
    with contextlib.closing(sqlite3.connect(outbox.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not await uplink.drain()
    assert uplink.state.link is LinkState.BLOCKED
    assert "another process" in str(uplink.state.hint)
    assert await uplink.drain()
    assert uplink.state.link is LinkState.ONLINE
    assert list(transport.rows.values()) == rows
    assert uplink.state.duplicates_total == 3


async def test_outbox_that_cannot_be_read_is_blocked_until_it_can_be(outbox: Outbox, clock: Clock):
    uplink = uplink_to(MemoryTransport(), outbox, clock)
    outbox.close()
    assert not await uplink.drain()
    assert uplink.state.link is LinkState.BLOCKED
    outbox.open()
    assert await uplink.drain()
    assert (uplink.state.link, uplink.state.error, uplink.state.failures) == (LinkState.STARTING, None, 0)


async def test_cancellation_passes_through_a_pending_send_and_keeps_the_block(outbox: Outbox, clock: Clock):
    rows, transport = store(outbox, 3), MemoryTransport(outcomes=[Fault.SILENT])
    uplink = uplink_to(transport, outbox, clock)
    async with running(uplink):
        await asyncio.wait_for(transport.heard.wait(), DEADLINE_S)
    assert outbox.depth().records == 3
    assert await uplink.drain()
    assert list(transport.rows.values()) == rows


async def test_cancellation_passes_through_a_wait_for_the_next_try(outbox: Outbox):
    store(outbox, 1)
    asleep = asyncio.Event()

    async def sleep_for_ever(_: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    transport = MemoryTransport(outcomes=[Fault.UNREACHABLE])
    uplink = Uplink(outbox, transport, backoff_max_s=BACKOFF_MAX_S, sleep=sleep_for_ever)
    async with running(uplink):
        await asyncio.wait_for(asleep.wait(), DEADLINE_S)


async def test_fault_of_the_program_is_not_hidden(outbox: Outbox, clock: Clock):
    store(outbox, 1)

    class Broken(MemoryTransport):
        async def send(self, body: bytes, *, batch_id: str) -> Settlement:
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        await uplink_to(Broken(), outbox, clock).drain()


async def test_transient_errors_carry_their_hint_into_the_state(outbox: Outbox, clock: Clock):
    store(outbox, 1)

    class Hinting(MemoryTransport):
        async def send(self, body: bytes, *, batch_id: str) -> Settlement:
            raise TransientSyncError("no TLS there", hint="is it http?")

    uplink = uplink_to(Hinting(), outbox, clock)
    assert not await uplink.drain()
    assert (uplink.state.error, uplink.state.hint) == ("no TLS there", "is it http?")
