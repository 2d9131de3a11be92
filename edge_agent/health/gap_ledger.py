"""The gaps of this run: how many per cause, and the newest ones in full.

They come from two places: the gap events that leave the pipeline, and the outbox, whose own gaps never pass through it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloud_sync.outbox.gap_log import OwnGap
from cloud_sync.records import Event, EventKind
from cloud_sync.timescale import body_in_utc

NEWEST_KEPT: Final = 50


@dataclass(frozen=True, slots=True)
class _Entry:
    subject: str
    body: Mapping[str, Any]
    own_id: int | None = None
    is_utc: bool = False


class GapLedger:
    """Fed with the gap events that leave the pipeline, so that it shows exactly what is synced.

    The outbox's own gaps count when they were recorded at `since_us` (UTC, microseconds) or later.
    """

    def __init__(self, *, since_us: int = 0) -> None:
        self._since_us = since_us
        self._by_cause: Counter[str] = Counter()
        self._newest: deque[_Entry] = deque(maxlen=NEWEST_KEPT)
        self._own: dict[int, OwnGap] = {}

    def add(self, event: Event, *, is_utc: bool = False) -> None:
        """Count a gap event; its times are those of the agent's clock, or `is_utc`."""
        if event.kind is not EventKind.GAP:
            return
        if event.body["start_us"] == event.body["end_us"]:
            self._by_cause[event.body["cause"]] += 1  # counted when it begins; its end is the same gap
        elif not any(self._is_end_of(event, begun) for begun in self._newest):
            self._by_cause[event.body["cause"]] += 1
        self._newest.append(_Entry(event.subject, event.body, is_utc=is_utc))

    def add_outbox_gaps(self, gaps: Sequence[OwnGap], *, subject: str) -> None:
        """Take over all gaps that the outbox knows by now; one that has grown since takes its former place."""
        recent = [gap for gap in gaps if gap.noted_us >= self._since_us]
        for gap in recent:
            if self._own.get(gap.id) == gap:
                continue
            self._by_cause[gap.cause.value] += gap.id not in self._own
            kept = [entry for entry in self._newest if entry.own_id != gap.id]
            self._newest = deque([*kept, _Entry(subject, _body_of(gap), gap.id, is_utc=True)], maxlen=NEWEST_KEPT)
        self._own = {gap.id: gap for gap in recent}

    @property
    def total(self) -> int:
        return self._by_cause.total()

    def by_cause(self) -> dict[str, int]:
        return dict(self._by_cause)

    def outbox_records(self) -> dict[str, int | None]:
        """Return the records in the outbox's own gaps, per cause; None when a part of them cannot be counted."""
        records: dict[str, int | None] = {}
        for gap in self._own.values():
            before = records.get(gap.cause.value, 0)
            records[gap.cause.value] = None if before is None or gap.count is None else before + gap.count
        return records

    def newest(self, count: int, *, utc_us: Callable[[int], int] = lambda time_us: time_us) -> list[dict[str, Any]]:
        """Return the newest gaps first, with their times in UTC."""
        chosen = list(self._newest)[-count:]
        return [
            {"subject": entry.subject, **(entry.body if entry.is_utc else body_in_utc(entry.body, utc_us))}
            for entry in reversed(chosen)
        ]

    @staticmethod
    def _is_end_of(event: Event, begun: _Entry) -> bool:
        same = event.subject == begun.subject and event.body["start_us"] == begun.body["start_us"]
        return same and begun.body["start_us"] == begun.body["end_us"]


def _body_of(gap: OwnGap) -> dict[str, Any]:
    """As the gap event has it."""
    body: dict[str, Any] = {
        "cause": gap.cause.value, "start_us": gap.start_us, "end_us": gap.end_us, "detail": gap.detail,
    }  # fmt: skip
    return body if gap.count is None else {**body, "count": gap.count}
