"""The link to the central in the agent: its gate, the budgets' file, and what `status` says of both."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from cloud_sync.outbox.store import Depth
from cloud_sync.transports.link_meter import LinkMeter
from cloud_sync.uplink.budget import BudgetRule, Level, Period
from cloud_sync.uplink.budget_file import FILE_NAME, BudgetFile
from cloud_sync.uplink.gate import Gate, GateOfLinks, OpenGate
from cloud_sync.uplink.metered import BudgetState, GateState, MeteredGate
from cloud_sync.uplink.quiet_hours import QuietHours
from edge_agent.core.clock import Clock
from edge_agent.settings import CentralSettings, LinkSettings, Settings
from edge_agent.status.fields import problem, rfc3339
from edge_agent.status.traffic import Traffic
from edge_agent.status.words import bytes_in_words, counted

logger = logging.getLogger(__name__)

SAVE_EVERY_S: Final = 60.0
HELD_GRACE_NS: Final = 3_600 * 10**9
"""Ahead of its pace a budget often is for minutes, after an outage for instance; longer it is a problem."""

_OPEN: Final = GateState(Level.EVERYTHING, is_quiet=False, next_reading_s=0.0, budgets=())


@dataclass(slots=True)
class MeteredLink:
    """`metered` is None on a link that costs nothing and has no quiet hours."""

    meter: LinkMeter
    profile: str
    metered: MeteredGate | None
    file: BudgetFile
    traffic: Traffic
    in_use: Callable[[], LinkSettings | None] = field(default=lambda: None)
    """The one of several links over which batches go now."""
    is_metered: Callable[[], bool] = field(default=lambda: True)
    """Whether that one is."""
    _level: Level = Level.EVERYTHING
    _since_ns: int | None = None
    _is_save_refused: bool = False

    @property
    def gate(self) -> Gate:
        """Return what the uplink asks before it sends."""
        return OpenGate() if self.metered is None else GateOfLinks(self.metered, self.is_metered)

    def may_ask(self) -> bool:
        """Return whether something that carries no records may be asked of the central now."""
        return self.metered is None or not self.is_metered() or self.metered.may_ask()

    async def run(self, clock: Clock) -> None:
        """Save what was charged, until cancelled; at once over where nothing is charged."""
        while self.metered is not None and self.metered.budgets:
            await clock.sleep(SAVE_EVERY_S)
            await self.save()

    async def save(self) -> None:
        """Keep what was charged for the next start. A disk that refuses is said once, and asked again."""
        if self.metered is None:
            return
        try:
            await asyncio.to_thread(self.file.save, self.metered.budgets)
        except OSError as exc:
            if not self._is_save_refused:
                logger.warning("what was used of the data budget cannot be kept: %s", exc)
            self._is_save_refused = True
        else:
            self._is_save_refused = False

    def describe(self, accepted_total: int, now_ns: int) -> dict[str, Any]:
        """Return the tables `traffic` and `link` of `central`; the central took `accepted_total` records."""
        return {"traffic": self.traffic.describe(accepted_total), "link": self._link(now_ns)}

    def _link(self, now_ns: int) -> dict[str, Any]:
        state = self._state()
        if state.level is not self._level:
            self._level, self._since_ns = state.level, now_ns
        return {
            "profile": self.profile,
            "sends": state.level.value,
            "is_quiet": state.is_quiet,
            "next_reading_s": round(state.next_reading_s),
            "budgets": [_budget(budget) for budget in state.budgets],
        }

    def problem(self, depth: Depth | None, now_ns: int) -> dict[str, Any] | None:
        """Return what a budget holds back, why, and what to do."""
        state = self._state()
        if state.level is Level.EVERYTHING or self._since_ns is None:
            return None
        if state.level is Level.NEWEST and now_ns - self._since_ns < HELD_GRACE_NS:
            return None
        tight = max(state.budgets, key=lambda budget: list(Level).index(budget.level))
        waiting = "" if depth is None else f"; {counted(depth.records, 'record')} waiting in the outbox"
        return problem(_held(tight) + waiting, self._since_ns, _DO)

    def _state(self) -> GateState:
        """What holds now: over a link that is not metered everything goes, whatever was used of the budgets."""
        if self.metered is None:
            return _OPEN
        state = self.metered.state
        return state if self.is_metered() else replace(_OPEN, budgets=state.budgets)


def metered_link(
    settings: Settings,
    meter: LinkMeter,
    clock: Clock,
    *,
    is_synced: Callable[[], bool],
    in_use: Callable[[], str | None] = lambda: None,
) -> MeteredLink:
    """Return the link as configured, with what an earlier run used of its budgets. Reads one small file.

    `in_use` names the one of several links over which batches go now.
    """
    central = settings.central
    file, traffic = BudgetFile(settings.gateway.state_dir / FILE_NAME), Traffic(meter, clock.monotonic_s)

    def link() -> LinkSettings | None:
        name = in_use()
        return next((link for link in central.links if link.name == name), None)

    if central.sparing is None and central.budget is None and not central.quiet_hours:
        return MeteredLink(meter, central.link_profile, None, file, traffic, link)

    metered = {link.name for link in central.links if link.metered}
    counted = [meter.of(name) for name in metered] or [meter]

    def now() -> datetime:
        return datetime.fromtimestamp(clock.now_ns() / 1e9, UTC)

    gate = MeteredGate(
        charged=lambda: sum(part.total.charged for part in counted),
        now=now,
        monotonic_s=clock.monotonic_s,
        is_synced=is_synced,
        send_interval_s=central.sparing.send_interval_s if central.sparing else 0.0,
        budgets=file.restore(_rules_of(central), now()),
        quiet_hours=[QuietHours(*one.span, one.allow == "events") for one in central.quiet_hours],
    )
    return MeteredLink(
        meter, central.link_profile, gate, file, traffic, link, is_metered=lambda: central.is_metered(link())
    )


_DO: Final = (
    "nothing is lost while the outbox has room, and events are sent all the same; for more: a longer "
    'report.interval_s, central.link_profile = "metered", or a larger budget (docs/METERED_LINKS.md)'
)


def _rules_of(central: CentralSettings) -> list[BudgetRule]:
    budget = central.budget
    if budget is None:
        return []
    limits = {Period.DAY: budget.bytes_per_day, Period.MONTH: budget.bytes_per_month}
    zone = UTC if budget.calendar == "utc" else None
    return [
        BudgetRule(period, limit, budget.reserve_share, zone, budget.month_starts_on)
        for period, limit in limits.items()
        if limit is not None
    ]


def _budget(state: BudgetState) -> dict[str, Any]:
    return {
        "period": state.period,
        "limit_bytes": state.limit_bytes,
        "used_bytes": state.used_bytes,
        "left_bytes": max(0, state.limit_bytes - state.used_bytes),
        "forecast_bytes": state.forecast_bytes,
        "period_start": _instant(state.start),
        "period_end": _instant(state.end),
    }


def _instant(moment: datetime) -> str | None:
    return rfc3339(int(moment.timestamp()) * 10**9)


def _held(budget: BudgetState) -> str:
    used = f"{bytes_in_words(budget.used_bytes)} of {bytes_in_words(budget.limit_bytes)} a {budget.period}"
    if budget.level is Level.EVENTS:
        until = f"{budget.end.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        return f"the data budget is used up ({used}): readings wait until {until}, events are sent"
    return (
        f"the data budget does not suffice ({used}, forecast {bytes_in_words(budget.forecast_bytes)}): only the newest "
        "readings go, and less often"
    )
