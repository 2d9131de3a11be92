"""Several routes to the same central in an order: the first while it works, the next while it does not.

Constraints
- Only unreachability changes the route: refused credentials, refused batches and a busy central are said as they
  are, since every route leads to the same central and another would hide what somebody must mend.
- A batch may travel more than one route. That is harmless: the keys of its rows and events count once.
- A route that is not in use holds no connection, also when only a probe went over it: a link may cost, and says online.
- Hysteresis in both directions: a route is left after several failures in a row, and one that came back is on
  probation first. A failure then gives delivery back at once, and the next probe waits twice as long.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cloud_sync.errors import BatchRefusedError, BatchTooLargeError, SyncError, TransientSyncError
from cloud_sync.records import Settlement
from cloud_sync.transports.base import Guarantee, Resting, Route, Transport
from cloud_sync.transports.speaker import SMALL_BYTES

logger = logging.getLogger(__name__)

PROBE_WAITS_MOST_S: Final = 3_600.0


class FailoverTransport:
    """The other properties of a transport are those of the one in use.

    After `after_failures` in a row the next route of the order is taken, after the last the first. While a later one
    is in use, those before it are tried by turns every `probe_every_s`, with a batch that waits anyway; the first
    answer takes the route back, on probation for `probation_answers` more.
    """

    def __init__(
        self,
        *routes: Transport,
        after_failures: int = 3,
        probe_every_s: float = 300.0,
        probation_answers: int = 3,
        now_s: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        if len(routes) < 2:
            raise ValueError("a failover needs at least two routes")
        self._routes = routes
        self._after_failures = after_failures
        self._probe_every_s = probe_every_s
        self._probation_answers = probation_answers
        self._now_s = now_s
        self._now_ns = now_ns
        self._active = 0
        self._failures = 0
        self._probation_left = 0
        self._before_probation = 0
        self._came_back, self._held_since_s = False, now_s()
        self._probe_wait_s = probe_every_s
        self._probe_at_s = 0.0
        self._probed = -1
        self.switches_total = 0
        self.changed_at_ns: int | None = None

    def __repr__(self) -> str:
        return f"FailoverTransport({', '.join(map(repr, self._routes))})"

    @property
    def in_use(self) -> Transport:
        """Return the transport that batches go over now."""
        return self._routes[self._active]

    @property
    def route(self) -> Route:
        """Return the route in use: since when, and instead of which."""
        return replace(
            self.in_use.route,
            since_ns=self.changed_at_ns,
            instead_of=self._routes[0].route.name if self._active else None,
            unexpected_answers=sum(each.route.unexpected_answers for each in self._routes),
        )

    @property
    def guarantee(self) -> Guarantee:
        """Return what an answer over the route in use guarantees."""
        return self.in_use.guarantee

    @property
    def takes_events(self) -> bool | None:
        """Return whether events have a place at the end of the route in use; None while that is not known."""
        return self.in_use.takes_events

    @property
    def takes_digests(self) -> bool:
        """Return whether the end of the route in use can be asked for digests."""
        return self.in_use.takes_digests

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Deliver one encoded batch. Raises as promised in `transports.base`."""
        if self._is_probe_due() and (settlement := await self._probe(body, batch_id)) is not None:
            return settlement
        number = self._active
        try:
            settlement = await self._routes[number].send(body, batch_id=batch_id)
        except TransientSyncError as exc:
            self._record_failure(number, exc)
            if self._active == number:
                raise
        except (BatchRefusedError, BatchTooLargeError) as exc:
            if not _is_of_somebody_between(exc):
                self._record_reached(number)
                raise
            if len(body) < SMALL_BYTES:  # not about its size: whoever says so lets nothing through
                self._record_failure(number, exc)
            if self._active == number:
                raise
        else:
            self._record_reached(number)
            return settlement
        finally:
            await self._rest(number)
        return await self.in_use.send(body, batch_id=batch_id)

    async def _rest(self, number: int) -> None:
        """Let a route's connections go, unless it is the one in use."""
        route = self._routes[number]
        if number != self._active and isinstance(route, Resting):
            await route.rest()

    async def close(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for route in reversed(self._routes):
                stack.push_async_callback(route.close)

    def _is_probe_due(self) -> bool:
        return self._active > 0 and self._probation_left == 0 and self._now_s() >= self._probe_at_s

    async def _probe(self, body: bytes, batch_id: str) -> Settlement | None:
        """Send over a route before the one in use; None when it is still away."""
        self._probe_at_s = self._now_s() + self._probe_wait_s
        self._probed = number = (self._probed + 1) % self._active
        left = self._active
        try:
            settlement = await self._routes[number].send(body, batch_id=batch_id)
        except TransientSyncError as exc:
            logger.debug("%s is still away: %s", self._routes[number].route.name, exc.message)
            return None
        except (BatchRefusedError, BatchTooLargeError) as exc:
            if _is_of_somebody_between(exc):
                return None
            self._begin_probation(number)
            raise
        else:
            self._begin_probation(number)
            return settlement
        finally:
            for each in (number, left):
                await self._rest(each)

    def _begin_probation(self, number: int) -> None:
        if number >= self._active:  # another send was faster
            return
        self._before_probation, self._probation_left = self._active, self._probation_answers
        self._use(number, None)

    def _record_reached(self, number: int) -> None:
        if number != self._active:
            return
        self._failures = 0
        self._probation_left = max(0, self._probation_left - 1)
        if self._came_back and self._now_s() - self._held_since_s >= self._probe_every_s:
            self._probe_wait_s = self._probe_every_s  # it held: what was before is forgotten

    def _record_failure(self, number: int, exc: SyncError) -> None:
        if number != self._active:  # another send has changed the route meanwhile
            return
        if isinstance(exc, TransientSyncError) and exc.is_centrals and exc.retry_after_s is not None:
            # The central itself spoke: it was reached, and is busy on every route.
            self._failures = 0
            return
        self._failures += 1
        if self._failures < self._after_failures and not self._probation_left:
            return
        if self._has_flapped():
            self._probe_wait_s = min(PROBE_WAITS_MOST_S, 2 * self._probe_wait_s)
        following = self._before_probation if self._probation_left else (number + 1) % len(self._routes)
        self._probation_left = 0
        self._use(following, exc)

    def _has_flapped(self) -> bool:
        """Whether the route in use came back and is lost again before long."""
        held_s = self._now_s() - self._held_since_s
        return self._came_back and held_s < self._probe_every_s

    def _use(self, number: int, because: SyncError | None) -> None:
        reason = f": {because.message}" if because else ""
        logger.warning(
            "delivery changes from %s to %s%s", self.in_use.route.name, self._routes[number].route.name, reason
        )
        self._active, self._failures, self._probed = number, 0, -1
        self._came_back, self._held_since_s = because is None, self._now_s()
        self._probe_at_s = self._now_s() + self._probe_wait_s
        self.switches_total += 1
        self.changed_at_ns = self._now_ns()


def _is_of_somebody_between(exc: SyncError) -> bool:
    return isinstance(exc, BatchTooLargeError) and not exc.is_centrals
