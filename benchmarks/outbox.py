"""What a durable reading costs: 1,000 readings of 200 sensors a block, encoded as they are on the wire.

Appends wait for the disk, so they are compared in wall time; a CPU clock would not see the wait. Both sides write to
/var/tmp, one after the other in each round. The ratio to a commit for each row depends on the disk all the same: with
0.05 ms a sync it is about 30, with the 3 ms of a flash card it is hundreds.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.harness import ROUNDS, Comparison, benchmark
from benchmarks.wire import GATEWAY, READINGS, Plant
from cloud_sync import wire
from cloud_sync.outbox import NewBlock, Outbox
from cloud_sync.records import Batch, RecordClass, Row, Series, Settlement

BLOCKS_PER_ROUND = 10
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


@benchmark("outbox.append.vs_per_row", unit="us wall")
def vs_per_row() -> Comparison:
    """Against one synced commit for each reading."""
    plant = Plant()
    with _outbox("FULL") as ours, _table() as db:
        return _rotated(lambda: _append_blocks(ours, plant), lambda: _insert_one_by_one(db))


@benchmark("outbox.append.vs_batch_insert", unit="us wall")
def vs_batch_insert() -> Comparison:
    """Against rows in a plain table with 1,000 in each synced commit. Ours are encoded for the wire by then."""
    plant = Plant()
    with _outbox("FULL") as ours, _table() as db:
        return _rotated(lambda: _append_blocks(ours, plant), lambda: _insert_together(db))


@benchmark("outbox.cycle.vs_batch_insert", unit="us wall")
def cycle_vs_batch_insert() -> Comparison:
    """Stored, read back as the body of a request, and removed; against rows read and encoded 1,000 at a time."""
    plant = Plant()
    with _outbox("FULL") as ours, _table() as db:
        return _rotated(
            lambda: _append_blocks(ours, plant) + _drain(ours), lambda: _insert_together(db) + _drain_rows(db)
        )


@benchmark("outbox.wear.vs_per_row", unit="B written")
def wear_vs_per_row() -> Comparison:
    """Bytes that go to the disk for each reading, as the kernel counts them; against a commit for each reading."""
    plant = Plant()
    with _outbox("FULL") as ours, _table() as db:
        ours_bytes = _written_bytes(lambda: [_append_blocks(ours, plant) for _ in range(20)]) / (
            20 * BLOCKS_PER_ROUND * READINGS
        )
        row_bytes = _written_bytes(lambda: [_insert_one_by_one(db) for _ in range(20)]) / (20 * ROWS_PER_ROUND)
    return Comparison.of([ours_bytes], [row_bytes])


@benchmark("outbox.append.vs_off", unit="us wall")
def vs_off() -> Comparison:
    """Against the same outbox without waiting for the disk: what durability costs. 1 would be for nothing."""
    plant = Plant()
    with _outbox("FULL") as ours, _outbox("OFF") as careless:
        return _rotated(lambda: _append_blocks(ours, plant), lambda: _append_blocks(careless, plant))


@contextlib.contextmanager
def _outbox(synchronous: str) -> Iterator[Outbox]:
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder, Outbox(Path(folder) / "o.db", max_bytes=1 << 40) as outbox:
        with outbox._reading() as db:
            db.execute(f"PRAGMA synchronous = {synchronous}")
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


def _append_blocks(outbox: Outbox, plant: Plant) -> float:
    """The same plant in every round: a gateway describes its series once and sends them for months."""
    rows = [plant.rows(READINGS) for _ in range(BLOCKS_PER_ROUND)]
    begin = time.perf_counter()
    for some in rows:
        outbox.append([_block(some)])
    return (time.perf_counter() - begin) / (BLOCKS_PER_ROUND * READINGS) * 1e6


def _block(rows: Sequence[Row]) -> NewBlock:
    body = wire.encode(Batch(GATEWAY, tuple(rows)))
    return NewBlock(uuid.uuid4().hex, RecordClass.READING, rows[0].time_us, rows[-1].time_us, len(rows), body)


def _insert_one_by_one(db: sqlite3.Connection) -> float:
    rows = Plant().rows(ROWS_PER_ROUND)
    begin = time.perf_counter()
    for row in rows:
        db.execute(_INSERT, _columns(row))
    return (time.perf_counter() - begin) / ROWS_PER_ROUND * 1e6


def _insert_together(db: sqlite3.Connection) -> float:
    plant = Plant()
    rows = [plant.rows(READINGS) for _ in range(BLOCKS_PER_ROUND)]
    begin = time.perf_counter()
    for some in rows:
        db.execute("BEGIN IMMEDIATE")
        db.executemany(_INSERT, [_columns(row) for row in some])
        db.execute("COMMIT")
    return (time.perf_counter() - begin) / (BLOCKS_PER_ROUND * READINGS) * 1e6


def _drain(outbox: Outbox) -> float:
    begin, count = time.perf_counter(), 0
    while (block := outbox.peek()) is not None:
        outbox.settle(block, Settlement(block.count, 0), now_us=0)
        count += block.count
    return (time.perf_counter() - begin) / count * 1e6


def _drain_rows(db: sqlite3.Connection) -> float:
    begin, count = time.perf_counter(), 0
    known: dict[str, Series] = {}
    while found := db.execute("SELECT * FROM reading ORDER BY id LIMIT ?", (READINGS,)).fetchall():
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
