"""What is in flight, and what may go besides: slots of both queues, size of a request, the backlog's rate and waits.

Puts congestion control, a rate that was set, and what was too large once, into one answer. Sends nothing.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from cloud_sync.errors import BatchTooLargeError, TransientSyncError
from cloud_sync.outbox.store import Block
from cloud_sync.token_bucket import TokenBucket
from cloud_sync.uplink.congestion import MAX_BODY_BYTES, CongestionControl, Measured
from cloud_sync.uplink.gate import Gate
from cloud_sync.uplink.pacing import TooLarge
from cloud_sync.uplink.scheduler import Load, LoadLimits, Queue
from cloud_sync.uplink.state import Policy

_NOW: Final = 0.0

BURST_S: Final = 2.0
"""Of the rate of a backlog."""


class Window:
    def __init__(self, policy: Policy, monotonic_s: Callable[[], float], gate: Gate) -> None:
        self._policy = policy
        self._gate = gate
        self._monotonic_s = monotonic_s
        self._control = CongestionControl(max_in_flight=policy.in_flight, answer_timeout_s=policy.answer_timeout_s)
        self._too_large = TooLarge()
        rate = policy.max_bytes_per_s
        self._bucket = None if rate is None else TokenBucket(rate, rate * BURST_S, now_s=monotonic_s())
        self._backlog_from_s = _NOW
        self._loads: list[Load] = []

    @property
    def measured(self) -> Measured:
        return self._control.measured

    # ---- what may go

    def limits(self, *, is_asking: bool = False) -> LoadLimits:
        """Return how much the next load may carry; one block when it only asks."""
        live, backlog = (self._parts_bytes(is_backlog=is_backlog) for is_backlog in (False, True))
        return self._gate.trimmed(LoadLimits(1 if is_asking else self._policy.coalesce_records, live, backlog))

    def _parts_bytes(self, *, is_backlog: bool) -> int:
        now_s = self._monotonic_s()
        parts_bytes = min(MAX_BODY_BYTES, self._control.parts_bytes(is_backlog=is_backlog, now_s=now_s))
        return self._too_large.limited(parts_bytes, now_s=now_s)

    def busy(self, *, has_backlog: bool) -> frozenset[Queue]:
        """Return the queues that have as many requests in flight as they may have.

        While what is new fills each of its requests, the link is too thin for it: then no queue has slots of its own,
        and the next free one goes to the queue that has had the least of its share.
        """
        if self._is_live_full:
            most = self._control.slots(now_s=self._monotonic_s())
            return frozenset((Queue.LIVE, Queue.BACKLOG)) if len(self._loads) >= most else frozenset()
        number = Counter(load.queue for load in self._loads)
        slots = {
            Queue.LIVE: self._control.live_slots(has_backlog=has_backlog),
            Queue.BACKLOG: self._control.backlog_slots(now_s=self._monotonic_s()),
        }
        return frozenset(queue for queue, most in slots.items() if number[queue] >= most)

    @property
    def _is_live_full(self) -> bool:
        live = [load for load in self._loads if load.queue is Queue.LIVE]
        return bool(live) and all(load.is_full for load in live)

    def backlog_wait_s(self) -> float:
        """Return how long the backlog still has to wait for its time or its rate; 0 when it may go."""
        now_s = self._monotonic_s()
        paced_s = 0.0 if self._bucket is None else self._bucket.wait_s(now_s=now_s)
        return max(0.0, self._backlog_from_s - now_s, paced_s, self._gate.backlog_wait_s())

    def hold_backlog(self, seconds: float) -> None:
        """Hold the backlog for so long from now on; 0 lets it go."""
        self._backlog_from_s = self._monotonic_s() + seconds if seconds else _NOW

    # ---- what is in flight

    @contextlib.contextmanager
    def carrying(self, load: Load) -> Iterator[None]:
        """Take one slot of its queue meanwhile."""
        self._loads.append(load)
        try:
            yield
        finally:
            self._loads = [other for other in self._loads if other is not load]

    @contextlib.contextmanager
    def request(self, body_bytes: int, count: int, load: Load | None = None) -> Iterator[None]:
        """Measure one request, whatever becomes of it. Raises BatchTooLargeError when as much was too large before.

        `load` is what it carries, or a block of it; None: a part of a block, or a question.
        """
        now_s = self._monotonic_s()
        if count > 1 and self._too_large.is_too_large(body_bytes, now_s=now_s):
            raise BatchTooLargeError(f"{body_bytes} bytes are more than the central took before")
        if self._bucket is not None:
            self._bucket.take(body_bytes, now_s=now_s)
        flight = self._control.record_sent(
            body_bytes,
            is_full=load is not None and load.is_full and load.count == count,
            is_backlog=load is not None and load.queue is Queue.BACKLOG,
            now_s=now_s,
        )
        is_certain = False
        try:
            yield
            self._control.record_answered(flight, now_s=self._monotonic_s())
            is_certain = True
        except BatchTooLargeError:
            self._too_large.note(body_bytes, now_s=self._monotonic_s())
            raise
        except TransientSyncError as exc:
            self._control.record_failed(flight, may_be_size=exc.was_in_flight)
            is_certain = True
            raise
        finally:
            if not is_certain:
                self._control.record_gone(flight)

    def forget_too_large(self) -> None:
        """Forget it: who said it lets nothing through, whatever its size."""
        self._too_large.forget()

    def count_coalesced(self, blocks: Sequence[Block], body: bytes) -> None:
        """Learn how much blocks shrink when they become one body."""
        self._control.count_coalesced(sum(len(block.body) for block in blocks), len(body))
