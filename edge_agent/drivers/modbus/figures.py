"""What a device's answers have been like: counts, and how long they took. Bounded memory; sorted when asked."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

LATENCIES: Final = 1_000  # the newest so many answers make the percentiles


class AnswerFigures:
    """Counts of one device since its source was made."""

    def __init__(self) -> None:
        self.requests_total = 0
        self.timeouts_total = 0
        self.strange_answers_total = 0
        self._exceptions: Counter[int] = Counter()
        self._latencies_s: deque[float] = deque(maxlen=LATENCIES)

    def count_answer(self, took_s: float) -> None:
        """Count an answer with data, which came after `took_s` seconds."""
        self._latencies_s.append(took_s)

    def count_exception(self, code: int) -> None:
        """Count an answer that is an exception."""
        self._exceptions[code] += 1

    def values(self) -> Mapping[str, object]:
        """Return the figures by the names in docs/CLI_OUTPUT.md; milliseconds, null while nothing has answered."""
        in_order = sorted(self._latencies_s)
        return {
            "requests_total": self.requests_total,
            "timeouts_total": self.timeouts_total,
            "strange_answers_total": self.strange_answers_total,
            "exceptions_total": self._exceptions.total(),
            "exceptions_by_code": {str(code): count for code, count in sorted(self._exceptions.items())},
            "latency_p50_ms": _percentile_ms(in_order, 0.5),
            "latency_p99_ms": _percentile_ms(in_order, 0.99),
        }


def _percentile_ms(in_order: list[float], fraction: float) -> float | None:
    if not in_order:
        return None
    return round(in_order[math.ceil(fraction * len(in_order)) - 1] * 1e3, 2)
