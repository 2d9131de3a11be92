"""The gaps of this run: how many per cause, and the newest ones in full."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, Final

from cloud_sync.records import Event, EventKind

NEWEST_KEPT: Final = 50


class GapLedger:
    """Fed with the gap events that leave the pipeline, so that it shows exactly what is synced."""

    def __init__(self) -> None:
        self._by_cause: Counter[str] = Counter()
        self._newest: deque[Event] = deque(maxlen=NEWEST_KEPT)

    def note(self, event: Event) -> None:
        if event.kind is not EventKind.GAP:
            return
        if event.body["start_us"] == event.body["end_us"]:
            self._by_cause[event.body["cause"]] += 1  # counted when it begins; its end is the same gap
        elif not any(self._is_end_of(event, begun) for begun in self._newest):
            self._by_cause[event.body["cause"]] += 1
        self._newest.append(event)

    @property
    def total(self) -> int:
        return self._by_cause.total()

    def by_cause(self) -> dict[str, int]:
        return dict(self._by_cause)

    def newest(self, count: int) -> list[dict[str, Any]]:
        chosen = list(self._newest)[-count:]
        return [{"subject": event.subject, **event.body} for event in reversed(chosen)]

    @staticmethod
    def _is_end_of(event: Event, begun: Event) -> bool:
        same = event.subject == begun.subject and event.body["start_us"] == begun.body["start_us"]
        return same and begun.body["start_us"] == begun.body["end_us"]
