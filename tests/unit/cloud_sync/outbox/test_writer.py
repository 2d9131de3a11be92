"""Group commit: nothing lost and nothing doubled, whatever the disk or a cancellation does."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from cloud_sync import wire
from cloud_sync.columns import RowColumns
from cloud_sync.errors import OutboxUnavailableError
from cloud_sync.outbox.audit_log import AuditLog, read_audit_log
from cloud_sync.outbox.clock_tables import Epoch
from cloud_sync.outbox.store import NewBlock, Outbox
from cloud_sync.outbox.writer import MAX_BLOCK_RECORDS, OutboxWriter, Stamping
from cloud_sync.records import Event, EventKind, RecordClass, Row, Series
from tests.support.blocks import GATEWAY, START_US, fresh_rows, gap_event, series
from tests.support.writing import DEADLINE_S, until, writer_to

FULL = OutboxUnavailableError("the disk is full", reason="full", hint="free space")


@dataclass
class SlowStore:
    """An outbox whose appends wait for the test, and fail when told to."""

    fail_with: Exception | None = None
    blocks: list[NewBlock] = field(default_factory=list)
    entered: threading.Event = field(default_factory=threading.Event)
    may_go_on: threading.Event = field(default_factory=threading.Event)

    def append(self, blocks: Sequence[NewBlock], *, epoch: Epoch | None = None) -> None:
        self.entered.set()
        assert self.may_go_on.wait(DEADLINE_S)
        if self.fail_with is not None:
            raise self.fail_with
        self.blocks += blocks

    def keys(self) -> list[tuple[str, int]]:
        return [row.key for block in self.blocks for row in wire.decode(block.body).rows]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db", max_bytes=10_000_000) as outbox:
        yield outbox


@pytest.fixture
def slow() -> Iterator[SlowStore]:
    store = SlowStore()
    yield store
    store.may_go_on.set()


def keys_in(outbox: Outbox) -> list[tuple[str, int]]:
    found, last = [], 0
    while (block := outbox.peek(after_id=last)) is not None:
        found += [row.key for row in block.decode().rows]
        last = block.id
    return found


def columns(count: int) -> RowColumns:
    return RowColumns.of(fresh_rows(count))


async def test_one_flush_commits_everything_that_was_put(outbox: Outbox):
    writer, rows = writer_to(outbox), fresh_rows(30)
    for row in rows:
        await writer.put([RowColumns.of([row])])
    assert outbox.depth().records == 0
    assert await writer.flush()
    assert keys_in(outbox) == [row.key for row in rows]
    assert (outbox.depth().blocks, writer.state.pending, writer.state.flushed_total) == (1, 0, 30)


async def test_flush_of_nothing_writes_nothing(outbox: Outbox):
    assert await writer_to(outbox).flush()
    assert outbox.depth().blocks == 0


async def test_events_and_readings_are_blocks_of_their_own_class(outbox: Outbox):
    writer = writer_to(outbox)
    await writer.put([columns(2), gap_event(), columns(1)])
    await writer.flush()
    first = outbox.peek()
    assert first is not None
    second = outbox.peek(after_id=first.id)
    assert second is not None
    assert (first.record_class, first.count) == (RecordClass.EVENT, 1)
    assert (second.record_class, second.count) == (RecordClass.READING, 3)


async def test_large_flush_is_cut_into_blocks_and_keeps_the_order(outbox: Outbox):
    writer, rows = writer_to(outbox), fresh_rows(2 * MAX_BLOCK_RECORDS + 1)
    await writer.put([RowColumns.of(rows)])
    await writer.flush()
    assert outbox.depth().blocks == 3
    assert keys_in(outbox) == [row.key for row in rows]


async def test_how_times_become_utc_is_asked_where_the_clock_is_looked_at(outbox: Outbox):
    asked: list[threading.Thread] = []

    def stamping() -> Stamping:
        asked.append(threading.current_thread())
        return Stamping()

    writer = OutboxWriter(outbox, gateway_id=GATEWAY, flush_interval_s=3_600.0, stamping=stamping)
    await writer.put([columns(1)])
    assert await writer.flush()
    assert asked == [threading.current_thread()]


async def test_uplink_is_woken_after_the_commit(outbox: Outbox):
    depths: list[int] = []
    writer = writer_to(outbox, on_flush=lambda: depths.append(outbox.depth().records))
    await writer.put([columns(3)])
    await writer.flush()
    assert depths == [3]


async def test_refused_append_keeps_everything_and_succeeds_later_without_doubling(tmp_path: Path, caplog):
    caplog.set_level(logging.INFO, "cloud_sync.outbox.writer")
    small = Outbox(tmp_path / "outbox.db", max_bytes=1)
    with small:
        writer, rows = writer_to(small), fresh_rows(20)
        await writer.put([RowColumns.of(rows[:10])])
        assert not await writer.flush()
        await writer.put([RowColumns.of(rows[10:])])
        assert not await writer.flush()
        assert (writer.state.pending, writer.state.flushed_total) == (20, 0)
        assert "bound of 1 bytes" in str(writer.state.error)
        assert "max_bytes" in str(writer.state.hint)
        small.max_bytes = 10_000_000
        assert await writer.flush()
        assert keys_in(small) == [row.key for row in rows]
        assert (writer.state.pending, writer.state.error, writer.state.hint) == (0, None, None)
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


async def test_records_put_during_a_commit_wait_for_the_next(slow: SlowStore):
    writer, rows = writer_to(slow), fresh_rows(6)
    await writer.put([RowColumns.of(rows[:3])])
    flushing = asyncio.create_task(writer.flush())
    await asyncio.to_thread(slow.entered.wait, DEADLINE_S)
    await writer.put([RowColumns.of(rows[3:])])
    slow.may_go_on.set()
    assert await flushing
    assert (slow.keys(), writer.state.pending) == ([row.key for row in rows[:3]], 3)
    assert await writer.flush()
    assert slow.keys() == [row.key for row in rows]


@pytest.mark.parametrize("cancels", [1, 2, 3])
async def test_cancellation_during_a_commit_neither_loses_nor_doubles(slow: SlowStore, cancels: int):
    writer, rows = writer_to(slow), fresh_rows(5)
    await writer.put([RowColumns.of(rows)])
    flushing = asyncio.create_task(writer.flush())
    await asyncio.to_thread(slow.entered.wait, DEADLINE_S)
    for _ in range(cancels):
        flushing.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not flushing.done()
    slow.may_go_on.set()
    await asyncio.wait([flushing], timeout=DEADLINE_S)
    assert flushing.cancelled()
    assert writer.state.pending == 0
    assert await writer.flush()
    assert slow.keys() == [row.key for row in rows]


async def test_cancellation_during_a_commit_that_fails_keeps_everything(slow: SlowStore):
    writer, rows = writer_to(slow), fresh_rows(5)
    await writer.put([RowColumns.of(rows)])
    flushing = asyncio.create_task(writer.flush())
    await asyncio.to_thread(slow.entered.wait, DEADLINE_S)
    flushing.cancel()
    slow.fail_with = FULL
    slow.may_go_on.set()
    await asyncio.wait([flushing], timeout=DEADLINE_S)
    assert flushing.cancelled()
    assert (writer.state.pending, writer.state.error) == (5, "the disk is full")
    slow.fail_with = None
    assert await writer.flush()
    assert slow.keys() == [row.key for row in rows]


async def test_two_flushes_at_once_commit_once(slow: SlowStore):
    writer, rows = writer_to(slow), fresh_rows(5)
    await writer.put([RowColumns.of(rows)])
    flushes = [asyncio.create_task(writer.flush()) for _ in range(2)]
    await asyncio.to_thread(slow.entered.wait, DEADLINE_S)
    slow.may_go_on.set()
    assert await asyncio.gather(*flushes) == [True, True]
    assert slow.keys() == [row.key for row in rows]


async def test_fault_that_is_not_about_the_disk_is_not_hidden(slow: SlowStore):
    slow.fail_with = ZeroDivisionError("a bug")
    slow.may_go_on.set()
    writer = writer_to(slow)
    await writer.put([columns(1)])
    with pytest.raises(ZeroDivisionError):
        await writer.flush()
    assert writer.state.pending == 1


async def test_producer_waits_while_too_much_is_pending_and_goes_on_after_a_flush(outbox: Outbox):
    writer = writer_to(outbox, max_pending=10)
    await asyncio.wait_for(writer.put([columns(9)]), DEADLINE_S)
    waiting = asyncio.create_task(writer.put([columns(5)]))
    await until(lambda: writer.state.pending == 14)
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await writer.flush()
    await asyncio.wait_for(waiting, DEADLINE_S)
    assert outbox.depth().records == 14


async def test_producer_keeps_waiting_while_the_disk_refuses(slow: SlowStore):
    slow.fail_with = FULL
    slow.may_go_on.set()
    writer = writer_to(slow, max_pending=10)
    waiting = asyncio.create_task(writer.put([columns(10)]))
    await until(lambda: writer.state.pending == 10)
    assert not await writer.flush()
    assert not waiting.done()
    slow.fail_with = None
    assert await writer.flush()
    await asyncio.wait_for(waiting, DEADLINE_S)


async def test_records_of_a_producer_that_was_cancelled_while_it_waited_are_kept(outbox: Outbox):
    writer, rows = writer_to(outbox, max_pending=3), fresh_rows(3)
    waiting = asyncio.create_task(writer.put([RowColumns.of(rows)]))
    await until(lambda: writer.state.pending == 3)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=DEADLINE_S)
    assert waiting.cancelled()
    assert await writer.flush()
    assert keys_in(outbox) == [row.key for row in rows]


async def test_running_writer_flushes_by_itself_until_cancelled(outbox: Outbox):
    writer = OutboxWriter(outbox, gateway_id=GATEWAY, flush_interval_s=0.005)
    running = asyncio.create_task(writer.run())
    await writer.put([columns(3)])
    await until(lambda: writer.state.flushed_total == 3)
    running.cancel()
    await asyncio.wait([running], timeout=DEADLINE_S)
    assert running.cancelled()


async def test_record_that_can_never_be_sent_costs_no_other(outbox: Outbox, caplog):
    writer, rows = writer_to(outbox), fresh_rows(4)
    poison = Row(series(), START_US, 1.0, math.nan)
    await writer.put([RowColumns.of([*rows[:2], poison, *rows[2:]])])
    assert await writer.flush()
    assert keys_in(outbox) == [row.key for row in rows]
    state = writer.state
    assert (state.pending, state.flushed_total, state.unsendable_total) == (0, 4, 1)
    assert "can never be sent" in caplog.text


async def test_each_of_some_records_that_can_never_be_sent_is_named_and_costs_no_other(outbox: Outbox, caplog):
    writer, rows = writer_to(outbox), fresh_rows(700)
    unclear = Series("valve-2.state", "pump", "", {"limit": math.inf})
    poison = [Row(series("bad-1"), 17, 1.0, math.nan), Row(unclear, 18, 1.0, 1.0), Row(series("bad-3"), 19, 1.0, 1.0)]
    columns = RowColumns.of([*rows[:100], poison[0], *rows[100:101], *poison[1:], *rows[101:]])
    columns.value[103] = math.nan  # of bad-3: a Row would refuse it, columns do not look
    event = Event("ev-9", EventKind.GAP, "pump-07", START_US, {"at": object()})
    await writer.put([columns, gap_event(), event])
    assert await writer.flush()
    assert keys_in(outbox) == [row.key for row in rows]
    state = writer.state
    assert (state.pending, state.flushed_total, state.unsendable_total) == (0, 701, 4)
    said = [record.message for record in caplog.records if "can never be sent" in record.message]
    names = ["bad-1 at 17 us", "valve-2.state at 18 us", "bad-3 at 19 us", "ev-9"]
    assert [name in message for name, message in zip(names, said, strict=True)] == [True] * 4


async def test_records_of_one_recorder_and_of_others_are_one_block_in_their_order(outbox: Outbox):
    writer, table = writer_to(outbox), (series("a"), series("b"))
    shared = [
        RowColumns(table, np.array([1, 0]), START_US + np.array([n, n]), np.full(2, float(n)), np.ones(2))
        for n in range(3)
    ]
    records = [shared[0], RowColumns.of(fresh_rows(2)), shared[1], shared[2], RowColumns.of(fresh_rows(1))]
    await writer.put(records)
    assert writer.state.pending == 9
    assert await writer.flush()
    (block,) = [outbox.peek()]
    assert block is not None
    assert block.decode().rows == tuple(row for record in records for row in record.rows())


async def test_audit_log_holds_the_keys_of_committed_rows_only(slow: SlowStore, tmp_path: Path):
    path = tmp_path / "keys"
    writer, rows = writer_to(slow, audit_log=AuditLog(path)), fresh_rows(3)
    await writer.put([RowColumns.of(rows), gap_event()])
    slow.fail_with = FULL
    slow.may_go_on.set()
    assert not await writer.flush()
    assert list(read_audit_log(path)) == []
    slow.fail_with = None
    assert await writer.flush()
    assert list(read_audit_log(path)) == [row.key for row in rows]


async def test_audit_log_that_cannot_be_written_is_said_and_doubles_nothing(outbox: Outbox, tmp_path: Path):
    writer = writer_to(outbox, audit_log=AuditLog(tmp_path / "nowhere" / "keys"))
    await writer.put([columns(3)])
    assert await writer.flush()
    assert "audit log" in str(writer.state.error)
    assert await writer.flush()
    assert (outbox.depth().records, writer.state.pending) == (3, 0)


async def test_fault_after_the_append_is_not_hidden_and_nothing_is_appended_again(outbox: Outbox):
    class Faulty(AuditLog):
        def record(self, rows: RowColumns) -> None:
            raise ZeroDivisionError("nobody foresaw this")

    writer = writer_to(outbox, audit_log=Faulty(Path("/nowhere")))
    await writer.put([columns(1)])
    with pytest.raises(ZeroDivisionError):
        await writer.flush()
    assert writer.state.pending == 0
    assert await writer.flush()
    assert outbox.depth().records == 1


async def test_nobody_waits_for_space_once_the_writer_is_told_to_stop(slow: SlowStore):
    writer = writer_to(slow, max_pending=10)
    waiting = asyncio.create_task(writer.put([columns(10)]))
    await until(lambda: writer.state.pending == 10)
    writer.stop_waiting()
    await asyncio.wait_for(waiting, DEADLINE_S)
    await asyncio.wait_for(writer.put([columns(5)]), DEADLINE_S)
    assert writer.state.pending == 15
