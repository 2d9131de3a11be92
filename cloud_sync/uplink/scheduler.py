"""Which blocks go next: events first, then the newest (live) and the oldest (backlog) by weight.

Constraints
- Within a queue blocks go in the order of their ids.
- While both wait, live gets `live_weight` bytes for each byte of backlog. A queue with nothing to send leaves the
  link to the other, and saves up no claim on it.
- A block that was taken is not taken again before the next `restart`.

Live is whatever is among the newest `LIVE_BLOCKS` ids: a link too thin for the present alone pushes blocks over into
the backlog, so live stays the newest. Calls block: run them in a thread, one at a time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from cloud_sync.outbox.store import Block
from cloud_sync.records import RecordClass

LIVE_BLOCKS: Final = 16
"""A flush makes one or two blocks, so this is 8 to 16 seconds: longer than an answer takes on a working link."""

COALESCED_BLOCKS: Final = 200
"""Settled in one transaction: on a full disk its log must fit into the disk reserve."""


class Queue(StrEnum):
    EVENT = "event"
    LIVE = "live"
    BACKLOG = "backlog"


@dataclass(frozen=True, slots=True)
class Load:
    """Blocks of one class that may go in one request, in order."""

    queue: Queue
    blocks: tuple[Block, ...]
    is_full: bool = False
    """More waited in its queue than it may carry."""

    @property
    def count(self) -> int:
        return sum(block.count for block in self.blocks)


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """How much may be coalesced in one request. One stored block may go alone whatever its size."""

    records: int
    body_bytes: int
    backlog_bytes: int | None = None
    """Less, of what is old."""

    def bytes_of(self, queue: Queue) -> int:
        is_less = queue is Queue.BACKLOG and self.backlog_bytes is not None
        return min(self.body_bytes, self.backlog_bytes or 0) if is_less else self.body_bytes


class BlockSource(Protocol):
    """What the queues need of an outbox."""

    def peek(self, *, after_id: int = 0, record_class: RecordClass | None = None) -> Block | None: ...

    def newest_id(self) -> int: ...


@dataclass(slots=True)
class _Taken:
    """What this round has handed out, and how far each queue has come."""

    ids: set[int] = field(default_factory=set)
    after: dict[Queue, int] = field(default_factory=lambda: dict.fromkeys(Queue, 0))


class Scheduler:
    def __init__(self, outbox: BlockSource, *, live_weight: float = 3.0, live_blocks: int = LIVE_BLOCKS) -> None:
        self._outbox = outbox
        self._weights = {Queue.LIVE: live_weight, Queue.BACKLOG: 1.0}
        self._live_blocks = live_blocks
        self._spent = dict.fromkeys(self._weights, 0.0)
        self._first_live_id = 0
        self._taken = _Taken()
        self.has_backlog = False
        """Whether the backlog had a block to send at the last `take`, held back or not."""

    def restart(self) -> None:
        """Offer everything that waits, from the oldest."""
        self._taken = _Taken()

    def take(
        self,
        limits: LoadLimits,
        *,
        with_backlog: bool = True,
        without: Collection[RecordClass] = (),
        busy: Collection[Queue] = (),
    ) -> Load | None:
        """Return the next load, or None when nothing (that may be sent now) waits.

        `without` classes are held back. A `busy` queue has as many requests in flight as it may have; the other one
        goes meanwhile.
        """
        taken = self._taken  # a call that outlives its round marks nothing in the next
        newest_id = self._outbox.newest_id()
        # Never backwards: once the newest are settled, older ones do not become live.
        self._first_live_id = max(self._first_live_id, newest_id - self._live_blocks + 1)
        event = None
        if RecordClass.EVENT not in without:
            event = self._next(taken, Queue.EVENT, taken.after[Queue.EVENT])
        if event is not None:
            return self._load(taken, Queue.EVENT, event, limits)
        if RecordClass.EVENT not in without:
            taken.after[Queue.EVENT] = max(taken.after[Queue.EVENT], newest_id)
        queues = () if RecordClass.READING in without else self._weights
        heads = {queue: self._next(taken, queue, taken.after[queue]) for queue in queues}
        self.has_backlog = heads.get(Queue.BACKLOG) is not None
        if not with_backlog:
            heads[Queue.BACKLOG] = None
        waiting = {queue: head for queue, head in heads.items() if head is not None}
        if not waiting:
            return None
        queue = self._cheapest(waiting)
        if queue in busy:
            others = [other for other in waiting if other not in busy]
            if not others:
                return None
            self._spent[queue] = max(self._spent.values())  # it saves up no claim meanwhile
            queue = others[0]
        return self._load(taken, queue, waiting[queue], limits)

    def _cheapest(self, waiting: dict[Queue, Block]) -> Queue:
        """The queue that has had the least of its share; one that was idle starts level with the other."""
        for queue in self._spent.keys() - waiting.keys():
            self._spent[queue] = max(self._spent.values())
        return min(waiting, key=lambda queue: self._spent[queue])

    def _load(self, taken: _Taken, queue: Queue, head: Block, limits: LoadLimits) -> Load:
        blocks, is_full = self._joinable(taken, queue, head, limits)
        taken.ids.update(block.id for block in blocks)
        taken.after[queue] = blocks[-1].id
        if queue in self._spent:
            self._spent[queue] += sum(len(block.body) for block in blocks) / self._weights[queue]
        return Load(queue, tuple(blocks), is_full)

    def _joinable(self, taken: _Taken, queue: Queue, head: Block, limits: LoadLimits) -> tuple[list[Block], bool]:
        """The queue's blocks from `head` on, up to the limits, and whether it was these that ended them."""
        blocks, records, body_bytes = [head], head.count, len(head.body)
        while (block := self._next(taken, queue, blocks[-1].id)) is not None:
            records, body_bytes = records + block.count, body_bytes + len(block.body)
            if len(blocks) == COALESCED_BLOCKS or records > limits.records or body_bytes > limits.bytes_of(queue):
                return blocks, True
            blocks.append(block)
        return blocks, False

    def _next(self, taken: _Taken, queue: Queue, after_id: int) -> Block | None:
        """The queue's first block behind `after_id` that is not in flight."""
        if queue is Queue.LIVE:
            after_id = max(after_id, self._first_live_id - 1)
        only = RecordClass.EVENT if queue is Queue.EVENT else RecordClass.READING
        while (block := self._outbox.peek(after_id=after_id, record_class=only)) is not None:
            if queue is Queue.BACKLOG and block.id >= self._first_live_id:
                return None
            if block.id not in taken.ids:
                return block
            after_id = block.id
        return None
