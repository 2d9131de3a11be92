"""The outbox behaves as a list that forgets only what was settled, also across restarts and damage."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cloud_sync import wire
from cloud_sync.outbox.store import NewBlock, Outbox
from cloud_sync.records import Batch, EventKind, RecordClass, Refusal, Settlement
from tests.support.blocks import START_US, block_of, fresh_rows

Letter = tuple[str, int, str]


class OutboxMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.outbox = Outbox(Path(self.folder.name) / "outbox.db", max_bytes=10_000_000)
        self._open()
        self.waiting: list[NewBlock] = []
        self.letters: list[Letter] = []
        self.contents: dict[tuple[str, int], Batch] = {}
        self.totals = dict.fromkeys(("appended", "accepted", "duplicates", "refused", "damaged"), 0)

    def teardown(self) -> None:
        self.outbox.close()
        self.folder.cleanup()

    def _open(self) -> None:
        self.outbox.open()
        self.outbox.read(lambda db: db.execute("PRAGMA synchronous = OFF"))  # durability has its own tests

    @rule(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=3))
    def append(self, sizes: list[int]) -> None:
        blocks = [block_of(fresh_rows(size)) for size in sizes]
        self.outbox.append(blocks)
        self.waiting += blocks
        self.totals["appended"] += sum(sizes)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        block = self.outbox.peek()
        assert block is not None
        refused = sorted(data.draw(st.sets(st.integers(0, block.count - 1))))
        duplicates = data.draw(st.integers(0, block.count - len(refused)))
        accepted = block.count - len(refused) - duplicates
        refusals = tuple(Refusal(index, "conflict", "why") for index in refused)
        self.outbox.settle(block, Settlement(accepted, duplicates, refusals), now_us=START_US)
        gone = self.waiting.pop(0)
        batch = wire.decode(gone.body)
        self.letters += [(gone.batch_id, index, "conflict") for index in refused]
        self.contents |= {(gone.batch_id, index): batch.only(index) for index in refused}
        for name, by in (("accepted", accepted), ("duplicates", duplicates), ("refused", len(refused))):
            self.totals[name] += by

    @precondition(lambda self: self.waiting)
    @rule()
    def settle_twice(self) -> None:
        block = self.outbox.peek()
        assert block is not None
        for _ in range(2):
            self.outbox.settle(block, Settlement(block.count, 0), now_us=START_US)
        self.waiting.pop(0)
        self.totals["accepted"] += block.count

    @precondition(lambda self: self.waiting)
    @rule()
    def damage_the_oldest(self) -> None:
        gone = self.waiting.pop(0)
        with contextlib.closing(sqlite3.connect(self.outbox.path)) as db, db:
            db.execute("UPDATE block SET count = count + 1 WHERE batch_id = ?", (gone.batch_id,))
        self.letters.append((gone.batch_id, -1, "damaged_block"))
        self.totals["damaged"] += gone.count + 1
        self.outbox.peek()
        self.waiting.append(self._emitted())

    def _emitted(self) -> NewBlock:
        """The newest block, which must be the gap event of a damaged one."""
        emitted = self.outbox.peek(after_id=self.outbox.newest_id() - 1)
        assert emitted is not None
        (event,) = emitted.decode().events
        assert (event.kind, event.body["cause"]) == (EventKind.GAP, "damaged")
        self.totals["appended"] += 1
        return NewBlock(emitted.batch_id, RecordClass.EVENT, event.time_us, event.time_us, 1, emitted.body)

    @rule()
    def reopen(self) -> None:
        self.outbox.close()
        self._open()

    @invariant()
    def waits_what_the_model_says_in_order(self) -> None:
        seen, last = [], 0
        while (block := self.outbox.peek(after_id=last)) is not None:
            seen.append((block.batch_id, block.count, block.body))
            last = block.id
        assert seen == [(b.batch_id, b.count, b.body) for b in self.waiting]

    @invariant()
    def depth_counts_what_waits(self) -> None:
        depth = self.outbox.depth()
        assert (depth.blocks, depth.records) == (len(self.waiting), sum(b.count for b in self.waiting))
        assert depth.body_bytes == sum(len(b.body) for b in self.waiting)
        assert depth.dead_letters == len(self.letters)
        assert depth.oldest_time_us == min((b.first_time_us for b in self.waiting), default=None)
        assert depth.newest_time_us == max((b.last_time_us for b in self.waiting), default=None)

    @invariant()
    def dead_letters_hold_the_refused_rows(self) -> None:
        letters = self.outbox.dead_letters(limit=10_000)
        assert [(letter.batch_id, letter.position, letter.code) for letter in letters] == self.letters
        for letter in letters:
            if letter.code == "conflict":
                assert wire.decode(letter.content) == self.contents[letter.batch_id, letter.position]

    @invariant()
    def counters_add_up(self) -> None:
        counters = self.outbox.counters()
        assert {name: counters[name] for name in self.totals} == self.totals


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
