"""A central that takes nothing: what waits is held, and goes out at the first record that is taken."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.errors import BatchRefusedError, TransientSyncError
from cloud_sync.outbox.offline import requeue
from cloud_sync.outbox.store import NewBlock, Outbox
from cloud_sync.records import NO_EVENTS, Batch, Event, RecordClass, Refusal, Row, Settlement
from cloud_sync.transports.memory import MemoryTransport
from cloud_sync.uplink.sender import LinkState, Policy, Uplink
from tests.support.blocks import GATEWAY, START_US, block_of, fresh_rows, gap_event, series
from tests.support.transports import FakeTransport
from tests.support.writing import until
from tests.unit.cloud_sync.uplink.test_sender import BACKOFF_MAX_S, Clock, running, uplink_to

Takes = Callable[[Row | Event], bool]


def everything(_: Row | Event) -> bool:
    return True


def nothing(_: Row | Event) -> bool:
    return False


@dataclass
class Choosing(FakeTransport):
    """Takes the records that `takes` says; refuses the others row by row, or their whole batch with a 422."""

    takes: Takes = nothing
    by_row: bool = False
    code: str = "not_allowed"
    is_away: bool = False
    inner: MemoryTransport = field(default_factory=MemoryTransport)
    sent: int = 0

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        if self.is_away:
            raise TransientSyncError("the central cannot be reached")
        self.sent += 1
        batch = wire.decode(body)
        bad = [n for n, record in enumerate((*batch.rows, *batch.events)) if not self.takes(record)]
        if bad and not self.by_row:
            raise BatchRefusedError("the central cannot read the batch")
        if not bad:
            return await self.inner.send(body, batch_id=batch_id)
        taken = 0
        for n in set(range(len(batch))) - set(bad):
            taken += (await self.inner.send(wire.encode(batch.only(n)), batch_id=f"{batch_id}.{n}")).accepted
        refused = tuple(Refusal(n, self.code, "a rule of its own") for n in bad)
        return Settlement(taken, len(batch) - len(bad) - taken, refused)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db", max_bytes=50_000_000) as outbox:
        yield outbox


@pytest.fixture
def clock() -> Clock:
    return Clock()


def coalescing(transport: Choosing, outbox: Outbox, clock: Clock) -> Uplink:
    """As the agent does it: blocks are coalesced, two requests at a time."""
    return Uplink(
        outbox, transport, policy=Policy(BACKOFF_MAX_S), now_ns=clock.now_ns, monotonic_s=lambda: clock.now_s,
        jitter=lambda: 1.0, sleep=clock.sleep,
    )  # fmt: skip


Make = Callable[[Choosing, Outbox, Clock], Uplink]
both_ways = pytest.mark.parametrize("make", [uplink_to, coalescing], ids=["one by one", "coalesced"])


def events(*names: str) -> list[NewBlock]:
    return [
        NewBlock(name, RecordClass.EVENT, START_US, START_US, 1, wire.encode(Batch(GATEWAY, (), (gap_event(name),))))
        for name in names
    ]


def fill(outbox: Outbox, blocks: int, size: int = 20) -> list[Row]:
    rows = [fresh_rows(size) for _ in range(blocks)]
    outbox.append([block_of(some) for some in rows])
    return [row for some in rows for row in some]


# ---- the breaker


@both_ways
async def test_a_central_that_cannot_read_anything_makes_no_dead_letter(outbox: Outbox, clock: Clock, make: Make):
    rows, central = fill(outbox, 50), Choosing()
    uplink = make(central, outbox, clock)
    assert not await uplink.drain()
    assert (outbox.depth().records, outbox.depth().dead_letters) == (1_000, 0)
    assert central.sent < 60
    state = uplink.state
    assert (state.link, state.refused_total) == (LinkState.REFUSES_ALL, 0)
    assert "refuses every reading: 1000 wait, the last reason: the central cannot read the batch" in str(state.error)
    assert "requeue" in str(state.hint)
    central.takes = everything
    clock.now_s += BACKOFF_MAX_S
    assert await uplink.drain()
    assert sorted(central.inner.rows) == sorted(row.key for row in rows)
    assert (outbox.depth().records, outbox.depth().dead_letters, uplink.state.link) == (0, 0, LinkState.ONLINE)
    assert (uplink.state.error, uplink.state.hint) == (None, None)


@both_ways
async def test_a_central_that_rejects_each_row_makes_few_dead_letters_and_they_can_be_sent_again(
    outbox: Outbox, clock: Clock, make: Make
):
    rows, central = fill(outbox, 50), Choosing(by_row=True)
    uplink = make(central, outbox, clock)
    assert not await uplink.drain()
    depth = outbox.depth()
    assert depth.dead_letters <= 2 * 20
    assert depth.records + depth.dead_letters == 1_000
    assert "the last reason: not_allowed: a rule of its own" in str(uplink.state.error)
    central.takes = everything
    clock.now_s += BACKOFF_MAX_S
    assert await uplink.drain()
    assert requeue(outbox.path, None, max_bytes=outbox.max_bytes).records == depth.dead_letters
    assert await uplink.drain()
    assert sorted(central.inner.rows) == sorted(row.key for row in rows)


@both_ways
async def test_it_is_asked_again_slowly_while_it_refuses(outbox: Outbox, clock: Clock, make: Make):
    fill(outbox, 50)
    central = Choosing()
    uplink = make(central, outbox, clock)
    await uplink.drain()
    for _ in range(20):
        before = central.sent
        await uplink.drain()
        assert central.sent == before
        clock.now_s += BACKOFF_MAX_S
        await uplink.drain()
        assert 1 <= central.sent - before <= 10
    assert outbox.depth().dead_letters == 0


async def test_the_state_tells_since_when_and_how_many_wait_by_now(outbox: Outbox, clock: Clock):
    fill(outbox, 5)
    uplink = uplink_to(Choosing(), outbox, clock)
    began_ns = clock.now_ns()
    await uplink.drain()
    fill(outbox, 5)
    clock.now_s += BACKOFF_MAX_S
    await uplink.drain()
    assert uplink.state.since_ns == began_ns
    assert "200 wait" in str(uplink.state.error)


async def test_a_running_uplink_resumes_by_itself(outbox: Outbox, clock: Clock):
    rows, central = fill(outbox, 30), Choosing()
    uplink = coalescing(central, outbox, clock)
    async with running(uplink):
        await until(lambda: uplink.state.link is LinkState.REFUSES_ALL)
        central.takes = everything
        clock.now_s += BACKOFF_MAX_S
        uplink.wake()
        await until(lambda: outbox.depth().records == 0)
        await until(lambda: uplink.state.link is LinkState.ONLINE)
    assert len(central.inner.rows) == len(rows)


async def test_a_central_that_goes_away_meanwhile_is_said_and_the_hold_again_after_it(outbox: Outbox, clock: Clock):
    fill(outbox, 10)
    central = Choosing()
    uplink = uplink_to(central, outbox, clock)
    await uplink.drain()
    central.is_away = True
    clock.now_s += BACKOFF_MAX_S
    assert not await uplink.drain()
    assert uplink.state.link is LinkState.OFFLINE
    central.is_away = False
    assert not await uplink.drain()
    assert uplink.state.link is LinkState.REFUSES_ALL
    assert outbox.depth().dead_letters == 0


# ---- what is bad by itself


@pytest.mark.parametrize("position", [0, 1, 499, 500, 998, 999])
@pytest.mark.parametrize("by_row", [False, True])
async def test_a_poison_row_among_a_thousand_is_one_dead_letter_at_once(
    outbox: Outbox, clock: Clock, position: int, by_row: bool
):
    rows = [Row(series(), START_US + n, float(n), 1.0) for n in range(1_000)]
    outbox.append([block_of(rows)])
    central = Choosing(lambda record: record.value != position, by_row=by_row)  # type: ignore[union-attr]
    assert await uplink_to(central, outbox, clock).drain()
    assert len(central.inner.rows) == 999
    (letter,) = outbox.dead_letters()
    assert letter.position == position


@pytest.mark.parametrize("bad", [range(30), range(970, 1_000), range(0, 1_000, 2), range(1, 999)], ids=repr)
async def test_many_bad_rows_of_one_block_are_dead_letters_while_others_of_it_are_taken(
    outbox: Outbox, clock: Clock, bad: range
):
    rows = [Row(series(), START_US + n, float(n), 1.0) for n in range(1_000)]
    outbox.append([block_of(rows)])
    uplink = uplink_to(Choosing(lambda record: record.value not in bad), outbox, clock)  # type: ignore[union-attr]
    assert await uplink.drain()
    assert [letter.position for letter in outbox.dead_letters(limit=2_000)] == list(bad)
    assert uplink.state.link is LinkState.ONLINE


@both_ways
@pytest.mark.parametrize("by_row", [False, True])
async def test_blocks_that_are_bad_from_end_to_end_do_not_stop_the_good_ones(
    outbox: Outbox, clock: Clock, make: Make, by_row: bool
):
    rows, bad = [], set()
    for n in range(40):
        some = fill(outbox, 1)
        (bad.update(row.key for row in some) if n < 20 else rows.extend(some))
    central = Choosing(lambda record: record.key not in bad, by_row=by_row)  # type: ignore[union-attr]
    uplink = make(central, outbox, clock)
    await uplink.drain()
    for _ in range(30):  # the last ones leave once something else was taken after them
        rows += fill(outbox, 1)
        clock.now_s += 1.0
        await uplink.drain()
    assert sorted(central.inner.rows) == sorted(row.key for row in rows)
    assert (outbox.depth().dead_letters, uplink.state.link) == (len(bad), LinkState.ONLINE)


async def test_a_bad_block_that_is_alone_is_held_only_until_another_was_taken(outbox: Outbox, clock: Clock):
    bad = {row.key for row in fill(outbox, 1)}
    central = Choosing(lambda record: record.key not in bad)  # type: ignore[union-attr]
    uplink = uplink_to(central, outbox, clock)
    assert not await uplink.drain()
    assert (uplink.state.link, outbox.depth().dead_letters) == (LinkState.REFUSES_ALL, 0)
    good = fill(outbox, 1)
    clock.now_s += 0.5
    assert await uplink.drain()
    assert list(central.inner.rows) == [row.key for row in good]
    assert (uplink.state.link, outbox.depth().dead_letters) == (LinkState.ONLINE, 20)


async def test_a_bad_block_behind_live_data_never_stops_it_for_long(outbox: Outbox, clock: Clock):
    bad: set[tuple[str, int]] = set()
    central = Choosing(lambda record: record.key not in bad)  # type: ignore[union-attr]
    uplink = uplink_to(central, outbox, clock)
    good: list[Row] = []
    for n in range(61):
        some = fill(outbox, 1, size=5)
        (bad.update(row.key for row in some) if n % 7 == 3 else good.extend(some))
        clock.now_s += 1.0
        await uplink.drain()
        assert len(good) - len(central.inner.rows) <= 5, "one block may be late by a second, not more"
    assert sorted(central.inner.rows) == sorted(row.key for row in good)
    assert outbox.depth().dead_letters == len(bad)


# ---- by class


async def test_events_go_on_while_every_reading_is_refused(outbox: Outbox, clock: Clock):
    fill(outbox, 20)
    central = Choosing(lambda record: isinstance(record, Event))
    uplink = coalescing(central, outbox, clock)
    await uplink.drain()
    for n in range(5):
        outbox.append(events(f"ev-{n}"))
        assert not await uplink.drain()
        assert list(central.inner.events) == [f"ev-{k}" for k in range(n + 1)]
        assert uplink.state.link is LinkState.REFUSES_ALL
    assert (outbox.depth().records, outbox.depth().dead_letters) == (400, 0)


async def test_readings_go_on_while_every_event_is_refused(outbox: Outbox, clock: Clock):
    outbox.append(events(*(f"ev-{n}" for n in range(20))))
    rows = fill(outbox, 20)
    central = Choosing(lambda record: isinstance(record, Row))
    uplink = coalescing(central, outbox, clock)
    assert not await uplink.drain()
    assert len(central.inner.rows) == len(rows)
    letters = outbox.depth().dead_letters
    assert letters <= 2
    assert f"refuses every event: {20 - letters} wait" in str(uplink.state.error)
    central.takes = everything
    clock.now_s += BACKOFF_MAX_S
    assert await uplink.drain()
    assert len(central.inner.events) == 20 - letters


async def test_a_central_without_a_place_for_events_holds_nothing(outbox: Outbox, clock: Clock):
    outbox.append(events(*(f"ev-{n}" for n in range(20))))
    rows = fill(outbox, 5)
    central = Choosing(lambda record: isinstance(record, Row), by_row=True, code=NO_EVENTS)
    uplink = coalescing(central, outbox, clock)
    assert await uplink.drain()
    assert (len(central.inner.rows), outbox.depth().dead_letters, uplink.state.link) == (
        len(rows),
        20,
        LinkState.ONLINE,
    )


async def test_what_is_held_may_be_given_up_for_room_meanwhile(tmp_path: Path, clock: Clock):
    with Outbox(tmp_path / "small.db", max_bytes=1_000_000, gateway_id=GATEWAY) as outbox:
        central = Choosing(lambda record: isinstance(record, Event))
        uplink, times = coalescing(central, outbox, clock), itertools.count()
        for _ in range(100):
            rows = [Row(series(), START_US + next(times) * 1_001, random.random(), 1.0) for _ in range(2_000)]
            outbox.append([block_of(rows)])
            await uplink.drain()
            clock.now_s += BACKOFF_MAX_S
        assert outbox.counters()["thinned"] + outbox.counters()["evicted"] > 0
        central.takes = everything
        await asyncio.sleep(0)
        clock.now_s += BACKOFF_MAX_S
        assert await uplink.drain()
        counters = outbox.counters()
        gone = sum(counters[name] for name in ("accepted", "duplicates", "refused", "thinned", "evicted"))
        assert counters["appended"] == gone
