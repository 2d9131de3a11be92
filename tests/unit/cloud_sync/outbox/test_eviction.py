"""What the outbox gives up at a bound, what it never gives up, and that nothing is given up without being said."""

from __future__ import annotations

import contextlib
import itertools
import logging
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.errors import OutboxFullError
from cloud_sync.outbox.retention_policy import (
    US_PER_DAY,
    Bounds,
    EvictionStep,
    Loss,
    LossCause,
    Thinner,
    loss_event,
    next_step,
)
from cloud_sync.outbox.store import NewBlock, Outbox
from cloud_sync.records import Batch, Event, EventKind, RecordClass, Row, Settlement
from tests.support.blocks import GATEWAY, START_US, block_of, rows, series

BOUND = 300_000
SECOND_US = 1_000_000


def flush(number: int, *, sensors: int = 20, per_sensor: int = 25) -> list[Row]:
    """What one flush holds: values that do not compress."""
    values = random.Random(number)
    names = [series(f"pump-{n}.de-x.rms") for n in range(sensors)]
    return [
        Row(name, START_US + (number * per_sensor + k) * SECOND_US, values.random(), 1.0)
        for k in range(per_sensor)
        for name in names
    ]


def alarm(number: int) -> NewBlock:
    event = Event(uuid.uuid4().hex, EventKind.ALARM, "pump-1", START_US + number, {"text": "x" * 400})
    body = wire.encode(Batch(GATEWAY, events=(event,)))
    return NewBlock(uuid.uuid4().hex, RecordClass.EVENT, event.time_us, event.time_us, 1, body)


def waiting(outbox: Outbox) -> tuple[list[Row], list[Event]]:
    """Read from a connection of its own, so that nothing counts as being on its way."""
    found_rows: list[Row] = []
    found_events: list[Event] = []
    query = "SELECT content FROM body ORDER BY block_id"
    for (body,) in outbox.read(lambda db: db.execute(query).fetchall()):
        batch = wire.decode(body)
        found_rows += batch.rows
        found_events += batch.events
    return found_rows, found_events


def gaps(events: list[Event]) -> dict[str, int]:
    """Rows given up, as the gap events say it."""
    counts: Counter[str] = Counter()
    for event in events:
        if event.kind is EventKind.GAP:
            counts[event.body["cause"]] += event.body["count"]
    return dict(counts)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db", max_bytes=BOUND, gateway_id=GATEWAY) as outbox:
        outbox.read(lambda db: db.execute("PRAGMA synchronous = OFF"))
        yield outbox


def test_central_that_never_comes_back_does_not_stop_the_gateway(outbox: Outbox):
    offered = [row for number in range(400) for row in flush(number)]
    for number in range(400):
        outbox.append([block_of(flush(number))])
    kept, events = waiting(outbox)
    said = gaps(events)
    assert outbox.depth().used_bytes <= BOUND
    assert len(kept) + said["thinned"] + said["evicted"] == len(offered)
    assert {row.key for row in kept} <= {row.key for row in offered}
    counters = outbox.counters()
    assert (counters["thinned"], counters["evicted"]) == (said["thinned"], said["evicted"])
    assert len(events) == 2, "a gap event that nobody has read grows, so that they do not pile up"


