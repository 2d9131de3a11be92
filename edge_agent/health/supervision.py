"""Every long-lived part of the agent, started again when it fails: a fault of one never ends the others.

Constraints
- This is the one place that catches every exception: what arrives here is a fault of this program or of a library,
  since each room translates what it expects. It is counted, logged with its traceback, and shown in `status`.
- Between two starts there is a back-off with full jitter; a part that ran well for a while begins again at its start.
- Cancellation always passes, also one that a library took for an error.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar

from cloud_sync.backoff import Backoff
from cloud_sync.host.printable import printable
from edge_agent.core.cancellation import check_cancelled
from edge_agent.core.clock import Clock

T = TypeVar("T")

log = logging.getLogger("edge_agent")

RESTART_FIRST_S: Final = 0.5
RESTART_MAX_S: Final = 60.0
WELL_AFTER_S: Final = 120.0
"""A part that ran this long is well again: the next failure is a new one."""
_TEXT_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class PartFailure:
    """`since_ns`, `times`: of the present series; `last_ns`: the newest; `what`: its exception in one line."""

    part: str
    since_ns: int
    last_ns: int
    times: int
    total: int
    what: str


class Supervision:
    """Owns the tasks it starts until they are cancelled; set `is_stopping` before that."""

    def __init__(self, clock: Clock, *, jitter: Callable[[], float] = random.random) -> None:
        self.is_stopping = False
        self._clock = clock
        self._jitter = jitter
        self._failures: dict[str, PartFailure] = {}

    @property
    def failures(self) -> tuple[PartFailure, ...]:
        """Return the newest series of failures of every part that ever failed."""
        return tuple(self._failures.values())

    def start(
        self,
        name: str,
        run: Callable[[], Awaitable[None]],
        *,
        after_failure: Callable[[str], Awaitable[None]] | None = None,
        restart_max_s: float = RESTART_MAX_S,
    ) -> asyncio.Task[None]:
        """Run the part until it ends by itself or is cancelled. `after_failure` makes good what was in work."""
        backoff = Backoff(RESTART_FIRST_S, restart_max_s, jitter=self._jitter)
        return asyncio.create_task(self._keep(name, run, after_failure, backoff), name=name)

    async def attempt(
        self, name: str, call: Callable[[], Awaitable[Any]], *, passing: tuple[type[Exception], ...] = ()
    ) -> bool:
        """Return whether the call went well; its failure is counted, unless it is one of `passing`, which passes."""
        try:
            await call()
        except passing:
            raise
        except Exception as exc:  # noqa: BLE001 - the one place, see above
            if self.is_stopping:
                check_cancelled()
            _forget_own_cancellation()
            self.record(name, exc)
            return False
        return True

    async def result(self, name: str, call: Callable[[], Awaitable[T]]) -> T | None:
        """Return what the call returns, or None when it failed."""
        made: list[T] = []

        async def make() -> None:
            made.append(await call())

        return made[0] if await self.attempt(name, make) else None

    async def finish(
        self,
        name: str,
        finish: Callable[[], Awaitable[None]],
        *,
        after_failure: Callable[[str], Awaitable[None]],
        has_items: Callable[[], bool],
    ) -> None:
        """Empty a part at a stop. One item it fails at costs no other: it goes on while there are any."""
        while not await self.attempt(name, finish):
            await self.attempt(name, partial(after_failure, self._failures[name].what))
            if not has_items():
                await self.attempt(name, finish)
                return

    def record(self, name: str, exc: BaseException) -> None:
        """Count the failure of this part and log it."""
        now_ns, what, before = self._clock.now_ns(), in_one_line(exc), self._failures.get(name)
        if before is None:
            failure = PartFailure(name, now_ns, now_ns, 1, 1, what)
        elif now_ns - before.last_ns > WELL_AFTER_S * 1e9:
            failure = PartFailure(name, now_ns, now_ns, 1, before.total + 1, what)
        else:
            failure = replace(before, last_ns=now_ns, times=before.times + 1, total=before.total + 1, what=what)
        self._failures[name] = failure
        is_news = before is None or before.what != what or failure.times == 1
        # The same traceback again and again would only push older lines out of the journal.
        log.error(
            "%s failed unexpectedly (%d times by now): %s", name, failure.total, what, exc_info=exc if is_news else None
        )

    def on_loop_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what a callback of the event loop raised.

        A library's task that nobody asked how it ended is only logged: when a link breaks, that is how they end.
        """
        exc = context.get("exception")
        if isinstance(exc, Exception) and not ("future" in context or "task" in context):
            self.record("a callback", exc)
        else:
            log.warning("event loop: %s", context.get("message"), exc_info=exc)

    async def _keep(
        self,
        name: str,
        run: Callable[[], Awaitable[None]],
        after_failure: Callable[[str], Awaitable[None]] | None,
        backoff: Backoff,
    ) -> None:
        tries = 0
        while True:
            began_s = self._clock.monotonic_s()
            if await self.attempt(name, run):
                return
            if after_failure is not None:
                await self.attempt(name, partial(after_failure, self._failures[name].what))
            tries = 1 if self._clock.monotonic_s() - began_s > WELL_AFTER_S else tries + 1
            wait_s = backoff.wait_s(tries)
            log.info("%s is started again in %.1f s", name, wait_s)
            await self._clock.sleep(wait_s)


def _forget_own_cancellation() -> None:
    """Up to Python 3.12 a TaskGroup that failed leaves its own cancellation counted; the next one stumbles on it."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def in_one_line(exc: BaseException) -> str:
    """Return the error's kind and text; of a group, those of the first that is none."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    text = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
    return printable(text, limit=_TEXT_CHARACTERS)
