"""The comparison with the central as a service: every hour, while the central can be asked.

Constraints
- Nothing is asked while the link is not online, nor of a central that takes single readings, nor while MQTT carries.
- A comparison that fails is an error in `state`, keeps the last result, and never stops the agent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cloud_sync.errors import SyncError
from cloud_sync.reconcile.compare import Ask, Cause, Comparison, reconcile

logger = logging.getLogger(__name__)

FIRST_AFTER_S: Final = 90.0
"""The agent's start has other work; and the wait before it is looked again whether there is something to compare."""
SPAN_HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class ReconcileState:
    """The last comparison; `differences` are sensor hours, `missing_rows` are gone, at least. None: none yet."""

    checked_at_ns: int | None = None
    hours: int | None = None
    sensors: int | None = None
    differences: int | None = None
    lost_hours: int = 0
    missing_rows: int = 0
    changed_hours: int = 0
    error: str | None = None


class HourlyReconciliation:
    """`run` is a task of its owner. `every_s` 0 never compares."""

    def __init__(
        self,
        outbox: Path,
        ask: Ask,
        *,
        every_s: float,
        may_ask: Callable[[], bool],
        first_after_s: float = FIRST_AFTER_S,
        now_ns: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._outbox = outbox
        self._ask = ask
        self._every_s = every_s
        self._may_ask = may_ask
        self._first_after_s = first_after_s
        self._now_ns = now_ns
        self._sleep = sleep
        self.state = ReconcileState()

    async def run(self) -> None:
        """Compare every hour until cancelled."""
        again_s = min(self._first_after_s, self._every_s)
        while self._every_s > 0:
            await self._sleep(again_s)
            was_compared = self._may_ask() and await self.check()
            again_s = self._every_s if was_compared else min(FIRST_AFTER_S, self._every_s)

    async def check(self) -> bool:
        """Compare once, and keep the result in `state`. False when there is nothing to compare yet."""
        try:
            found = await reconcile(self._outbox, SPAN_HOURS, self._ask, now_us=self._now_ns() // 1000)
        except SyncError as exc:
            logger.warning("not compared with the central: %s", exc.message)
            self.state = replace(self.state, error=exc.message)
            return True  # a central that cannot answer is not asked every minute
        if found is None:
            return False
        self.state = state_of(found, now_ns=self._now_ns())
        if not found.is_equal:
            logger.error("%d sensor hours differ at the central", self.state.differences)
        return True


def state_of(found: Comparison, *, now_ns: int) -> ReconcileState:
    """Return the state of a result; what is explained is no difference."""
    differing = [finding for finding in found.findings if not finding.is_explained]
    return ReconcileState(
        checked_at_ns=now_ns,
        hours=found.span.hours,
        sensors=found.sensors,
        differences=len(differing),
        lost_hours=sum(finding.cause is Cause.LOST for finding in differing),
        missing_rows=sum(finding.missing for finding in differing),
        changed_hours=sum(finding.cause is Cause.CHANGED for finding in differing),
    )