def test_the_oldest_are_thinned_to_every_second_and_the_newest_are_whole(outbox: Outbox):
    number = 0
    while outbox.counters()["thinned"] == 0:
        outbox.append([block_of(flush(number))])
        number += 1
    kept, events = waiting(outbox)
    assert outbox.counters()["evicted"] == 0
    (gap,) = events
    of_one = [row.time_us for row in kept if row.series.sensor_id == "pump-3.de-x.rms"]
    steps = [(later - earlier) // SECOND_US for earlier, later in itertools.pairwise(of_one)]
    assert set(steps) == {1, 2}
    assert steps == sorted(steps, reverse=True)
    assert gap.subject == GATEWAY
    assert gap.body["start_us"] <= gap.body["end_us"] < of_one[steps.index(1)]


def test_series_with_one_row_a_block_are_thinned_across_blocks():
    thinner = Thinner()
    kept = [thinner.thin(Batch(GATEWAY, (row,)))[0].rows for row in rows(6)]
    assert [len(some) for some in kept] == [1, 0, 1, 0, 1, 0]


def test_what_was_given_up_stays_known_with_cause_and_count_after_the_central_knows(outbox: Outbox):
    for number in range(200):
        outbox.append([block_of(flush(number))])
        if number % 10 == 0:  # the gap event that waits was read, so that the next one is another
            outbox.peek(record_class=RecordClass.EVENT)
    while (block := outbox.peek()) is not None:
        outbox.settle(block, Settlement(block.count, 0), now_us=START_US)
    counters = outbox.counters()
    found = {cause: [gap for gap in outbox.gaps() if gap.cause is cause] for cause in LossCause}
    for cause, name in ((LossCause.THINNED, "thinned"), (LossCause.EVICTED, "evicted")):
        assert sum(gap.count or 0 for gap in found[cause]) == counters[name] > 0
        assert len(found[cause]) == 1  # within an hour it grows
    assert found[LossCause.DAMAGED] == []


def test_events_are_never_given_up(outbox: Outbox):
    alarms = [alarm(number) for number in range(60)]
    for number, block in enumerate(alarms):
        outbox.append([block])
        for k in range(10):
            outbox.append([block_of(flush(10 * number + k))])
    _, events = waiting(outbox)
    assert sum(event.kind is EventKind.ALARM for event in events) == 60
    assert outbox.counters()["evicted"] > 0


def test_events_alone_fill_the_bound_and_only_then_is_it_full(outbox: Outbox):
    outbox.append([block_of(flush(0))])
    appended = 0
    with contextlib.suppress(OutboxFullError):
        for number in range(10_000):
            outbox.append([alarm(number)])
            appended += 1
    with pytest.raises(OutboxFullError, match="only events"):
        outbox.append([alarm(0)])
    _, events = waiting(outbox)
    assert sum(event.kind is EventKind.ALARM for event in events) == appended
    assert outbox.depth().used_bytes <= BOUND
    block = outbox.peek()
    assert block is not None
    outbox.settle(block, Settlement(block.count, 0), now_us=START_US)


def test_readings_leave_space_for_events(outbox: Outbox):
    for number in range(200):
        outbox.append([block_of(flush(number))])
    assert outbox.depth().used_bytes <= Bounds(BOUND).reading_bytes + BOUND // 64
    evicted = outbox.counters()["evicted"]
    outbox.append([alarm(1)])
    assert outbox.counters()["evicted"] == evicted


def test_gap_event_that_was_read_is_not_changed_any_more(outbox: Outbox):
    number = 0
    while outbox.counters()["thinned"] == 0:
        outbox.append([block_of(flush(number))])
        number += 1
    read = outbox.peek(record_class=RecordClass.EVENT)
    assert read is not None
    for more in range(number, number + 100):
        outbox.append([block_of(flush(more))])
    again = outbox.peek(record_class=RecordClass.EVENT)
    assert again == read
    _, events = waiting(outbox)
    assert gaps(events) == {name: outbox.counters()[name] for name in ("thinned", "evicted")}
    assert len(events) == 3


def test_block_on_its_way_is_taken_last(outbox: Outbox):
    outbox.append([block_of(flush(0))])
    held = outbox.peek()
    assert held is not None
    for number in range(1, 200):
        outbox.append([block_of(flush(number))])
    assert outbox.peek() == held
    assert outbox.counters()["evicted"] > 0


def test_answer_for_a_block_that_was_thinned_meanwhile_takes_nothing_of_its_neighbours(outbox: Outbox):
    held = []
    for number in range(300):
        outbox.append([block_of(flush(number))])
        block = outbox.peek(after_id=held[-1].id if held else 0)
        assert block is not None
        held.append(block)
    before, _ = waiting(outbox)
    outbox.settle_all([(block, Settlement(block.count, 0)) for block in held[:250]], now_us=START_US)
    delivered = {row.key for block in held[:250] for row in block.decode().rows}
    kept, _ = waiting(outbox)
    assert {row.key for row in before} - {row.key for row in kept} <= delivered


def test_readings_beyond_the_age_bound_are_given_up(tmp_path: Path):
    now_us = START_US + 8 * US_PER_DAY
    path = tmp_path / "outbox.db"
    with Outbox(path, max_bytes=10_000_000, max_age_us=7 * US_PER_DAY, now_ns=lambda: now_us * 1000) as outbox:
        old, alarmed, new = block_of(rows(10)), alarm(0), block_of(rows(10, first=3 * 86_400))
        outbox.append([alarmed, old, new])
        outbox.append([alarm(1)])
        kept, events = waiting(outbox)
        assert {row.key for row in kept} == {row.key for row in rows(10, first=3 * 86_400)}
        assert gaps(events) == {"evicted": 10}
        gap = next(event for event in events if event.kind is EventKind.GAP)
        assert (gap.body["start_us"], gap.body["end_us"]) == (START_US, START_US + 9 * SECOND_US)


def test_clock_that_cannot_be_trusted_ages_nothing(tmp_path: Path):
    now_us = START_US + 800 * US_PER_DAY
    with Outbox(
        tmp_path / "outbox.db", max_bytes=10_000_000, max_age_us=7 * US_PER_DAY,
        now_ns=lambda: now_us * 1000, may_expire=lambda: False,
    ) as outbox:  # fmt: skip
        outbox.append([block_of(rows(10))])
        outbox.append([block_of(rows(10, first=10))])
        assert outbox.depth().records == 20


def test_blocks_that_cannot_be_thinned_are_dropped_and_reported(outbox: Outbox, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    for number in range(100):
        body = hash(number).to_bytes(8, "big", signed=True) * 2_000
        outbox.append([replace(block_of(rows(7, first=7 * number)), body=body)])
    query = "SELECT content FROM body JOIN block ON id = block_id WHERE class = 'event'"
    events = [wire.decode(body).events for (body,) in outbox.read(lambda db: db.execute(query).fetchall())]
    assert gaps([event for some in events for event in some]) == {"evicted": outbox.counters()["evicted"]}
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_one_block_larger_than_the_bound_is_refused_and_costs_nothing(outbox: Outbox):
    outbox.append([block_of(flush(0))])
    with pytest.raises(OutboxFullError) as caught:
        outbox.append([replace(block_of(rows(3)), body=bytes(2 * BOUND))])
    assert "central" in str(caught.value.hint)
    assert outbox.depth().records == 500


THIN, DROP = EvictionStep


@pytest.mark.parametrize(
    ("thinned", "whole", "step"),
    [
        (0, 0, None),
        (0, 1, EvictionStep.THIN),
        (9, 10, EvictionStep.THIN),
        (10, 10, EvictionStep.DROP),
        (5, 0, EvictionStep.DROP),
    ],
)
def test_older_half_is_thinned_before_anything_is_dropped(thinned: int, whole: int, step: EvictionStep | None):
    assert next_step(thinned_bytes=thinned, whole_bytes=whole) is step


def test_gap_event_of_an_unknown_number_has_no_count():
    event = loss_event(LossCause.DAMAGED, Loss(1, 2, None), subject=GATEWAY, now_us=3, detail="why")
    assert dict(event.body) == {"cause": "damaged", "start_us": 1, "end_us": 2, "detail": "why"}
    assert Loss(1, 2, 3).plus(Loss(0, 1, None)) == Loss(0, 2, None)
