"""The outbox when the disk's free space is at its floor: space for others, events kept, and every loss reported."""

from __future__ import annotations

import os
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.errors import OutboxFullError
from cloud_sync.outbox.disk_floor import floor_bytes, free_bytes
from cloud_sync.outbox.offline import add_blocks, check_space, requeue
from cloud_sync.outbox.retention_policy import MOST_SLACK_BYTES, Bounds, Limit
from cloud_sync.outbox.store import NewBlock, Outbox
from cloud_sync.records import Batch, Event, EventKind, RecordClass, Refusal, Row, Settlement
from tests.support.blocks import GATEWAY, START_US, block_of, fresh_rows

FLOOR = 1_000_000
DISK = 3_000_000


class Disk:
    """A disk of `size` bytes that holds the outbox's files and somebody else's."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.others = 0

    def free(self, folder: Path) -> int | None:
        held = sum(file.stat().st_blocks * 512 for file in folder.glob("outbox.db"))
        return max(0, self.size - self.others - held)


@pytest.fixture
def disk() -> Disk:
    return Disk(DISK)


@pytest.fixture
def new_outbox(tmp_path: Path, disk: Disk) -> Iterator[Callable[..., Outbox]]:
    made: list[Outbox] = []

    def new(max_bytes: int = 1_000_000_000, min_free_bytes: int = FLOOR) -> Outbox:
        outbox = Outbox(
            tmp_path / "outbox.db",
            max_bytes=max_bytes,
            gateway_id=GATEWAY,
            min_free_bytes=min_free_bytes,
            free_bytes=disk.free,
        ).open()
        outbox.read(lambda db: db.execute("PRAGMA synchronous = OFF"))
        made.append(outbox)
        return outbox

    yield new
    for outbox in made:
        outbox.close()


VALUES = random.Random(1)


def flush(size: int = 500) -> NewBlock:
    return block_of([Row(row.series, row.time_us, VALUES.random(), 1.0) for row in fresh_rows(size)])


def alarm() -> NewBlock:
    event = Event(uuid.uuid4().hex, EventKind.ALARM, "pump-1", START_US, {"text": "x" * 400})
    return NewBlock(
        event.event_id, RecordClass.EVENT, START_US, START_US, 1, wire.encode(Batch(GATEWAY, events=(event,)))
    )


def append_alarms_for_ever(outbox: Outbox) -> None:
    while True:
        outbox.append([alarm()])


def waiting(outbox: Outbox) -> tuple[list[Row], list[Event]]:
    """Read beside the outbox's own way, so that nothing counts as being on its way."""
    batches = outbox.read(
        lambda db: [wire.decode(body) for (body,) in db.execute("SELECT content FROM body ORDER BY block_id")]
    )
    return [row for batch in batches for row in batch.rows], [event for batch in batches for event in batch.events]


def gaps(events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind is EventKind.GAP]


def test_free_space_of_a_file_system(tmp_path: Path):
    assert (free_bytes(tmp_path) or 0) > 0
    assert free_bytes(tmp_path / "nowhere") is None


def test_lesser_of_the_two_bounds_counts():
    bounds = Bounds(1_600_000)
    assert (bounds.reading_bytes, bounds.limit) == (1_500_000, Limit.BYTES)
    wide, narrow = bounds.on_disk(9_000_000, used_bytes=0), bounds.on_disk(700_000, used_bytes=0)
    assert (wide.reading_bytes, wide.limit) == (1_500_000, Limit.BYTES)
    assert (narrow.reading_bytes, narrow.limit) == (700_000, Limit.DISK_FLOOR)


def test_below_the_floor_it_stops_growing_and_keeps_what_it_holds():
    assert Bounds(1_600_000).on_disk(-5_000_000, used_bytes=900_000).reading_bytes == 900_000
    assert Bounds(1_600_000).on_disk(-5_000_000, used_bytes=1_000).reading_bytes == 1_000


def test_the_default_floor_fits_the_disk(tmp_path: Path):
    disk = os.statvfs(tmp_path)
    tenth = disk.f_blocks * disk.f_frsize // 10
    assert floor_bytes(tmp_path, None) == floor_bytes(tmp_path / "not" / "yet", None) == min(100_000_000, tenth)
    assert floor_bytes(tmp_path / ("s" * 300), None) == floor_bytes(tmp_path, None), "one that nobody may look at"
    assert floor_bytes(tmp_path, 0) == 0
    assert floor_bytes(tmp_path, 7) == 7


