"""Who goes next: events first, live and backlog by weight, nothing twice, order kept within a queue."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync.outbox.store import NewBlock, Outbox
from cloud_sync.records import RecordClass, Settlement
from cloud_sync.uplink.scheduler import Load, LoadLimits, Queue, Scheduler
from tests.support.blocks import block_of, fresh_rows

ALONE = LoadLimits(records=1, body_bytes=1_000_000)
JOINED = LoadLimits(records=1_000, body_bytes=1_000_000)
LIVE_BLOCKS = 4
_names = itertools.count()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db", max_bytes=10_000_000) as outbox:
        yield outbox


def block(*, size: int = 100, count: int = 1, record_class: RecordClass = RecordClass.READING) -> NewBlock:
    return NewBlock(f"b-{next(_names)}", record_class, 1, 2, count, b"x" * size)


def fill(outbox: Outbox, number: int, **of: int) -> None:
    outbox.append([block(**of) for _ in range(number)])


def ids(load: Load | None) -> list[int]:
    return [] if load is None else [block.id for block in load.blocks]


def all_taken(scheduler: Scheduler, limits: LoadLimits = ALONE) -> list[tuple[Queue, int]]:
    taken = []
    while (load := scheduler.take(limits)) is not None:
        taken += [(load.queue, block.id) for block in load.blocks]
    return taken


def settle(outbox: Outbox, load: Load) -> None:
    outbox.settle_all([(block, Settlement(block.count, 0)) for block in load.blocks], now_us=1)


def test_without_a_backlog_blocks_go_in_their_order(outbox: Outbox):
    fill(outbox, LIVE_BLOCKS)
    assert all_taken(Scheduler(outbox, live_blocks=LIVE_BLOCKS)) == [(Queue.LIVE, n) for n in (1, 2, 3, 4)]


def test_every_block_is_taken_once_and_in_order_within_its_queue(outbox: Outbox):
    fill(outbox, 30)
    taken = all_taken(Scheduler(outbox, live_blocks=LIVE_BLOCKS))
    assert [n for queue, n in taken if queue is Queue.LIVE] == [27, 28, 29, 30]
    assert [n for queue, n in taken if queue is Queue.BACKLOG] == list(range(1, 27))


@pytest.mark.parametrize("limits", [ALONE, LoadLimits(records=3, body_bytes=1_000_000)])
def test_nothing_is_passed_over_while_blocks_are_settled(outbox: Outbox, limits: LoadLimits):
    fill(outbox, 30)
    scheduler = Scheduler(outbox, live_blocks=LIVE_BLOCKS)
    while (load := scheduler.take(limits)) is not None:
        settle(outbox, load)
    assert outbox.depth().blocks == 0


def test_live_goes_before_the_backlog_at_the_beginning(outbox: Outbox):
    fill(outbox, 30)
    scheduler = Scheduler(outbox, live_blocks=LIVE_BLOCKS)
    assert ids(scheduler.take(ALONE)) == [27]


@pytest.mark.parametrize("weight", [1.0, 3.0, 5.0])
def test_live_and_backlog_share_the_bytes_by_weight_while_both_wait(outbox: Outbox, weight: float):
    """A link too thin for the present alone: for each block that leaves one comes."""
    fill(outbox, 300)
    scheduler = Scheduler(outbox, live_weight=weight, live_blocks=LIVE_BLOCKS)
    taken = []
    for _ in range(120):
        load = scheduler.take(ALONE)
        assert load is not None
        settle(outbox, load)
        fill(outbox, 1)
        taken.append(load.queue)
    share = taken.count(Queue.LIVE) / taken.count(Queue.BACKLOG)
    assert share == pytest.approx(weight, rel=0.1)


def test_large_blocks_of_the_backlog_count_by_their_bytes(outbox: Outbox):
    fill(outbox, 100, size=900)
    scheduler = Scheduler(outbox, live_weight=3.0, live_blocks=LIVE_BLOCKS)
    sent = dict.fromkeys(Queue, 0)
    for _ in range(200):
        load = scheduler.take(ALONE)
        assert load is not None
        settle(outbox, load)
        fill(outbox, 1, size=100)
        sent[load.queue] += sum(len(block.body) for block in load.blocks)
    assert sent[Queue.LIVE] / sent[Queue.BACKLOG] == pytest.approx(3.0, rel=0.2)


def test_queue_that_was_idle_has_saved_up_nothing(outbox: Outbox):
    fill(outbox, 200)
    scheduler = Scheduler(outbox, live_weight=3.0, live_blocks=12)
    for _ in range(100):  # live is empty after a dozen of these
        load = scheduler.take(ALONE)
        assert load is not None
        settle(outbox, load)
    fill(outbox, 12)
    taken = [load.queue for load in (scheduler.take(ALONE) for _ in range(12)) if load is not None]
    assert taken.count(Queue.LIVE) == pytest.approx(9, abs=1)


def test_live_stays_the_newest_when_the_link_is_too_thin(outbox: Outbox):
    fill(outbox, 30)
    scheduler = Scheduler(outbox, live_blocks=LIVE_BLOCKS)
    assert ids(scheduler.take(ALONE)) == [27]
    fill(outbox, 10)
    assert next(n for queue, n in all_taken(scheduler) if queue is Queue.LIVE) == 37


def test_what_slid_out_of_live_is_not_forgotten(outbox: Outbox):
    fill(outbox, 30)
    scheduler = Scheduler(outbox, live_blocks=LIVE_BLOCKS)
    first = ids(scheduler.take(ALONE))
    fill(outbox, 10)
    assert sorted([*first, *(n for _, n in all_taken(scheduler))]) == list(range(1, 41))


def test_events_go_before_everything_else_wherever_they_wait(outbox: Outbox):
    fill(outbox, 30)
    outbox.append([block(record_class=RecordClass.EVENT)])
    fill(outbox, 30)
    outbox.append([block(record_class=RecordClass.EVENT)])
    scheduler = Scheduler(outbox, live_blocks=LIVE_BLOCKS)
    assert all_taken(scheduler)[:2] == [(Queue.EVENT, 31), (Queue.EVENT, 62)]
    outbox.append([block(), block(record_class=RecordClass.EVENT)])
    assert ids(scheduler.take(ALONE)) == [64]


def test_backlog_that_is_held_back_waits_and_live_does_not(outbox: Outbox):
    fill(outbox, 30)
    scheduler = Scheduler(outbox, live_blocks=LIVE_BLOCKS)
    taken = [ids(scheduler.take(ALONE, with_backlog=False)) for _ in range(5)]
    assert taken == [[27], [28], [29], [30], []]
    assert scheduler.has_backlog
    assert ids(scheduler.take(ALONE)) == [1]


def test_restart_offers_again_what_was_not_settled(outbox: Outbox):
    fill(outbox, 3)
    scheduler = Scheduler(outbox, live_blocks=LIVE_BLOCKS)
    load = scheduler.take(ALONE)
    assert load is not None
    settle(outbox, load)
    assert [n for _, n in all_taken(scheduler)] == [2, 3]
    scheduler.restart()
    assert [n for _, n in all_taken(scheduler)] == [2, 3]


def test_blocks_are_joined_up_to_the_limits(outbox: Outbox):
    fill(outbox, 10, count=4)
    scheduler = Scheduler(outbox, live_blocks=100)
    assert ids(scheduler.take(LoadLimits(records=12, body_bytes=1_000))) == [1, 2, 3]
    assert ids(scheduler.take(LoadLimits(records=100, body_bytes=250))) == [4, 5]
    assert ids(scheduler.take(LoadLimits(records=1, body_bytes=1))) == [6]
    assert ids(scheduler.take(JOINED)) == [7, 8, 9, 10]


def test_blocks_of_different_classes_are_never_joined(outbox: Outbox):
    outbox.append([block(record_class=RecordClass.EVENT), block(record_class=RecordClass.EVENT), block(), block()])
    scheduler = Scheduler(outbox)
    assert [ids(scheduler.take(JOINED)) for _ in range(3)] == [[1, 2], [3, 4], []]


def test_a_load_counts_its_records(outbox: Outbox):
    outbox.append([block_of(fresh_rows(3)), block_of(fresh_rows(4))])
    load = Scheduler(outbox).take(JOINED)
    assert load is not None
    assert load.count == 7
