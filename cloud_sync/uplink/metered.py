"""The gate of a link whose bytes cost: readings are collected, hours are quiet, and a budget is kept.

Constraints
- Events never wait for a collection nor for a budget; only for quiet hours that say so.
- What waits is in the outbox and stays there: nothing is given up here.
- Ahead of the budget's pace only the newest readings go, and less often: one request, then as long as the rest of the
  period needs to have another one to spare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from cloud_sync.records import RecordClass
from cloud_sync.uplink.budget import Budget, Level
from cloud_sync.uplink.quiet_hours import QuietHours, withheld_at
from cloud_sync.uplink.scheduler import LoadLimits

ASK_AGAIN_S: Final = 60.0
"""A backlog that is held back is looked at so often."""
LEAST_BODY_BYTES: Final = 4_096
LEAST_SHARE: Final = 0.02
"""A request is not cut smaller than these bytes, or this share of a budget: what it adds around the data would be the
greater part."""
CLOCK_SLACK: Final = timedelta(seconds=60)
"""Between two charges the clock may go on by so much more or less than time did; NTP slews, and steps by less."""

_READINGS: Final = frozenset({RecordClass.READING})


@dataclass(frozen=True, slots=True)
class BudgetState:
    """One budget, as it is shown."""

    period: str
    limit_bytes: int
    used_bytes: int
    start: datetime
    end: datetime
    forecast_bytes: int
    level: Level


@dataclass(frozen=True, slots=True)
class GateState:
    """`next_reading_s` is how long readings are collected for the next request; 0 when they may go."""

    level: Level
    is_quiet: bool
    next_reading_s: float
    budgets: tuple[BudgetState, ...]


class MeteredGate:
    """`charged` is the link's total of bytes; `now` has a zone, `local_now` is the box's own time of day."""

    def __init__(
        self,
        *,
        charged: Callable[[], int],
        now: Callable[[], datetime],
        monotonic_s: Callable[[], float],
        is_synced: Callable[[], bool],
        send_interval_s: float = 0.0,
        budgets: Sequence[Budget] = (),
        quiet_hours: Sequence[QuietHours] = (),
        local_now: Callable[[datetime], datetime] = datetime.astimezone,
    ) -> None:
        self._charged = charged
        self._now = now
        self._monotonic_s = monotonic_s
        self._is_synced = is_synced
        self._send_interval_s = send_interval_s
        self.budgets = tuple(budgets)
        self._quiet_hours = tuple(quiet_hours)
        self._local_now = local_now
        self._seen_bytes = charged()
        self._seen = now(), monotonic_s()
        self._due_s = monotonic_s()
        """From here on readings may go. At a start at once: somebody may stand there and wait to see it online."""
        self._opened_bytes = self._seen_bytes
        self._is_carrying = False

    def withheld(self) -> frozenset[RecordClass]:
        self._charge()
        held = withheld_at(self._quiet_hours, self._local_now(self._seen[0]).time())
        if self._monotonic_s() < self._due_s or self.level is Level.EVENTS:
            held |= _READINGS
        return held

    def backlog_wait_s(self) -> float:
        return 0.0 if self.level is Level.EVERYTHING else ASK_AGAIN_S

    def trimmed(self, limits: LoadLimits) -> LoadLimits:
        shares = (max(one.allowance_bytes, LEAST_SHARE * one.rule.usable_bytes) for one in self.budgets)
        allowed = min(shares, default=float(limits.body_bytes))
        return replace(limits, body_bytes=min(limits.body_bytes, max(LEAST_BODY_BYTES, int(allowed))))

    def record_taken(self, of: RecordClass | None) -> None:
        """Collect again once all readings that may go have gone, for as long as the budget needs."""
        if of is RecordClass.READING:
            self._is_carrying = True
        elif of is None and self._is_carrying:
            self._collect()

    def record_last_call(self) -> None:
        self._due_s = self._monotonic_s()

    @property
    def level(self) -> Level:
        """Return what the tightest budget lets go."""
        return max((budget.level for budget in self.budgets), key=list(Level).index, default=Level.EVERYTHING)

    def may_ask(self) -> bool:
        """Return whether something that carries no records may be asked now, such as the comparison."""
        return self.level is Level.EVERYTHING and not withheld_at(
            self._quiet_hours, self._local_now(self._now()).time()
        )

    @property
    def state(self) -> GateState:
        """Return what is shown of it."""
        self._charge()
        return GateState(
            self.level,
            bool(withheld_at(self._quiet_hours, self._local_now(self._seen[0]).time())),
            max(0.0, self._due_s - self._monotonic_s()),
            tuple(_shown(budget) for budget in self.budgets),
        )

    def _collect(self) -> None:
        self._charge()
        self._is_carrying = False
        cost = max(0, self._seen_bytes - self._opened_bytes)
        stretched_s = 0.0
        if self.level is Level.NEWEST:
            stretched_s = max(budget.seconds_for(cost) for budget in self.budgets)
        self._opened_bytes = self._seen_bytes
        self._due_s = self._monotonic_s() + max(self._send_interval_s, stretched_s)

    def _charge(self) -> None:
        """Charge what the link carried since."""
        total, now, monotonic_s = self._charged(), self._now(), self._monotonic_s()
        went, passed = now - self._seen[0], timedelta(seconds=monotonic_s - self._seen[1])
        for budget in self.budgets:
            budget.charge(
                total - self._seen_bytes,
                now,
                is_synced=self._is_synced(),
                is_continuous=abs(went - passed) <= CLOCK_SLACK,
            )
        self._seen_bytes, self._seen = total, (now, monotonic_s)


def _shown(budget: Budget) -> BudgetState:
    return BudgetState(
        budget.rule.period.value,
        budget.rule.limit_bytes,
        budget.spent.used_bytes,
        budget.span.start,
        budget.span.end,
        budget.forecast_bytes,
        budget.level,
    )
