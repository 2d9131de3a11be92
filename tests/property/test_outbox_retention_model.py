"""Whatever is appended, delivered and given up, on any disk: each reading is waiting, delivered, or said to be lost."""

from __future__ import annotations

import random
import tempfile
import uuid
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cloud_sync import wire
from cloud_sync.outbox.store import NewBlock, Outbox
from cloud_sync.records import Batch, Event, EventKind, RecordClass, Row, Settlement
from tests.support.blocks import GATEWAY, START_US, block_of, fresh_rows

BOUND = 200_000
FLOOR = 50_000


class RetentionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.free_bytes = 10 * FLOOR
        self.outbox = Outbox(
            Path(self.folder.name) / "outbox.db",
            max_bytes=BOUND,
            gateway_id=GATEWAY,
            min_free_bytes=FLOOR,
            free_bytes=lambda _: self.free_bytes,
        )
        self._open()
        self.values = random.Random(1)
        self.offered: set[tuple[str, int]] = set()
        self.delivered: set[tuple[str, int]] = set()
        self.alarms: set[str] = set()
        self.said = {"thinned": 0, "evicted": 0}

    def teardown(self) -> None:
        self.outbox.close()
        self.folder.cleanup()

    def _open(self) -> None:
        self.outbox.open()
        self.outbox.read(lambda db: db.execute("PRAGMA synchronous = OFF"))  # durability has its own tests

    @rule(flushes=st.integers(1, 30), size=st.sampled_from([1, 20, 700]))
    def append_readings(self, flushes: int, size: int) -> None:
        for _ in range(flushes):
            rows = [Row(row.series, row.time_us, self.values.random(), 1.0) for row in fresh_rows(size)]
            self.outbox.append([block_of(rows)])
            self.offered |= {row.key for row in rows}

    @rule(count=st.integers(1, 3))
    def append_alarms(self, count: int) -> None:
        for _ in range(count):
            event = Event(uuid.uuid4().hex, EventKind.ALARM, "pump-1", START_US, {})
            body = wire.encode(Batch(GATEWAY, events=(event,)))
            self.outbox.append([NewBlock(uuid.uuid4().hex, RecordClass.EVENT, START_US, START_US, 1, body)])
            self.alarms.add(event.event_id)

    @rule(count=st.integers(1, 20), is_late=st.booleans())
    def deliver(self, count: int, is_late: bool) -> None:
        """`is_late`: the answers come after more was appended, and some of it was given up meanwhile."""
        taken, last = [], 0
        while len(taken) < count and (block := self.outbox.peek(after_id=last)) is not None:
            taken.append(block)
            last = block.id
        if is_late:
            self.append_readings(30, 700)
        before = {name: self.outbox.counters()[name] for name in ("accepted",)}
        waiting = {block_id for block_id, _ in self._waiting()}
        self.outbox.settle_all([(block, Settlement(block.count, 0)) for block in taken], now_us=START_US)
        gone = [block for block in taken if block.id in waiting - {block_id for block_id, _ in self._waiting()}]
        assert self.outbox.counters()["accepted"] - before["accepted"] == sum(block.count for block in gone)
        for block in gone:
            self._note_delivered(block.decode())

    def _note_delivered(self, batch: Batch) -> None:
        self.delivered |= {row.key for row in batch.rows}
        for event in batch.events:
            if event.kind is EventKind.ANNOTATION:
                continue
            if event.kind is EventKind.GAP:
                self.said[event.body["cause"]] += event.body["count"]
            else:
                self.alarms.remove(event.event_id)

    @rule(free_bytes=st.integers(0, 2 * FLOOR))
    def others_write_to_the_disk(self, free_bytes: int) -> None:
        self.free_bytes = free_bytes

    @rule()
    def lose_the_file(self) -> None:
        for file in Path(self.folder.name).glob("outbox.db*"):
            file.unlink()

    @rule()
    def reopen(self) -> None:
        self.outbox.close()
        self._open()

    def _waiting(self) -> list[tuple[int, Batch]]:
        """Read beside the outbox's own way, so that nothing counts as being in flight."""
        found = self.outbox.read(
            lambda db: db.execute("SELECT block_id, content FROM body ORDER BY block_id").fetchall()
        )
        return [(block_id, wire.decode(body)) for block_id, body in found]

    @invariant()
    def nothing_is_lost_in_silence(self) -> None:
        batches = [batch for _, batch in self._waiting()]
        keys = [row.key for batch in batches for row in batch.rows]
        events = [event for batch in batches for event in batch.events]
        assert len(keys) == len(set(keys))
        lost = len(self.offered - self.delivered - set(keys))
        gaps = [event for event in events if event.kind is EventKind.GAP]
        said = sum(self.said.values()) + sum(event.body["count"] for event in gaps)
        assert lost == said
        counters = self.outbox.counters()
        assert counters["thinned"] + counters["evicted"] == said
        assert {event.event_id for event in events if event.kind is EventKind.ALARM} == self.alarms

    @invariant()
    def bound_holds(self) -> None:
        assert self.outbox.depth().used_bytes <= BOUND

    @invariant()
    def totals_account_for_everything(self) -> None:
        counters, depth = self.outbox.counters(), self.outbox.depth()
        gone = counters["accepted"] + counters["thinned"] + counters["evicted"]
        assert counters["appended"] == depth.records + gone


TestRetentionMachine = RetentionMachine.TestCase
TestRetentionMachine.settings = settings(
    max_examples=8, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck)
)
