"""What a device's answers have been like: counts, and how long they took. Bounded memory; sorted when asked."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

from edge_agent.drivers.report import SourceProblem

LATENCIES: Final = 1_000  # the newest so many answers make the percentiles
NEWEST: Final = 100
"""Of so many requests, the strange answers are counted that make a problem."""
_FEW, _ALL = 0.05, 0.9  # a smaller share is noise on a line, and a larger one a device that is lost
_LEAST: Final = 5


class AnswerFigures:
    """Counts of one device since its source was made."""

    def __init__(self) -> None:
        self.requests_total = 0
        self.timeouts_total = 0
        self.strange_answers_total = 0
        self._newest_strange: deque[tuple[int, str, str | None]] = deque(maxlen=NEWEST)
        self._exceptions: Counter[int] = Counter()
        self._latencies_s: deque[float] = deque(maxlen=LATENCIES)

    def count_answer(self, took_s: float) -> None:
        """Count an answer with data, which came after `took_s` seconds."""
        self._latencies_s.append(took_s)

    def count_exception(self, code: int) -> None:
        """Count an answer that is an exception."""
        self._exceptions[code] += 1

    def count_strange(self, what: str, do: str | None) -> None:
        """Count an answer that is none to its request: what came, and what to do."""
        self.strange_answers_total += 1
        self._newest_strange.append((self.requests_total, what, do))

    def problem(self) -> SourceProblem | None:
        """Return that many of the newest answers were of no use, while others were."""
        asked = min(self.requests_total, NEWEST)
        strange = [known for known in self._newest_strange if known[0] > self.requests_total - NEWEST]
        if len(strange) < _LEAST or not _FEW <= len(strange) / asked <= _ALL:
            return None
        _, what, do = strange[-1]
        what = f"{len(strange)} of the newest {asked} requests got a damaged or wrong answer, the last time: {what}"
        return SourceProblem(what, None, do)

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
