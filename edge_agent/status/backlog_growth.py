"""A backlog that grows while the central takes what is sent: seen over ten minutes, with its cause and what helps.

A link that is away has its own problem, and begins the ten minutes again. What waits on purpose (for a data budget, for
quiet hours, to be collected, for the right time) is no such backlog.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cloud_sync.outbox.store import Depth
from cloud_sync.uplink.state import LinkState, UplinkState
from edge_agent.settings import CentralSettings
from edge_agent.status.fields import problem

WINDOW_S: Final = 600.0
LEAST_BYTES: Final = 65_536
"""What waits swings with every flush and every request; less than this is no backlog."""

_LOOK_EVERY_S: Final = 60.0
_LONG_S: Final = 1.0  # of a floor: the round trip counts for more than the bandwidth


@dataclass(frozen=True, slots=True)
class Growth:
    """Of what waits, over ten minutes or more: records a second made and delivered, bytes a second of bodies sent."""

    since_ns: int
    made_per_s: float
    taken_per_s: float
    sent_bytes_per_s: float
    waiting_bytes: int


@dataclass(frozen=True, slots=True)
class _Look:
    at_s: float
    at_ns: int
    bytes: int
    made: int
    taken: int
    sent_bytes: int


@dataclass(slots=True)
class GrowthWatch:
    """Remembers one look a minute, for ten minutes of being online."""

    _looks: deque[_Look] = field(default_factory=deque)

    def look(
        self, depth: Depth, counters: Mapping[str, int], uplink: UplinkState, *, now_s: float, now_ns: int
    ) -> Growth | None:
        """Return how fast it grows; None while it does not, or ten minutes have not passed."""
        if uplink.link is not LinkState.ONLINE:
            self._looks.clear()
            return None
        taken = sum(counters.get(name, 0) for name in ("accepted", "duplicates", "refused"))
        waiting = sum(kind.body_bytes for _, kind in depth.by_class)
        now = _Look(now_s, now_ns, waiting, counters.get("appended", 0), taken, uplink.sent_bytes_total)
        if self._looks and now.made < self._looks[-1].made:
            self._looks.clear()  # another file
        while len(self._looks) > 1 and self._looks[1].at_s <= now_s - WINDOW_S:
            self._looks.popleft()
        if not self._looks or now_s - self._looks[-1].at_s >= _LOOK_EVERY_S:
            self._looks.append(now)
        return self._growth(now)

    def _growth(self, now: _Look) -> Growth | None:
        first, middle = self._looks[0], self._looks[len(self._looks) // 2]
        span_s = now.at_s - first.at_s
        if span_s < WINDOW_S or now.bytes < LEAST_BYTES or not first.bytes < middle.bytes < now.bytes:
            return None
        return Growth(
            first.at_ns,
            (now.made - first.made) / span_s,
            (now.taken - first.taken) / span_s,
            (now.sent_bytes - first.sent_bytes) / span_s,
            now.bytes,
        )


def describe_pace(uplink: UplinkState) -> dict[str, Any]:
    """Return what is measured of the link, and how it is used: fields of `central`."""
    found = uplink.measured
    rate, floor_s = (found.rate_bytes_per_s, found.floor_s) if found else (None, None)
    return {
        "rate_kbit_s": None if rate is None else round(rate * 8 / 1e3, 3),
        "floor_s": None if floor_s is None else round(floor_s, 3),
        "request_bytes": found.request_bytes if found else None,
        "backlog_requests": found.in_flight if found else None,
    }


def is_withheld(link: Mapping[str, Any]) -> bool:
    """Return whether readings wait for a data budget, for quiet hours or to be collected, by `MeteredLink.describe`."""
    gate = link.get("link") or {}
    return gate.get("sends", "everything") != "everything" or bool(gate.get("is_quiet") or gate.get("next_reading_s"))


def growth_problems(growth: Growth | None, uplink: UplinkState, central: CentralSettings) -> list[dict[str, Any]]:
    """Return what is wrong when more is made than is delivered, why, and what helps."""
    if growth is None:
        return []
    cause, do = _cause(growth, uplink, central)
    what = f"the backlog grows while the central takes what is sent ({growth.waiting_bytes / 1e6:.1f} MB wait): {cause}"
    return [problem(what, growth.since_ns, do)]


def _cause(growth: Growth, uplink: UplinkState, central: CentralSettings) -> tuple[str, str]:
    carried = growth.sent_bytes_per_s * 8 / 1e3
    made = carried * growth.made_per_s / growth.taken_per_s if growth.taken_per_s else 0.0
    rates = f"about {carried:.3g} kbit/s are delivered, the sources make {made:.3g} kbit/s"
    less = "a longer report.interval_s makes less"
    measured = uplink.measured
    if central.max_kbit_s is not None and carried > 0.7 * central.max_kbit_s:
        return f"central.max_kbit_s lets {central.max_kbit_s:g} kbit/s through; {rates}", f"raise it; or {less}"
    if measured is None or measured.floor_s is None or measured.floor_s < _LONG_S:
        return rates, f"{less}; else a faster link, or a central with more room (its log says what takes long)"
    slow = f"each request takes {measured.floor_s:.1f} s however little it carries; {rates}"
    if central.batches_in_flight < 8:
        return slow, f"raise central.batches_in_flight (now {central.batches_in_flight}, at most 8); or {less}"
    return slow, f"a longer outbox.flush_interval_s makes fewer and fuller blocks; {less}"