def test_backlog_stops_growing_at_the_floor_and_every_loss_is_reported(new_outbox, disk: Disk, tmp_path: Path):
    outbox = new_outbox()
    for _ in range(1_500):
        outbox.append([flush()])
    kept, events = waiting(outbox)
    assert disk.free(tmp_path) >= FLOOR - MOST_SLACK_BYTES
    assert outbox.depth().used_bytes <= DISK - FLOOR
    assert outbox.depth().used_bytes >= (DISK - FLOOR) // 2
    said: Counter[str] = Counter()
    for gap in gaps(events):
        said[gap.body["cause"]] += gap.body["count"]
        assert "the disk's free space was at its floor (outbox.min_free_bytes)" in gap.body["detail"]
    assert said["thinned"] > 0
    assert said["evicted"] > 0
    assert len(kept) + said.total() == 1_500 * 500
    assert {gap.detail for gap in outbox.gaps()} == {gap.body["detail"] for gap in gaps(events)}


def test_thinning_comes_before_dropping_at_the_floor_too(new_outbox):
    outbox = new_outbox()
    while not outbox.counters()["thinned"]:
        outbox.append([flush()])
    assert outbox.counters()["evicted"] == 0


def test_byte_bound_below_the_floor_says_nothing_of_the_disk(new_outbox):
    outbox = new_outbox(max_bytes=300_000)
    for _ in range(200):
        outbox.append([flush()])
    details = {gap.body["detail"] for gap in gaps(waiting(outbox)[1])}
    assert details
    assert not any("floor" in detail for detail in details)


def test_no_floor_leaves_the_disk_to_the_outbox(new_outbox, disk: Disk):
    disk.others = DISK
    outbox = new_outbox(min_free_bytes=0)
    for _ in range(20):
        outbox.append([flush()])
    assert outbox.counters()["thinned"] + outbox.counters()["evicted"] == 0


def test_events_are_appended_beyond_the_floor_and_never_given_up(new_outbox, disk: Disk):
    disk.others = DISK - FLOOR
    outbox = new_outbox()
    alarms = [alarm() for _ in range(400)]
    for block in alarms:
        outbox.append([block])
    _, events = waiting(outbox)
    assert [event.event_id for event in events] == [block.batch_id for block in alarms]


def test_events_end_at_the_byte_bound_as_ever(new_outbox, disk: Disk):
    disk.others = DISK
    outbox = new_outbox(max_bytes=200_000)
    with pytest.raises(OutboxFullError, match="only events are in it"):
        append_alarms_for_ever(outbox)


def test_disk_that_others_have_filled_does_not_stop_a_gateway_with_a_link(new_outbox, disk: Disk):
    disk.others = DISK
    outbox = new_outbox()
    delivered = 0
    for _ in range(50):
        outbox.append([flush(), alarm()])
        while (block := outbox.peek()) is not None:
            delivered += len(wire.decode(block.body).rows)
            outbox.settle(block, Settlement(block.count, 0), now_us=START_US)
    assert delivered == 50 * 500


def test_what_others_take_of_the_floor_is_given_back_to_the_disk(new_outbox, disk: Disk, tmp_path: Path):
    outbox = new_outbox()
    while not outbox.counters()["thinned"]:
        outbox.append([flush()])
    before = (tmp_path / "outbox.db").stat().st_blocks
    disk.others = 1_000_000
    for _ in range(60):
        outbox.append([flush(20)])
    assert disk.free(tmp_path) >= FLOOR - MOST_SLACK_BYTES
    assert (tmp_path / "outbox.db").stat().st_blocks < before
    assert waiting(outbox)[0]


def test_readings_come_back_to_the_byte_bound_when_there_is_space_again(new_outbox, disk: Disk):
    outbox = new_outbox(max_bytes=50_000_000)
    while not outbox.counters()["thinned"]:
        outbox.append([flush()])
    disk.size = 100_000_000
    thinned = outbox.counters()["thinned"]
    for _ in range(100):
        outbox.append([flush()])
    assert outbox.counters()["thinned"] == thinned
    assert outbox.bounds(outbox.depth().used_bytes).limit is Limit.BYTES


def test_nothing_is_put_in_by_hand_beyond_the_floor(tmp_path: Path):
    """The real disk, and a floor that no disk has."""
    path, floor = tmp_path / "outbox.db", 1 << 62
    with Outbox(path, max_bytes=1_000_000) as outbox:
        block = flush()
        outbox.append([block])
        found = outbox.peek()
        assert found is not None
        refused = tuple(Refusal(index, "conflict", "why") for index in range(found.count))
        outbox.settle(found, Settlement(0, 0, refused), now_us=START_US)
    with pytest.raises(OutboxFullError, match=r"no space on the disk.*outbox\.min_free_bytes"):
        check_space(path, [flush()], max_bytes=1_000_000, min_free_bytes=floor)
    with pytest.raises(OutboxFullError, match="no space on the disk"):
        add_blocks(path, [flush(5_000)], max_bytes=1_000_000, min_free_bytes=floor)
    assert requeue(path, None, max_bytes=1_000_000, min_free_bytes=floor).records == 500, "it takes less space behind"
    assert add_blocks(path, [flush()], max_bytes=1_000_000, min_free_bytes=0) == 500
