"""What delivery costs on the link, for the status document: totals of this run, and the last hour with its shares."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from cloud_sync.transports.link_meter import LinkBytes, LinkMeter

HOUR_S: Final = 3_600.0
_LOOK_EVERY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Look:
    at_s: float
    total: LinkBytes
    accepted: int


@dataclass(slots=True)
class Traffic:
    """Remembers one look a minute, for an hour."""

    meter: LinkMeter
    monotonic_s: Callable[[], float] = time.monotonic
    _looks: deque[_Look] = field(default_factory=deque)

    def describe(self, accepted_total: int) -> dict[str, Any]:
        """Return the fields of `central.traffic`; `accepted_total` records were taken by the central in this run."""
        now = _Look(self.monotonic_s(), self.meter.total, accepted_total)
        if not self._looks:
            self._looks.append(_Look(now.at_s, LinkBytes(), 0))
        while len(self._looks) > 1 and self._looks[1].at_s <= now.at_s - HOUR_S:
            self._looks.popleft()
        first = self._looks[0]
        if now.at_s - self._looks[-1].at_s >= _LOOK_EVERY_S:
            self._looks.append(now)
        return {
            **_totals(now.total),
            "last_hour": _span(now.total.since(first.total), now.accepted - first.accepted, now.at_s - first.at_s),
        }


def _totals(total: LinkBytes) -> dict[str, int]:
    return {
        "sent_bytes_total": total.sent,
        "received_bytes_total": total.received,
        "payload_bytes_total": total.payload,
        "headers_bytes_total": total.headers,
        "tls_bytes_total": total.tls,
        "tcp_ip_bytes_total": total.tcp_ip,
    }


def _span(spent: LinkBytes, accepted: int, seconds: float) -> dict[str, Any]:
    parts = spent.payload + spent.headers + spent.tls
    return {
        "seconds": round(seconds),
        "bytes": spent.wire,
        "records": accepted,
        "bytes_per_record": round(spent.wire / accepted, 1) if accepted > 0 else None,
        "payload_share": _share(spent.payload, parts),
        "headers_share": _share(spent.headers, parts),
        "tls_share": _share(spent.tls, parts),
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 3) if whole > 0 else 0.0
