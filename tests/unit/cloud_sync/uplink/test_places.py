"""What waits because the central of the moment has no place for it, and what of it goes back when there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.errors import BatchTooLargeError, NoPlaceError, OutboxFullError, TransientSyncError
from cloud_sync.outbox.store import NewBlock, Outbox
from cloud_sync.records import NO_EVENTS, Batch, RecordClass, Refusal, Settlement
from cloud_sync.transports.memory import MemoryTransport
from cloud_sync.uplink.places import AGAIN_S, BACK_AGAIN_S, Places
from cloud_sync.uplink.sender import LinkState, Uplink
from tests.support.blocks import GATEWAY, START_US, block_of, fresh_rows, gap_event
from tests.support.transports import FakeTransport

REASON = "it takes readings only"


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Readings(FakeTransport):
    """A central that may have no place for events."""

    has_place: bool = False
    inner: MemoryTransport = field(default_factory=MemoryTransport)
    offered_events: list[int] = field(default_factory=list)

    @property
    def takes_events(self) -> bool:
        return self.has_place

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        events = wire.decode(body).events
        if events:
            self.offered_events.append(len(events))
        if events and not self.has_place:
            raise NoPlaceError(REASON)
        return await self.inner.send(body, batch_id=batch_id)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db", max_bytes=10_000_000, gateway_id=GATEWAY) as outbox:
        yield outbox


def events(*names: str) -> NewBlock:
    return NewBlock.of(Batch(GATEWAY, (), tuple(gap_event(name) for name in names)))


async def test_events_wait_beside_readings_that_go_and_are_offered_again_one_block_at_a_time(outbox: Outbox) -> None:
    central, clock = Readings(), Clock()
    uplink = Uplink(outbox, central, backoff_max_s=1.0, monotonic_s=clock)
    for number in range(20):
        outbox.append([events(f"ev-{number}"), block_of(fresh_rows(2))])
    assert not await uplink.drain()
    assert (outbox.depth().records, outbox.depth().dead_letters) == (20, 0)
    assert uplink.state.link is LinkState.ONLINE
    first = len(central.offered_events)

    assert not await uplink.drain()
    assert len(central.offered_events) == first  # not before its time
    clock.now_s = AGAIN_S
    assert not await uplink.drain()
    assert set(central.offered_events[first:]) == {1}

    central.has_place = True
    clock.now_s = 2 * AGAIN_S
    assert await uplink.drain()
    assert len(central.inner.events) == 20


class Letters:
    """An outbox that has no room at first."""

    def __init__(self, *, is_full: bool = False) -> None:
        self.is_full = is_full
        self.asked = 0

    def requeue_without_place(self) -> int:
        self.asked += 1
        if self.is_full:
            raise OutboxFullError("no room")
        return 3


async def test_what_was_given_up_goes_back_once_and_again_after_each_change() -> None:
    letters, central, clock = Letters(), Readings(has_place=True), Clock()
    places = Places(letters, central, monotonic_s=clock)
    assert await places.give_back()
    assert not await places.give_back()
    central.has_place = False
    assert not await places.give_back()
    assert letters.asked == 1
    central.has_place = True
    assert await places.give_back()


async def test_a_full_outbox_is_asked_again_later() -> None:
    letters, clock = Letters(is_full=True), Clock()
    places = Places(letters, Readings(has_place=True), monotonic_s=clock)
    assert not await places.give_back()
    letters.is_full = False
    assert not await places.give_back()
    clock.now_s = BACK_AGAIN_S
    assert await places.give_back()


async def test_nothing_goes_back_to_who_refused_it() -> None:
    letters = Letters()
    places = Places(letters, Readings(has_place=True), monotonic_s=Clock())
    places.record_answer(RecordClass.EVENT, Settlement(0, 0, (Refusal(0, NO_EVENTS, "none"),)))
    assert not await places.give_back()
    assert letters.asked == 0


def test_only_what_had_no_place_goes_back(outbox: Outbox) -> None:
    outbox.append([events("ev-1", "ev-2", "ev-3")])
    block = outbox.peek()
    assert block is not None
    outbox.settle(
        block, Settlement(1, 0, (Refusal(0, NO_EVENTS, "none"), Refusal(2, "refused", "bad"))), now_us=START_US
    )
    assert outbox.requeue_without_place() == 1
    assert outbox.requeue_without_place() == 0
    assert [letter.code for letter in outbox.dead_letters()] == ["refused"]
    waiting = outbox.peek()
    assert waiting is not None
    assert [event.event_id for event in waiting.decode().events] == ["ev-1"]


async def test_a_record_that_somebody_between_calls_too_large_waits_and_its_size_is_forgotten(outbox: Outbox) -> None:
    central = MemoryTransport()
    central.somebody_says = 413
    outbox.append([block_of(fresh_rows(500)), events("ev-1")])
    uplink = Uplink(outbox, central, backoff_max_s=1.0)
    assert not await uplink.drain()
    assert (uplink.state.link, outbox.depth().dead_letters) == (LinkState.OFFLINE, 0)
    assert "to a single record as well" in str(uplink.state.error)

    central.somebody_says = None
    sent = central.sent_total
    assert await uplink.drain()
    assert central.sent_total - sent <= 3  # whole blocks again
    assert (len(central.rows), len(central.events)) == (500, 1)


def test_a_central_that_says_so_means_the_record() -> None:
    assert isinstance(BatchTooLargeError("the central").of_one_record(), BatchTooLargeError)
    assert isinstance(BatchTooLargeError("a proxy", is_centrals=False).of_one_record(), TransientSyncError)
