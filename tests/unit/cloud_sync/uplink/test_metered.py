"""What a metered link lets go and when; and that the uplink keeps to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.outbox.store import NewBlock, Outbox
from cloud_sync.records import Batch, RecordClass, Settlement
from cloud_sync.transports.memory import MemoryTransport
from cloud_sync.uplink.budget import Budget, BudgetRule, Level, Period, Spent
from cloud_sync.uplink.metered import ASK_AGAIN_S, LEAST_BODY_BYTES, MeteredGate
from cloud_sync.uplink.quiet_hours import QuietHours
from cloud_sync.uplink.scheduler import LoadLimits
from cloud_sync.uplink.sender import Policy, Uplink
from tests.support.blocks import GATEWAY, START_US, block_of, fresh_rows, gap_event
from tests.support.transports import FakeTransport
from tests.support.writing import until

READINGS, EVENTS = frozenset({RecordClass.READING}), frozenset({RecordClass.EVENT})
NOTHING: frozenset[RecordClass] = frozenset()
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
INTERVAL_S = 900.0
REQUEST_BYTES = 1_000
DEADLINE_S = 20.0


@dataclass
class World(FakeTransport):
    """A clock that is moved by hand, and a link whose requests take so many bytes."""

    now_s: float = 0.0
    carried: int = 0
    central: MemoryTransport = field(default_factory=MemoryTransport)
    batch_ids: list[str] = field(default_factory=list)

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        self.carried += REQUEST_BYTES
        self.batch_ids.append(batch_id)
        return await self.central.send(body, batch_id=batch_id)

    def now(self) -> datetime:
        return datetime.fromtimestamp(NOON.timestamp() + self.now_s, UTC)

    def gate(
        self, *, interval_s: float = INTERVAL_S, per_day: int | None = None, used: int = 0, quiet=()
    ) -> MeteredGate:
        rule = None if per_day is None else BudgetRule(Period.DAY, per_day, zone=UTC)
        before = None if rule is None else Spent(rule.span_of(self.now()).start, used)
        return MeteredGate(
            charged=lambda: self.carried,
            now=self.now,
            monotonic_s=lambda: self.now_s,
            is_synced=lambda: True,
            send_interval_s=interval_s,
            budgets=[] if rule is None else [Budget(rule, self.now(), before)],
            quiet_hours=quiet,
            local_now=lambda now: now,
        )

    def carry_request(self, gate: MeteredGate) -> None:
        gate.record_taken(RecordClass.READING)
        self.carried += REQUEST_BYTES
        gate.record_taken(None)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db", max_bytes=10_000_000) as outbox:
        yield outbox


@contextlib.asynccontextmanager
async def delivering(world: World, gate: MeteredGate, outbox: Outbox) -> AsyncIterator[Uplink]:
    policy = Policy(60.0, in_flight=1, stagger_s=0.0)
    uplink = Uplink(outbox, world, policy=policy, gate=gate, monotonic_s=lambda: world.now_s)
    task = asyncio.create_task(uplink.run())
    try:
        yield uplink
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=DEADLINE_S)


def event_block(event_id: str) -> NewBlock:
    body = wire.encode(Batch(GATEWAY, events=(gap_event(event_id),)))
    return NewBlock(f"b-{event_id}", RecordClass.EVENT, START_US, START_US, 1, body)


# ---- collecting


def test_first_readings_go_at_once_and_the_next_are_collected():
    world = World()
    gate = world.gate()
    assert gate.withheld() == NOTHING
    gate.record_taken(None)  # nothing is there yet: still open
    assert gate.withheld() == NOTHING
    world.carry_request(gate)
    assert gate.withheld() == READINGS
    world.now_s = INTERVAL_S - 1
    assert gate.withheld() == READINGS
    world.now_s = INTERVAL_S
    assert gate.withheld() == NOTHING


def test_an_event_alone_begins_no_collection():
    world = World()
    gate = world.gate()
    gate.record_taken(RecordClass.EVENT)
    gate.record_taken(None)
    assert gate.withheld() == NOTHING


def test_at_the_stop_what_was_collected_may_go():
    world = World()
    gate = world.gate()
    world.carry_request(gate)
    gate.record_last_call()
    assert gate.withheld() == NOTHING


async def test_uplink_sends_what_was_collected_as_one_request_and_events_at_once(outbox: Outbox):
    world = World()
    async with asyncio.timeout(DEADLINE_S), delivering(world, world.gate(), outbox) as uplink:
        outbox.append([block_of(fresh_rows(5))])
        uplink.wake()
        await until(lambda: len(world.batch_ids) == 1)
        outbox.append([block_of(fresh_rows(5)) for _ in range(3)])
        outbox.append([event_block("alarm")])
        uplink.wake()
        await until(lambda: len(world.batch_ids) == 2)
        assert world.batch_ids[-1] == "b-alarm"
        await until(lambda: outbox.depth().records == 15)
        world.now_s += INTERVAL_S
        uplink.wake()
        await until(lambda: outbox.depth().records == 0)
        assert len(world.batch_ids) == 3


# ---- quiet hours

NIGHT = QuietHours(time(22), time(6))


@pytest.mark.parametrize(
    ("now", "is_quiet"),
    [(time(21, 59), False), (time(22), True), (time(0), True), (time(5, 59, 59), True), (time(6), False)],
)
def test_quiet_hours_may_go_over_midnight(now: time, is_quiet: bool):
    assert NIGHT.includes(now) is is_quiet
    assert QuietHours(time(6), time(22)).includes(now) is not is_quiet


def test_in_quiet_hours_events_go_unless_nothing_may():
    world = World(now_s=11 * 3_600.0)  # 23:00
    assert world.gate(quiet=[NIGHT]).withheld() == READINGS
    assert world.gate(quiet=[QuietHours(time(22), time(6), are_events_sent=False)]).withheld() == READINGS | EVENTS
    world.now_s = 18 * 3_600.0
    assert world.gate(quiet=[NIGHT]).withheld() == NOTHING


def test_quiet_hours_of_no_length_are_refused():
    with pytest.raises(ValueError, match="none, or all day"):
        QuietHours(time(6), time(6))


# ---- a budget


def test_ahead_of_the_pace_older_readings_wait_and_newest_go_less_often():
    world = World()
    gate = world.gate(per_day=100_000)
    world.carried = 46_000  # the pace at noon is 45,000
    assert gate.withheld() == NOTHING
    assert gate.level is Level.NEWEST
    assert gate.backlog_wait_s() == ASK_AGAIN_S
    gate.record_taken(None)
    gate._opened_bytes = world.carried
    world.carry_request(gate)
    world.now_s = INTERVAL_S
    # 43,000 bytes are left for twelve hours: one request of 1,000 in 1,005 s
    assert gate.withheld() == READINGS
    world.now_s = 1_010.0
    assert gate.withheld() == NOTHING


def test_budget_that_is_used_up_keeps_readings_and_sends_events_until_the_period_ends():
    world = World()
    gate = world.gate(per_day=100_000)
    world.carried = 90_000
    assert gate.withheld() == READINGS
    world.carried = 200_000
    assert gate.withheld() == READINGS
    assert not gate.may_ask()
    world.now_s = 12 * 3_600.0
    assert gate.withheld() == NOTHING
    assert gate.may_ask()


def test_one_request_takes_no_more_than_the_budget_allows_by_now():
    world = World()
    limits = LoadLimits(20_000, 1_000_000)
    gate = world.gate(per_day=100_000)
    world.carried = 10_000
    gate.withheld()
    assert gate.trimmed(limits).body_bytes == 35_000
    world.carried = 44_000
    gate.withheld()
    assert gate.trimmed(limits) == LoadLimits(20_000, LEAST_BODY_BYTES)
    assert world.gate().trimmed(limits) == limits


def test_a_day_of_requests_as_often_as_the_gate_lets_them_stays_within_the_budget():
    world = World(now_s=12 * 3_600.0)
    gate = world.gate(interval_s=0.0, per_day=100_000)
    while world.now_s < 36 * 3_600.0:
        if RecordClass.READING not in gate.withheld():
            world.carry_request(gate)
        world.now_s += 60.0
    assert 80_000 <= world.carried <= 91_000


async def test_uplink_keeps_the_backlog_while_the_budget_is_ahead_of_its_pace(outbox: Outbox):
    world = World()
    gate = world.gate(interval_s=0.0, per_day=100_000, used=50_000)
    outbox.append([block_of(fresh_rows(2)) for _ in range(40)])
    async with asyncio.timeout(DEADLINE_S), delivering(world, gate, outbox) as uplink:
        await until(lambda: outbox.depth().records == 2 * (40 - 16))  # the newest 16 blocks went
        await until(lambda: gate.withheld() == READINGS)  # what they cost is known, and the alarm is none of it
        outbox.append([event_block("alarm")])
        uplink.wake()
        await until(lambda: "b-alarm" in world.batch_ids)
        await until(lambda: outbox.depth().records == 2 * (40 - 16))
        world.now_s = 6 * 3_600.0
        uplink.wake()
        await until(lambda: outbox.depth().records == 0)
