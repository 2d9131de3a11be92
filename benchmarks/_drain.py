"""The product's own uplink and outbox at a simulated link: what waited for an outage to end, and what is new then."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks import _virtual_time
from benchmarks._link import LinkShape, SimulatedTransport
from cloud_sync import wire
from cloud_sync.columns import ColumnBatch, RowColumns
from cloud_sync.outbox.store import Block, NewBlock, Outbox
from cloud_sync.records import RecordClass, Series, Settlement
from cloud_sync.uplink.congestion import MAX_BODY_BYTES
from cloud_sync.uplink.pacing import MAX_RECORDS
from cloud_sync.uplink.scheduler import LIVE_BLOCKS
from cloud_sync.uplink.sender import Policy, Uplink

GATEWAY: Final = "gw-1"
SENSORS: Final = 20
BYTES_OF_ROW: Final = 6.9
"""As they are stored: values of full precision at regular times."""

_SERIES: Final = tuple(Series(f"pump-{n:03d}.de-x.rms", "vibration", "g", {"asset": "pump"}) for n in range(SENSORS))
_START_US: Final = 1_750_000_000_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """A link, and what has to go over it. Of the backlog as many blocks as `waiting`, of `rows` each; the same every
    `live_every_s`."""

    name: str
    shape: LinkShape
    rows: int
    waiting: int
    live_every_s: float
    in_flight: int = 8
    most_records: int = MAX_RECORDS

    @property
    def largest_bytes(self) -> float:
        """Of a body, by the declared bounds."""
        return min(MAX_BODY_BYTES, len(_Plant(self.most_records).block().body))

    @property
    def possible_bytes_per_s(self) -> float:
        return self.shape.possible_bytes_per_s(body_bytes=self.largest_bytes, in_flight=self.in_flight)


@dataclass(slots=True)
class Drained:
    """Times are virtual seconds; rates bytes a second of request bodies, from the first answer after the outage on."""

    case: Case
    took_s: float
    sent_bytes: int
    failures: int
    live_s: list[float]
    sizes: list[tuple[float, int]]
    in_flight: int
    """At the end."""

    @property
    def bytes_per_s(self) -> float:
        return self.sent_bytes / self.took_s

    @property
    def utilisation(self) -> float:
        return self.bytes_per_s / self.case.possible_bytes_per_s

    @property
    def live_median_s(self) -> float:
        return statistics.median(self.live_s) if self.live_s else 0.0

    @property
    def live_p95_s(self) -> float:
        return sorted(self.live_s)[int(0.95 * (len(self.live_s) - 1))] if self.live_s else 0.0


class _TimedOutbox(Outbox):
    """Knows how long each live block took from its flush to its settlement, in virtual seconds."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, max_bytes=4_000_000_000, gateway_id=GATEWAY)
        self.appended: dict[str, float] = {}
        self.live_s: list[float] = []
        self.is_drained = asyncio.Event()

    def settle_all(self, settled: Sequence[tuple[Block, Settlement]], *, now_us: int) -> None:
        super().settle_all(settled, now_us=now_us)
        now_s = asyncio.get_running_loop().time()
        for block, _ in settled:
            if (began_s := self.appended.pop(block.batch_id, None)) is not None:
                self.live_s.append(now_s - began_s)
        if self.depth().blocks <= LIVE_BLOCKS:
            self.is_drained.set()


@dataclass(slots=True)
class _Plant:
    """Blocks of rows whose values do not compress, each time once."""

    rows: int
    _numbers: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))
    _next: itertools.count[int] = field(default_factory=itertools.count)

    def block(self) -> NewBlock:
        number = next(self._next)
        time_us = _START_US + (number * self.rows + np.arange(self.rows, dtype=np.int64)) * 1_000
        of_row = np.arange(self.rows, dtype=np.int64) % SENSORS
        ones = np.ones(self.rows)
        columns = RowColumns(_SERIES, of_row, time_us, self._numbers.random(self.rows), ones)
        body = wire.encode_columns(ColumnBatch(GATEWAY, columns))
        first, last = int(time_us[0]), int(time_us[-1])
        return NewBlock(uuid.uuid4().hex, RecordClass.READING, first, last, self.rows, body)


def drain(case: Case) -> Drained:
    """An outage, and then all that waited, in virtual time."""
    with tempfile.TemporaryDirectory(prefix="uplink-link-") as folder:
        return _virtual_time.run(_drain(case, Path(folder)))


async def _drain(case: Case, folder: Path) -> Drained:
    loop, plant = asyncio.get_running_loop(), _Plant(case.rows)
    transport = SimulatedTransport(case.shape)
    transport.up_at_s = case.shape.outage_s
    with _TimedOutbox(folder / "outbox.db") as outbox:
        for _ in range(0, case.waiting, 50):
            outbox.append([plant.block() for _ in range(min(50, case.waiting))])
        policy = Policy(
            60.0,
            in_flight=case.in_flight,
            answer_timeout_s=case.shape.answer_timeout_s,
            coalesce_records=case.most_records,
        )
        uplink = Uplink(
            outbox,
            transport,
            policy=policy,
            now_ns=lambda: _START_US * 1_000 + int(loop.time() * 1e9),
            monotonic_s=loop.time,
            jitter=lambda: 0.5,
        )
        tasks = [asyncio.create_task(uplink.run())]
        await transport.back.wait()
        assert transport.first_answer_s is not None
        tasks.append(asyncio.create_task(_live(case, plant, outbox, uplink)))
        before = uplink.state.sent_bytes_total - transport.sizes[-1][1]
        await outbox.is_drained.wait()
        took_s = loop.time() - transport.first_answer_s
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        measured = uplink.state.measured
        return Drained(
            case, took_s, uplink.state.sent_bytes_total - before, transport.failures, outbox.live_s, transport.sizes,
            measured.in_flight if measured else 0,
        )  # fmt: skip


async def _live(case: Case, plant: _Plant, outbox: _TimedOutbox, uplink: Uplink) -> None:
    loop = asyncio.get_running_loop()
    while True:
        block = plant.block()
        outbox.append([block])
        outbox.appended[block.batch_id] = loop.time()
        uplink.wake()
        await asyncio.sleep(case.live_every_s)
