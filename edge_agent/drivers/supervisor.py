"""Keeping one driver alive: open, stream, and after a loss back off and open again.

Constraints
- A lost device never ends the daemon and never stops another source.
- One warning when it goes away, one line when it comes back; in between only counters. One that goes and comes
  again and again is one line and one problem (restless.py).
- The time without the device is a gap: announced when it begins, whole when it ends.
- Cancellation passes, also one that the driver's library swallowed; the driver is closed whatever happens, within
  a bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from cloud_sync.backoff import Backoff
from edge_agent.core.cancellation import check_cancelled
from edge_agent.core.clock import Clock
from edge_agent.core.gaps import Gap, GapCause, GapSpan
from edge_agent.core.samples import SampleBlock
from edge_agent.core.tags import KeepAlive, Scan
from edge_agent.drivers.base import Driver, Item
from edge_agent.drivers.report import SourceProblem, SourceReport
from edge_agent.drivers.restless import WINDOW_S, LossesLately
from edge_agent.errors import DeviceRejectedError, DriverError

BACKOFF_FIRST_S: Final = 0.5
BACKOFF_MAX_S: Final = 30.0
REJECTED_WAIT_S: Final = 60.0
"""A device that said no is asked again rarely: somebody has to change something first."""
CLOSE_TIMEOUT_S: Final = 3.0
SAID_AFTER_ATTEMPTS: Final = 6
"""A source that was lost often is logged as lost again when so many attempts have failed, about half a minute."""


class SourceState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    LOST = "lost"
    REJECTED = "rejected"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """`since_ns`: when this state began. `items_total`: blocks or scans.

    `last_item_ns`: the newest of them, or the newest keep-alive: up to then nothing is missing.
    """

    state: SourceState
    since_ns: int
    items_total: int = 0
    last_item_ns: int | None = None
    sample_rate_hz: float | None = None
    losses_total: int = 0
    attempts: int = 0
    message: str = ""
    hint: str | None = None


class Supervisor:
    """One source. `deliver` takes every item, in order; `log` takes one line; `ended` is called at its end."""

    def __init__(
        self,
        driver: Driver,
        *,
        deliver: Callable[[Item], Awaitable[None]],
        clock: Clock,
        log: Callable[[str, str], None],
        jitter: Callable[[], float] = random.random,
        ended: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.name = driver.name
        self.health = SourceHealth(SourceState.STARTING, clock.now_ns())
        self._driver = driver
        self._deliver = deliver
        self._clock = clock
        self._log = log
        self._ended = ended
        self._lost = Backoff(BACKOFF_FIRST_S, BACKOFF_MAX_S, least=0.5, jitter=jitter)
        self._rejected = Backoff(REJECTED_WAIT_S, REJECTED_WAIT_S, least=0.5, jitter=jitter)
        self._loss = GapSpan(driver.name)
        self._lately = LossesLately()
        self._newest_loss: DriverError | None = None
        self._is_unsaid = False  # the loss that lasts was not logged

    async def run(self) -> None:
        """Read the source until the recording ends or the task is cancelled. Call `finish` after it."""
        while not await self._run_once():
            check_cancelled()
            await self._clock.sleep(self._wait_s())
        await self._end_loss()
        if self._ended is not None:
            await self._ended()
        self._become(SourceState.ENDED, "the recording has been played")

    def report(self) -> SourceReport:
        """Return what the driver knows of its source, and that it is lost again and again."""
        report, now_ns, newest = self._driver.report(), self._clock.now_ns(), self._newest_loss
        if newest is None or self.health.state is not SourceState.RUNNING or not self._lately.are_many(now_ns):
            return report
        often, last = self._lately.count(now_ns), self._without_name(newest.message)
        what = f"read again, but lost {often} times within {WINDOW_S / 60:.0f} min, the last time: {last}"
        found = SourceProblem(what, self._lately.since_ns, newest.hint)
        return replace(report, problems=(*report.problems, found))

    async def finish(self) -> None:
        """End the gap that is open at a stop."""
        await self._end_loss()

    async def record_fault(self, what: str) -> None:
        """Begin a gap that lasts until the driver delivers again: it failed unexpectedly."""
        begun = self._loss.begin(GapCause.AGENT_FAULT, self.health.last_item_ns or self._clock.now_ns(), what)
        if self.health.state is SourceState.RUNNING:
            self.health = replace(self.health, losses_total=self.health.losses_total + 1)
        self._become(SourceState.STARTING, f"{self.name}: its driver failed: {what}")
        if begun is not None:
            await self._deliver(begun)

    async def _run_once(self) -> bool:
        """Open once and read; return True when the source came to its natural end."""
        try:
            await self._driver.open()
            check_cancelled()
            async with contextlib.aclosing(self._driver.stream()) as items:  # type: ignore[type-var]
                async for item in items:
                    await self._take(item)
                    check_cancelled()
        except DriverError as exc:
            check_cancelled()  # the loss may be nothing but our own cancellation
            await self._record_loss(exc)
            return False
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._driver.close()
        return True

    async def _take(self, item: Item) -> None:
        if self.health.state is not SourceState.RUNNING and not isinstance(item, Gap):
            await self._record_running()
        if isinstance(item, SampleBlock | Scan):
            rate = item.sample_rate_hz if isinstance(item, SampleBlock) else None
            self.health = replace(
                self.health,
                items_total=self.health.items_total + 1,
                last_item_ns=self._clock.now_ns(),
                sample_rate_hz=rate,
            )
        elif isinstance(item, KeepAlive):
            self.health = replace(self.health, last_item_ns=max(self.health.last_item_ns or 0, item.received_time_ns))
        await self._deliver(item)

    async def _record_running(self) -> None:
        was = self.health
        await self._end_loss()
        self._become(SourceState.RUNNING, "")
        if was.state is not SourceState.STARTING and not self._is_unsaid:
            gone_s = (self._clock.now_ns() - was.since_ns) / 1e9
            attempts = f"{was.attempts} attempt{'s' if was.attempts != 1 else ''}"
            self._log("info", f"{self.name} is back after {gone_s:.0f} s and {attempts}")
        self.health = replace(self.health, attempts=0)

    async def _record_loss(self, exc: DriverError) -> None:
        state = SourceState.REJECTED if isinstance(exc, DeviceRejectedError) else SourceState.LOST
        was = self.health
        if was.state is SourceState.RUNNING:
            self._lately.add(self._clock.now_ns())
        if was.state is not state:
            self._log_loss(state, exc)
            self._become(state, exc.message, exc.hint)
        elif self._is_unsaid and was.attempts + 1 >= SAID_AFTER_ATTEMPTS:
            self._is_unsaid = False
            self._log_away(state.value, exc)
        self._newest_loss = exc
        losses = was.losses_total + (was.state is SourceState.RUNNING)
        self.health = replace(
            self.health, losses_total=losses, attempts=was.attempts + 1, message=exc.message, hint=exc.hint
        )
        cause = GapCause.DEVICE_REJECTED if state is SourceState.REJECTED else GapCause.DEVICE_LOST
        begun = self._loss.begin(cause, was.last_item_ns or self._clock.now_ns(), exc.message)
        if begun is not None:
            await self._deliver(begun)

    def _log_loss(self, state: SourceState, exc: DriverError) -> None:
        now_ns = self._clock.now_ns()
        self._is_unsaid = self._lately.are_many(now_ns)
        if not self._is_unsaid:
            self._log_away(state.value, exc)
        elif self._lately.is_to_be_said(now_ns):
            often = f"{self._lately.count(now_ns)} times within {WINDOW_S / 60:.0f} min"
            self._log_away(f"{state.value} again and again, {often}, now", exc)

    def _log_away(self, how: str, exc: DriverError) -> None:
        hint = f"; {exc.hint}" if exc.hint else ""
        self._log("warning", f"{self.name} is {how}: {self._without_name(exc.message)}{hint}")

    def _without_name(self, message: str) -> str:
        return message.removeprefix(f"{self.name}: ")

    async def _end_loss(self) -> None:
        ended = self._loss.end(self._clock.now_ns())
        if ended is not None:
            await self._deliver(ended)

    def _become(self, state: SourceState, message: str, hint: str | None = None) -> None:
        self.health = replace(self.health, state=state, since_ns=self._clock.now_ns(), message=message, hint=hint)

    def _wait_s(self) -> float:
        backoff = self._rejected if self.health.state is SourceState.REJECTED else self._lost
        return backoff.wait_s(self.health.attempts)
