"""What a durable reading costs, from what the recorder gives out to the commit, through the writer that the agent runs.

A flush is one second of a busy gateway: 1,000 tags of five PLCs, each read five times, 5,000 readings that come as 25
records of 200. It is one block, encoded as on the wire, and one synced commit. The plain table gets the same readings,
as many in a commit, or a commit for each.

Appends wait for the disk, so they are compared in wall time; a CPU clock would not see the wait. Both sides write to
/var/tmp, one after the other in each round. The ratio to a commit for each row depends on the disk all the same: with
0.035 ms a sync it is above 100, with the 3 ms of a flash card it is thousands.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.harness import ROUNDS, Comparison, benchmark
from benchmarks.wire import GATEWAY, Plant
from cloud_sync import wire
from cloud_sync.columns import RowColumns
from cloud_sync.outbox.store import Outbox
from cloud_sync.outbox.writer import OutboxWriter
from cloud_sync.records import Batch, Row, Series, Settlement
from edge_agent.core.quality import Quality
from edge_agent.pipeline.recorder import Recorder

TAGS = 1_000
TAGS_OF_A_PLC = 200
FLUSH = 5_000
FLUSHES_PER_ROUND = 10
ROWS_PER_ROUND = 200
"""A commit each; fewer than ours, so that a round stays short."""
FOLDER = Path("/var/tmp")  # noqa: S108 (on a disk; /tmp may be memory, where a commit costs nothing)

_TABLE = (
    "CREATE TABLE reading (id INTEGER PRIMARY KEY, sensor_id TEXT NOT NULL, time_us INTEGER NOT NULL,"
    " value REAL NOT NULL, quality REAL NOT NULL, unit TEXT NOT NULL)"
)
_INSERT = "INSERT INTO reading (sensor_id, time_us, value, quality, unit) VALUES (?, ?, ?, ?, ?)"

Side = Callable[[], float]
"""One round: the cost of one reading."""


class Gateway:
    """What the recorder of a plant gives out; the same plant in every round, described once and recorded for months."""

    def __init__(self) -> None:
        self._plant = Plant(sensors=TAGS)
        self._recorder = Recorder(is_clock_synced=lambda: True)

    def flush_into(self, outbox: Outbox) -> float:
        """Microseconds a reading, from the put of the first record to the end of the last flush."""
        writer = OutboxWriter(outbox, gateway_id=GATEWAY, flush_interval_s=1.0)
        return asyncio.run(_flushed(writer, [self._second() for _ in range(FLUSHES_PER_ROUND)]))

    def _second(self) -> list[RowColumns]:
        rows = self._plant.rows(FLUSH)
        return [self._recorded(rows[start : start + TAGS_OF_A_PLC]) for start in range(0, FLUSH, TAGS_OF_A_PLC)]

    def _recorded(self, readings: Sequence[Row]) -> RowColumns:
        rows = self._recorder.rows()
        for one in readings:
            quality = Quality.GOOD if one.quality == 1.0 else Quality.UNCERTAIN
            rows.add(one.series, one.time_us * 1000, one.value, quality)
        (record,) = rows.taken()
        return record


async def _flushed(writer: OutboxWriter, flushes: Sequence[Sequence[RowColumns]]) -> float:
    begin = time.perf_counter()
    for records in flushes:
        for record in records:
            await writer.put([record])
        if not await writer.flush():
            raise RuntimeError(f"the outbox took nothing: {writer.state.error}")
    return (time.perf_counter() - begin) / sum(map(len, [record for some in flushes for record in some])) * 1e6


@benchmark("outbox.append.vs_per_row", unit="us wall")
def vs_per_row() -> Comparison:
    """Against one synced commit for each reading."""
    gateway = Gateway()
    with _outbox("FULL") as ours, _table() as db:
        return _rotated(lambda: gateway.flush_into(ours), lambda: _insert_one_by_one(db))


@benchmark("outbox.append.vs_batch_insert", unit="us wall")
def vs_batch_insert() -> Comparison:
    """Against the rows of a flush in a plain table, in one synced commit. Ours are encoded for the wire by then."""
    gateway = Gateway()
    with _outbox("FULL") as ours, _table() as db:
        return _rotated(lambda: gateway.flush_into(ours), lambda: _insert_together(db))


@benchmark("outbox.cycle.vs_batch_insert", unit="us wall")
def cycle_vs_batch_insert() -> Comparison:
    """Stored, read back as the body of a request, and removed; against rows read and encoded a flush at a time."""
    gateway = Gateway()
    with _outbox("FULL") as ours, _table() as db:
        return _rotated(lambda: gateway.flush_into(ours) + _drain(ours), lambda: _insert_together(db) + _drain_rows(db))


@benchmark("outbox.wear.vs_per_row", unit="B written")
def wear_vs_per_row() -> Comparison:
    """Bytes that go to the disk for each reading, as the kernel counts them; against a commit for each reading."""
    gateway = Gateway()
    with _outbox("FULL") as ours, _table() as db:
        ours_bytes = _written_bytes(lambda: [gateway.flush_into(ours) for _ in range(5)]) / (
            5 * FLUSHES_PER_ROUND * FLUSH
        )
        row_bytes = _written_bytes(lambda: [_insert_one_by_one(db) for _ in range(20)]) / (20 * ROWS_PER_ROUND)
    return Comparison.of([ours_bytes], [row_bytes])


@benchmark("outbox.append.vs_off", unit="us wall")
def vs_off() -> Comparison:
    """Against the same outbox without waiting for the disk: what durability costs. 1 would be for nothing."""
    gateway = Gateway()
    with _outbox("FULL") as ours, _outbox("OFF") as careless:
        return _rotated(lambda: gateway.flush_into(ours), lambda: gateway.flush_into(careless))


@contextlib.contextmanager
def _outbox(synchronous: str) -> Iterator[Outbox]:
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder, Outbox(Path(folder) / "o.db", max_bytes=1 << 40) as outbox:
        outbox.read(lambda db: db.execute(f"PRAGMA synchronous = {synchronous}"))
        yield outbox


@contextlib.contextmanager
def _table() -> Iterator[sqlite3.Connection]:
    with (
        tempfile.TemporaryDirectory(dir=FOLDER) as folder,
        contextlib.closing(sqlite3.connect(Path(folder) / "t.db", isolation_level=None)) as db,
    ):
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(_TABLE)
        yield db


def _rotated(ours: Side, baseline: Side) -> Comparison:
    """One round of each to warm up, then rounds in which the side that goes first changes."""
    sides = (ours, baseline)
    costs: tuple[list[float], list[float]] = ([], [])
    for side in sides:
        side()
    for index in range(ROUNDS):
        for number in (0, 1) if index % 2 == 0 else (1, 0):
            costs[number].append(sides[number]())
    return Comparison.of(*costs)


def _insert_one_by_one(db: sqlite3.Connection) -> float:
    rows = Plant().rows(ROWS_PER_ROUND)
    begin = time.perf_counter()
    for row in rows:
        db.execute(_INSERT, _columns(row))
    return (time.perf_counter() - begin) / ROWS_PER_ROUND * 1e6


def _insert_together(db: sqlite3.Connection) -> float:
    plant = Plant(sensors=TAGS)
    flushes = [plant.rows(FLUSH) for _ in range(FLUSHES_PER_ROUND)]
    begin = time.perf_counter()
    for rows in flushes:
        db.execute("BEGIN IMMEDIATE")
        db.executemany(_INSERT, [_columns(row) for row in rows])
        db.execute("COMMIT")
    return (time.perf_counter() - begin) / (FLUSHES_PER_ROUND * FLUSH) * 1e6


def _drain(outbox: Outbox) -> float:
    begin, count = time.perf_counter(), 0
    while (block := outbox.peek()) is not None:
        outbox.settle(block, Settlement(block.count, 0), now_us=0)
        count += block.count
    return (time.perf_counter() - begin) / count * 1e6


def _drain_rows(db: sqlite3.Connection) -> float:
    begin, count = time.perf_counter(), 0
    known: dict[str, Series] = {}
    while found := db.execute("SELECT * FROM reading ORDER BY id LIMIT ?", (FLUSH,)).fetchall():
        rows = [Row(known.setdefault(s, Series(s, "vibration", u)), t, v, q) for _, s, t, v, q, u in found]
        wire.encode(Batch(GATEWAY, tuple(rows)))
        db.execute("DELETE FROM reading WHERE id BETWEEN ? AND ?", (found[0][0], found[-1][0]))
        count += len(found)
    return (time.perf_counter() - begin) / count * 1e6


def _written_bytes(work: Callable[[], object]) -> int:
    def written() -> int:
        lines = Path("/proc/self/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))

    before = written()
    work()
    return written() - before


def _columns(row: Row) -> tuple[str, int, float, float, str]:
    return row.series.sensor_id, row.time_us, row.value, row.quality, row.series.unit
