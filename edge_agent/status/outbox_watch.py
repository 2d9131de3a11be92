"""The outbox as the running agent sees it: how fast it fills and grows, and since when the disk refuses."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cloud_sync.outbox.fill_rate import FillRate, days_left, written_bytes
from cloud_sync.outbox.quarantine import quarantined
from cloud_sync.outbox.retention_policy import Bounds
from cloud_sync.outbox.store import Depth, Outbox
from cloud_sync.uplink.state import UplinkState
from edge_agent.status.backlog_growth import Growth, GrowthWatch
from edge_agent.status.outbox import OutboxHealth


@dataclass(slots=True)
class OutboxWatch:
    """Remembers what a single look cannot show: the rate, and since when the disk refuses."""

    outbox: Outbox
    uplink: Callable[[], UplinkState]
    monotonic_s: Callable[[], float] = time.monotonic
    _backlog: GrowthWatch = field(default_factory=GrowthWatch)
    _rate: FillRate = field(default_factory=FillRate)
    _written_at_start: int | None = field(default_factory=written_bytes)
    _appended_at_start: int | None = None
    _error_since_ns: int | None = None

    def look(self, depth: Depth | None, counters: Mapping[str, int], *, error: str | None, now_ns: int) -> OutboxHealth:
        """Return what is known now; `error` is why nothing can be stored."""
        if error is None:
            self._error_since_ns = None
        elif self._error_since_ns is None:
            self._error_since_ns = now_ns
        bounds = None if depth is None else self.outbox.bounds(depth.used_bytes)
        return OutboxHealth(
            has_reserve=self.outbox.has_reserve,
            room_days=self._room_days(depth, bounds, counters),
            bytes_per_reading=self._bytes_per_reading(counters),
            quarantined=quarantined(self.outbox.path),
            error_since_ns=self._error_since_ns,
            bounds=bounds,
            min_free_bytes=self.outbox.min_free_bytes,
            salvage_waits_for=self.outbox.salvage_waits_for,
            growth=self._growth(depth, counters, now_ns),
        )

    def _growth(self, depth: Depth | None, counters: Mapping[str, int], now_ns: int) -> Growth | None:
        if depth is None:
            return None
        return self._backlog.look(depth, counters, self.uplink(), now_s=self.monotonic_s(), now_ns=now_ns)

    def _room_days(self, depth: Depth | None, bounds: Bounds | None, counters: Mapping[str, int]) -> float | None:
        total, now_s = counters.get("appended_bytes"), self.monotonic_s()
        if depth is None or bounds is None or total is None:
            return None
        rate = self._rate.bytes_per_day(total, now_s=now_s)
        self._rate.record(total, now_s=now_s)
        return days_left(bounds, depth.used_bytes, rate)

    def _bytes_per_reading(self, counters: Mapping[str, int]) -> float | None:
        appended, written = counters.get("appended"), written_bytes()
        if appended is None or written is None or self._written_at_start is None:
            return None
        if self._appended_at_start is None:
            self._appended_at_start = appended
        made = appended - self._appended_at_start
        return (written - self._written_at_start) / made if made > 0 else None
