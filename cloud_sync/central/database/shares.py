"""Who may use how many of the store's connections: each kind of work has its share, and gateways take turns in it.

Constraints
- A gateway has at most `each` turns at a time; the others of its requests wait, a bounded number of them.
- Who waits is served gateway by gateway, not request by request: a thousand requests of one cost another no place.
- Whoever would wait beyond the bounds is turned away at once, counted by `on_turned_away`, and comes again.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ShareLimits:
    """How many turns at a time, of all and of one gateway; how many requests may wait for one, and for how long."""

    at_once: int
    each: int
    waiting: int
    waiting_each: int
    patience_s: float = 15.0


INGEST: Final = ShareLimits(at_once=6, each=3, waiting=500, waiting_each=8)
"""A batch that was read, until its COMMIT. A gateway has up to 8 on the way over MQTT; 3 keep its uplink busy."""
DIGEST: Final = ShareLimits(at_once=2, each=1, waiting=64, waiting_each=2)
"""A day of 200 sensors takes the database about a second."""
BODIES: Final = ShareLimits(at_once=1_000, each=64, waiting=0, waiting_each=0)
"""Bodies on their way in: they cost no connection, but memory, for as long as their sender likes."""
OTHERS: Final = 4
"""Connections that no gateway can take: keys, health, totals, and the jobs."""


class TurnedAwayError(Exception):
    """There is no turn for this request; nothing was done. `is_own_doing`: of its gateway too many are here."""

    def __init__(self, *, is_own_doing: bool) -> None:
        super().__init__("no turn for this request")
        self.is_own_doing = is_own_doing


class FairShare:
    """Turns of one kind of work."""

    def __init__(self, limits: ShareLimits, *, on_turned_away: Callable[[str], None] = lambda _: None) -> None:
        self._limits = limits
        self._on_turned_away = on_turned_away
        self._working: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """In the order in which gateways get their next turn."""

    @asynccontextmanager
    async def turn(self, gateway_id: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it. Raises TurnedAwayError."""
        await self._enter(gateway_id)
        try:
            yield
        finally:
            self._leave(gateway_id)

    async def _enter(self, gateway_id: str) -> None:
        if self._is_free_for(gateway_id):  # whoever waits cannot use it: each of them has all it may
            self._working[gateway_id] += 1
            return
        queue = self._waiting.get(gateway_id, ())
        if len(queue) >= self._limits.waiting_each or self._waiting_total() >= self._limits.waiting:
            is_own_doing = self._working[gateway_id] > 0 and len(queue) >= self._limits.waiting_each
            raise self._turned_away(gateway_id, is_own_doing=is_own_doing)
        granted = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(gateway_id, deque()).append(granted)
        try:
            async with asyncio.timeout(self._limits.patience_s):
                await granted
        except TimeoutError as exc:
            self._give_up(gateway_id, granted)
            raise self._turned_away(gateway_id, is_own_doing=False) from exc
        except asyncio.CancelledError:
            self._give_up(gateway_id, granted)
            raise

    def _leave(self, gateway_id: str) -> None:
        self._working[gateway_id] -= 1
        if not self._working[gateway_id]:
            del self._working[gateway_id]
        self._grant()

    def _grant(self) -> None:
        """Give what is free to those who wait, one gateway after the other."""
        for gateway_id in list(self._waiting):
            if self._is_free_for(gateway_id):
                queue = self._waiting.pop(gateway_id)
                granted = queue.popleft()
                if queue:
                    self._waiting[gateway_id] = queue  # behind the others
                if granted.cancelled():  # and not yet told of it
                    self._grant()
                    return
                self._working[gateway_id] += 1
                granted.set_result(None)

    def _give_up(self, gateway_id: str, granted: asyncio.Future[None]) -> None:
        if granted.done() and not granted.cancelled():  # the turn came at the moment of giving up
            self._leave(gateway_id)
            return
        queue = self._waiting.get(gateway_id, deque())
        with suppress(ValueError):  # it may have been passed over already
            queue.remove(granted)
        if not queue:
            self._waiting.pop(gateway_id, None)

    def _is_free_for(self, gateway_id: str) -> bool:
        return self._working.total() < self._limits.at_once and self._working[gateway_id] < self._limits.each

    def _waiting_total(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _turned_away(self, gateway_id: str, *, is_own_doing: bool) -> TurnedAwayError:
        self._on_turned_away(gateway_id)
        return TurnedAwayError(is_own_doing=is_own_doing)


@dataclass(frozen=True, slots=True)
class Shares:
    """The shares of one central: the same for what comes over HTTP and over MQTT."""

    ingest: FairShare = field(default_factory=lambda: FairShare(INGEST))
    digest: FairShare = field(default_factory=lambda: FairShare(DIGEST))
    bodies: FairShare = field(default_factory=lambda: FairShare(BODIES))

    @classmethod
    def counted(cls, count: Callable[[str, str], None]) -> Shares:
        """Return shares that call `count` with the gateway and the kind of work of everything that is turned away."""
        return cls(
            FairShare(INGEST, on_turned_away=lambda gateway_id: count(gateway_id, "batch")),
            FairShare(DIGEST, on_turned_away=lambda gateway_id: count(gateway_id, "digest")),
            FairShare(BODIES, on_turned_away=lambda gateway_id: count(gateway_id, "body")),
        )


CONNECTIONS: Final = INGEST.at_once + DIGEST.at_once + OTHERS
"""PostgreSQL's own default limit is 100, for all instances together."""


class AskedTogether(Generic[_T]):
    """A question that anybody may ask: those who ask while it is being answered get the same answer."""

    def __init__(self, ask: Callable[[], Awaitable[_T]]) -> None:
        self._ask = ask
        self._asking: asyncio.Task[_T] | None = None

    async def answer(self) -> _T:
        if self._asking is None or self._asking.done():
            # Awaited here. When all who asked are gone it ends by itself: a question to the database is bounded.
            self._asking = asyncio.create_task(self._asked(), name="asked together")
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody may be left
        return await asyncio.shield(self._asking)

    async def _asked(self) -> _T:
        return await self._ask()
