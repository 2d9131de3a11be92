"""The durable queue between the gateway and the central, in SQLite.

Constraints
- A block is ours from the moment `append` returns; power loss after that does not lose it (WAL, FULL).
- Blocks leave in order of their id; a block leaves only when it is settled, or when space must be made: then readings
  are given up and a gap event is emitted, in the same transaction.
- What the central refused goes to the dead letters in the same transaction that settles its block.
- A read that fails raises; it never looks like an empty queue. A file that is damaged is put aside and salvaged, and a
  salvage that was cut short goes on with every start, append and settlement. An I/O error that passes is no damage.
- A file that was removed or replaced under us takes nothing more: it is written again first, or the append is refused.
- Blocks whose times are not UTC yet are not offered: they are written again with the right times first.
- On a full disk it can still be emptied: a reserve file beside it gives its space back for that, and nothing is
  appended until the reserve is back in its place.

Does not know what a record means or where it is going. Calls block: run them in a thread.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self, TypeVar

from cloud_sync.errors import OutboxCorruptError, OutboxError, OutboxTooNewError
from cloud_sync.outbox.ack_ledger import record_acknowledged, taken_hours
from cloud_sync.outbox.clock_tables import Epoch, depth_in_utc, hold
from cloud_sync.outbox.connection import MAX_ATTEMPTS, OutboxConnection, transient_error
from cloud_sync.outbox.disk_floor import DiskFloor, free_bytes
from cloud_sync.outbox.disk_reserve import RESERVE_BYTES, DiskReserve
from cloud_sync.outbox.eviction import Eviction, stored_bytes
from cloud_sync.outbox.gap_log import OwnGap, own_gaps
from cloud_sync.outbox.held_blocks import HeldBlocks
from cloud_sync.outbox.offline import requeue_some
from cloud_sync.outbox.retention_policy import Bounds
from cloud_sync.outbox.salvage import emit_damage, loss_of_block
from cloud_sync.outbox.sqlite_errors import is_beyond_doubt, translated
from cloud_sync.outbox.sqlite_file import Work, in_transaction, used_bytes
from cloud_sync.outbox.tables import (
    INSERT_LETTER,
    WHOLE_BLOCK,
    Block,
    DeadLetter,
    Depth,
    NewBlock,
    StoredBlock,
    count,
    insert_block,
    iterate_letters,
    last_id,
    letters_of,
    newest_id,
    read_counters,
    read_depth,
    remove_block,
    remove_doubtful,
)
from cloud_sync.records import NO_EVENTS, RecordClass, Settlement

__all__ = [
    "WHOLE_BLOCK", "Block", "DeadLetter", "Depth", "NewBlock", "Outbox", "read_depth",
]  # fmt: skip

logger = logging.getLogger(__name__)
T = TypeVar("T")

_LATEST_US: Final = 2**63 - 1
_IN_FLIGHT: Final = 256
"""Blocks that may be in flight: the last ones read. Eviction takes them last."""
_LEAST_SALVAGE_BYTES: Final = 4 << 20
"""Of a backlog that is put aside so much may wait here also below the disk floor: it leaves over the link."""
_SALVAGE_STEPS: Final = 4
"""Of a salvage, with each append or settlement: up to 4 MB."""


class Outbox:
    """One process writes. `open` acquires; the constructor does not.

    `max_age_us` bounds the age of readings while `may_expire()`: a clock that cannot be trusted must cost nothing.
    `min_free_bytes` of the disk stay free for others (0: none); `free_bytes` is what is free in a folder.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        max_age_us: int | None = None,
        gateway_id: str = "gateway",
        reserve_bytes: int = RESERVE_BYTES,
        now_ns: Callable[[], int] = time.time_ns,
        may_expire: Callable[[], bool] = lambda: True,
        min_free_bytes: int = 0,
        free_bytes: Callable[[Path], int | None] = free_bytes,
    ) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._gateway_id = gateway_id
        self._reserve = DiskReserve(path, size_bytes=reserve_bytes)
        self._max_age_us = max_age_us
        self._disk_floor = DiskFloor(path, min_free_bytes, free_bytes)
        self.held = HeldBlocks(self)
        self._eviction = Eviction(
            gateway_id, now_us=lambda: now_ns() // 1000, may_expire=lambda: may_expire() and self.held.is_empty
        )
        self._is_clock_right = may_expire
        self._in_flight: deque[int] = deque(maxlen=_IN_FLIGHT)
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._connection = OutboxConnection(
            path,
            gateway_id,
            reserve=self._reserve,
            max_bytes=max_bytes,
            now_ns=now_ns,
            salvage_bytes=self._bytes_to_salvage,
        )
        self._doubtful: deque[str] = deque(maxlen=_IN_FLIGHT)

    @property
    def min_free_bytes(self) -> int:
        return self._disk_floor.min_free_bytes

    def bounds(self, used: int) -> Bounds:
        """Return them as they are now, for an outbox that holds `used` bytes without its free pages."""
        return self._disk_floor.within(Bounds(self.max_bytes, self._max_age_us), used_bytes=used)

    @property
    def has_reserve(self) -> bool:
        """Return False while the reserve for emptying a full disk is in use or cannot be made."""
        return self._reserve.is_there

    @property
    def salvage_waits_for(self) -> str | None:
        """Return why what was saved of a damaged file is not all here yet; None when nothing is left to do."""
        return self._connection.salvage.waits_for

    def open(self) -> Self:
        """Create, migrate or salvage the file. Raises OutboxUnavailableError or OutboxTooNewError."""
        with self._lock:
            self._connection.open()
        return self

    def close(self) -> None:
        """Close the file. What was committed stays, also when the file was removed under us since the last append."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self if self._connection.is_open else self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, blocks: Sequence[NewBlock], *, epoch: Epoch | None = None) -> None:
        """Make these blocks durable, all or none, in one transaction; readings are given up for it at a bound.

        With an `epoch` they wait until it is known how far its clock was off.

        Raises OutboxFullError when events alone fill the bound and OutboxUnavailableError when the disk refuses, or
        when the file is gone and cannot be written again; nothing is appended then, and the call may be repeated.
        """

        def work(db: sqlite3.Connection) -> None:
            self._reserve.check_space(db)
            try:
                in_transaction(db, lambda db: self._insert(db, blocks, epoch))
            except sqlite3.Error:
                self._doubtful.extend(block.batch_id for block in blocks)
                raise
            self._doubtful.clear()
            self._eviction.commit()
            self._reserve.forget_full_disk()
            self._connection.removed = 0
            self._disk_floor.give_back(db)
            self._connection.salvage.advance(db, _SALVAGE_STEPS)

        with self._lock:
            self._connection.ensure_in_place()
        self._do(work)

    def peek(self, *, after_id: int = 0, record_class: RecordClass | None = None) -> Block | None:
        """Return the oldest block behind `after_id` (of one class, if given), or None.

        A damaged block goes to the dead letters, counted.
        """
        while (found := self._do(lambda db: self._find(db, after_id, record_class))) is not None:
            if found.is_whole:
                return Block(found.id, found.batch_id, RecordClass(found.record_class), found.count, found.body)
            self._to_dead_letter(found)
        return None

    def newest_id(self) -> int:
        """Return the id of the newest block that waits; 0 when none does."""
        return self._do(newest_id)

    def settle(self, block: Block, settlement: Settlement, *, now_us: int) -> None:
        """Remove a delivered block; refused records become dead letters with their reason."""
        self.settle_all([(block, settlement)], now_us=now_us)

    def settle_all(self, settled: Sequence[tuple[Block, Settlement]], *, now_us: int) -> None:
        """Settle blocks that were delivered together: all or none, in one transaction."""
        letters = {
            block.id: [(block.batch_id, *letter, now_us, content) for *letter, content in letters_of(block, settlement)]
            for block, settlement in settled
        }
        taken = {block.id: taken_hours(block, settlement) for block, settlement in settled}

        def work(db: sqlite3.Connection) -> None:
            removed = []
            for block, settlement in settled:
                # Not what took its place meanwhile: thinned readings, with some of its neighbours' among them.
                if not remove_block(db, block.id, batch_id=block.batch_id):
                    continue
                db.executemany(INSERT_LETTER, letters[block.id])
                count(db, "accepted", settlement.accepted)
                count(db, "duplicates", settlement.duplicates)
                count(db, "refused", len(settlement.refused))
                removed.append(taken[block.id])
            record_acknowledged(db, removed, now_us=now_us)

        self._empty(work)
        done = {block.id for block, _ in settled}
        with self._lock:  # another sender may be looking for its next block
            self._in_flight = deque((id_ for id_ in self._in_flight if id_ not in done), maxlen=_IN_FLIGHT)

    def depth(self) -> Depth:
        return self._do(depth_in_utc)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what the work reads in the open file, under the outbox's lock. Raises OutboxError."""
        return self._do(work)

    def change(self, work: Work) -> None:
        """Do the work in one transaction; on a full disk the disk reserve pays for it. Raises OutboxError."""
        self._empty(work)

    def counters(self) -> dict[str, int]:
        """Return totals since the file was made, and last_append_us, last_id and thinned_to.

        appended, appended_bytes, accepted, duplicates, refused, requeued, thinned, evicted, damaged, ballast_released,
        rescued, quarantine_removed.
        """
        return self._do(read_counters)

    def gaps(self) -> list[OwnGap]:
        """Return what was given up, lost or found damaged here, oldest first; also what the central has long known."""
        return self._do(own_gaps)

    def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        return self._do(lambda db: list(iterate_letters(db, limit=limit)))

    def requeue_without_place(self) -> int:
        """Put the dead letters of events that had no place behind what waits. Returns the records.

        Raises OutboxFullError when there is no space for more; those that were not put back stay dead letters.
        """
        done = 0
        while some := self._do(self._requeue_some):
            done += some
        return done

    def _requeue_some(self, db: sqlite3.Connection) -> int:
        done = 0

        def work(db: sqlite3.Connection) -> None:
            nonlocal done
            done = requeue_some(db, NO_EVENTS, self)

        in_transaction(db, work)
        return done

    def _insert(self, db: sqlite3.Connection, blocks: Sequence[NewBlock], epoch: Epoch | None) -> None:
        if self._doubtful:
            remove_doubtful(db, self._doubtful)
        self.held.refresh(db)
        bounds, clock = self.bounds(used_bytes(db)), None if epoch is None else epoch.id
        self._eviction.make_space(db, blocks, bounds, in_flight=tuple(self._in_flight), epoch=clock)
        before = last_id(db)
        for block in blocks:
            insert_block(db, block)
        count(db, "appended", sum(block.count for block in blocks))
        count(db, "appended_bytes", sum(stored_bytes(db, block) for block in blocks))
        count(db, "quarantine_removed", self._connection.removed)
        if epoch is not None:
            hold(db, epoch, before + 1, last_id(db))
            return  # the newest time will be known when they are mended
        newest = max((block.last_time_us for block in blocks), default=0)
        # What a clock that stood in the future left is taken back once the clock is right.
        latest_us = self._now_ns() // 1000 if self._is_clock_right() else _LATEST_US
        db.execute(
            "UPDATE counter SET value = min(max(value, ?), ?) WHERE name = 'last_append_us'",
            (newest, max(newest, latest_us)),
        )

    def _find(self, db: sqlite3.Connection, after_id: int, record_class: RecordClass | None) -> StoredBlock | None:
        found = self.held.next(db, after_id, record_class)
        if found is None and self._connection.salvage.advance(db, _SALVAGE_STEPS):
            found = self.held.next(db, after_id, record_class)
        if found is not None:
            self._eviction.mark_read(found.id)
            if found.id not in self._in_flight:
                self._in_flight.append(found.id)
        return found

    def _to_dead_letter(self, block: StoredBlock) -> None:
        logger.error("%s: block %d (%s records) is damaged; it becomes a dead letter", self.path, block.id, block.count)
        detail = "the stored bytes no longer match their checksum"
        now_us = self._now_ns() // 1000
        letter = (block.batch_id, WHOLE_BLOCK, "damaged_block", detail, now_us, block.body)

        def work(db: sqlite3.Connection) -> None:
            if remove_block(db, block.id):
                db.execute(INSERT_LETTER, letter)
                count(db, "damaged", block.count)
                emit_damage(db, loss_of_block(block, now_us=now_us), subject=self._gateway_id, now_us=now_us)

        self._empty(work)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The work on the open file; again on a salvaged one, or a fresh connection, when that looks damaged."""
        for attempt in range(MAX_ATTEMPTS):
            try:
                with self._lock, translated(self.path):
                    return work(self._connection.opened())
            except OutboxTooNewError:
                raise
            except OutboxCorruptError as exc:
                damage = exc
                with self._lock:
                    self._connection.examine(exc, is_certain=is_beyond_doubt(exc) and attempt > 0)
            except OutboxError as exc:
                with self._lock:
                    self._connection.reconnect_after(exc)
                raise
        raise transient_error(damage)

    def _empty(self, work: Work) -> None:
        """A transaction that removes. On a full disk the disk reserve pays for it."""

        def emptying(db: sqlite3.Connection) -> None:
            self._reserve.remove(db, work)
            self._connection.salvage.advance(db, _SALVAGE_STEPS)

        self._do(emptying)

    def _bytes_to_salvage(self, db: sqlite3.Connection) -> int:
        used = used_bytes(db)
        return max(self.bounds(used).reading_bytes, min(_LEAST_SALVAGE_BYTES, self.max_bytes)) - used
