"""Two ways to the same central: the preferred one while it works, the other while it does not.

Constraints
- Only unreachability changes the way: refused credentials, refused batches and a busy central are said as they
  are, since the other way leads to the same central and would hide what somebody must mend.
- A batch may travel both ways. That is harmless: the keys of its rows and events count once.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable

from cloud_sync.errors import BatchRefusedError, BatchTooLargeError, SyncError, TransientSyncError
from cloud_sync.records import Settlement
from cloud_sync.transports.base import Transport

logger = logging.getLogger(__name__)


class FailoverTransport:
    """`name` is the way in use, since `changed_at_ns` (None: from the start).

    After `after_failures` in a row the other way is taken.
    While the fallback is in use, the preferred way is tried again every `probe_every_s`, with a batch that waits
    anyway.
    """

    def __init__(
        self,
        preferred: Transport,
        fallback: Transport,
        *,
        after_failures: int = 3,
        probe_every_s: float = 300.0,
        now_s: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._preferred = preferred
        self._fallback = fallback
        self._after_failures = after_failures
        self._probe_every_s = probe_every_s
        self._now_s = now_s
        self._now_ns = now_ns
        self._active = preferred
        self._failures = 0
        self._probe_at_s = 0.0
        self.name = preferred.name
        self.switches_total = 0
        self.changed_at_ns: int | None = None

    def __repr__(self) -> str:
        return f"FailoverTransport({self._preferred!r}, {self._fallback!r})"

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Deliver one encoded batch. Raises as promised in `transports.base`."""
        if self._is_probe_due() and (settlement := await self._probe(body, batch_id)) is not None:
            return settlement
        way = self._active
        try:
            settlement = await way.send(body, batch_id=batch_id)
        except TransientSyncError as exc:
            self._note_failure(way, exc)
            if self._active is way:
                raise
        except (BatchRefusedError, BatchTooLargeError):
            self._note_reached(way)
            raise
        else:
            self._note_reached(way)
            return settlement
        return await self._active.send(body, batch_id=batch_id)

    @property
    def instead_of(self) -> str | None:
        """The preferred way, while the other one stands in for it."""
        return None if self._active is self._preferred else self._preferred.name

    @property
    def unexpected_total(self) -> int:
        """Answers over either way that nobody waited for; only MQTT can have any."""
        return sum(getattr(way, "unexpected_total", 0) for way in (self._preferred, self._fallback))

    async def close(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._fallback.close)
            stack.push_async_callback(self._preferred.close)

    def _is_probe_due(self) -> bool:
        return self._active is self._fallback and self._now_s() >= self._probe_at_s

    async def _probe(self, body: bytes, batch_id: str) -> Settlement | None:
        """Send over the preferred way; None when it is still away."""
        self._probe_at_s = self._now_s() + self._probe_every_s
        try:
            settlement = await self._preferred.send(body, batch_id=batch_id)
        except TransientSyncError as exc:
            logger.debug("%s is still away: %s", self._preferred.name, exc.message)
            return None
        except (BatchRefusedError, BatchTooLargeError):
            self._use(self._preferred, None)
            raise
        self._use(self._preferred, None)
        return settlement

    def _note_reached(self, way: Transport) -> None:
        if self._active is way:
            self._failures = 0

    def _note_failure(self, way: Transport, exc: TransientSyncError) -> None:
        if self._active is not way:  # another send has changed the way meanwhile
            return
        if exc.retry_after_s is not None:  # the central itself spoke: it was reached, and is busy on either way
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= self._after_failures:
            self._use(self._fallback if way is self._preferred else self._preferred, exc)

    def _use(self, way: Transport, because: SyncError | None) -> None:
        if way is self._active:
            return
        reason = f": {because.message}" if because else ""
        logger.warning("delivery changes from %s to %s%s", self._active.name, way.name, reason)
        self._active, self._failures = way, 0
        self._probe_at_s = self._now_s() + self._probe_every_s
        self.name = way.name
        self.switches_total += 1
        self.changed_at_ns = self._now_ns()
