"""Whether a backlog of millions of readings slows the queue down: the cost of taking one block, small against large."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace

from benchmarks.harness import ROUNDS, Comparison, benchmark
from benchmarks.outbox import _outbox
from benchmarks.wire import GATEWAY, READINGS, Plant
from cloud_sync import wire
from cloud_sync.outbox.store import NewBlock, Outbox
from cloud_sync.records import Batch, RecordClass, Settlement

SMALL_BLOCKS = 1
LARGE_BLOCKS = 5_000
TAKEN_PER_ROUND = 40


@benchmark("outbox.claim.growth", unit="us wall")
def claim_growth() -> Comparison:
    """Peek and settle with 5,000,000 readings waiting, against 1,000."""
    with _outbox("FULL") as large, _outbox("FULL") as small:
        _fill(large, LARGE_BLOCKS)
        _fill(small, SMALL_BLOCKS)
        costs: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS + 1):
            for index, outbox in enumerate((large, small)):
                costs[index].append(_take(outbox))
    return Comparison.of(costs[0][1:], costs[1][1:])


def _fill(outbox: Outbox, blocks: int) -> None:
    block = _block()
    for _ in range(0, blocks, 100):
        outbox.append([replace(block, batch_id=uuid.uuid4().hex) for _ in range(min(100, blocks))])


def _block() -> NewBlock:
    rows = tuple(Plant().rows(READINGS))
    body = wire.encode(Batch(GATEWAY, rows))
    return NewBlock("block", RecordClass.READING, rows[0].time_us, rows[-1].time_us, len(rows), body)


def _take(outbox: Outbox) -> float:
    """Microseconds for one block; each taken one is put back, uncounted, so that the backlog stays as it is."""
    spent = 0.0
    for _ in range(TAKEN_PER_ROUND):
        begin = time.perf_counter()
        block = outbox.peek()
        assert block is not None
        outbox.settle(block, Settlement(block.count, 0), now_us=0)
        spent += time.perf_counter() - begin
        _fill(outbox, 1)
    return spent / TAKEN_PER_ROUND * 1e6
