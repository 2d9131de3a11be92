"""Whether a new version may follow the champion: its scores beside the champion's, and the gates. Pure.

Constraints
- Nothing is decided on fewer than MIN_WINDOWS windows that the champion calls normal; but one failure is enough.
- The two models' scores have no common scale: they are compared by verdict, never by size.
- Every refusal says its figure and the limit.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

MIN_WINDOWS: Final = 20
UNFAMILIAR_LIMIT: Final = 0.5
"""Of healthy feature values some 2 % lie outside the range that holds 98 % of a normal distribution. Half of all: the
model looks at something else than it was trained on. The champion's own share is allowed in any case: an old model of
the same machine may be as far away."""

LATENCY_QUANTILE: Final = 0.99
_COSTS_KEPT: Final = 4_096


@dataclass(frozen=True, slots=True)
class Gates:
    windows: int
    duration_s: float
    latency_ms: float
    alarm_fraction: float


class Outcome(StrEnum):
    HELD = "held"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """`reason` in figures."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Windows that both models scored. `champion` and `shadow` are scores (n,), `cpu_s` what the shadow's took in
    all; `unfamiliar` and `champion_unfamiliar` are shares of feature values outside each model's own baseline."""

    champion: NDArray[np.float32]
    champion_threshold: float
    shadow: NDArray[np.float32]
    shadow_threshold: float
    cpu_s: float
    unfamiliar: float = 0.0
    champion_unfamiliar: float = 0.0


class Trial:
    """One version's time beside the champion. `started_s` is monotonic."""

    def __init__(self, gates: Gates, started_s: float) -> None:
        self.gates = gates
        self.windows_total = 0
        self.skipped_total = 0  # passed over: the processor budget was used up, or the queue was full
        self.anomalous_total = 0
        self.normal_total = 0  # windows the champion calls normal
        self.more_total = 0  # of them, those that the shadow calls anomalous
        self.failure: str | None = None
        self._started_s = started_s
        self._costs_s: deque[NDArray[np.float64]] = deque(maxlen=_COSTS_KEPT)
        self._lowest, self._highest = np.inf, -np.inf
        self._champion_lowest, self._champion_highest = np.inf, -np.inf
        self._unfamiliar = self._champion_unfamiliar = 0.0

    def push(self, compared: Compared) -> None:
        n = len(compared.shadow)
        if n == 0 or self.failure is not None:
            return
        if not np.isfinite(compared.shadow).all():
            self.fail("it gave a score that is not finite")
            return
        is_anomalous = compared.shadow > compared.shadow_threshold
        is_normal = compared.champion <= compared.champion_threshold
        self.windows_total += n
        self.anomalous_total += int(np.count_nonzero(is_anomalous))
        self.normal_total += int(np.count_nonzero(is_normal))
        self.more_total += int(np.count_nonzero(is_anomalous & is_normal))
        self._costs_s.append(np.full(n, compared.cpu_s / n))
        self._lowest = min(self._lowest, float(compared.shadow.min()))
        self._highest = max(self._highest, float(compared.shadow.max()))
        self._champion_lowest = min(self._champion_lowest, float(compared.champion.min()))
        self._champion_highest = max(self._champion_highest, float(compared.champion.max()))
        self._unfamiliar += n * compared.unfamiliar
        self._champion_unfamiliar += n * compared.champion_unfamiliar

    def skip(self, windows: int) -> None:
        self.skipped_total += windows

    def fail(self, reason: str) -> None:
        """One failure of the model itself ends the trial."""
        self.failure = self.failure or reason

    @property
    def latency_ms(self) -> float | None:
        """The 99th percentile of the processor time per window; None before the first."""
        if not self._costs_s:
            return None
        return float(np.quantile(np.concatenate(self._costs_s), LATENCY_QUANTILE)) * 1e3

    @property
    def more_fraction(self) -> float | None:
        """Of the windows the champion calls normal, the share called anomalous here; None without any."""
        return self.more_total / self.normal_total if self.normal_total else None

    def finding(self, now_s: float) -> Finding | None:
        """None while the trial goes on."""
        if self.failure is not None:
            return Finding(Outcome.FAILED, self.failure)
        is_long = now_s - self._started_s >= self.gates.duration_s
        if self.windows_total < (MIN_WINDOWS if is_long else self.gates.windows):
            return None
        if self.normal_total < MIN_WINDOWS:
            return None  # while the champion alarms there is nothing to hold it against
        problem = self._latency_problem() or self._alarm_problem() or self._distribution_problem()
        if problem is not None:
            return Finding(Outcome.FAILED, problem)
        return Finding(Outcome.HELD, self._figures())

    def _latency_problem(self) -> str | None:
        latency = self.latency_ms
        if latency is None or latency <= self.gates.latency_ms:
            return None
        return f"99 of 100 windows take up to {latency:.1f} ms, more than {self.gates.latency_ms:g} ms"

    def _alarm_problem(self) -> str | None:
        if self.more_fraction is None or self.more_fraction <= self.gates.alarm_fraction:
            return None
        return (
            f"it calls {self.more_fraction:.1%} of the windows anomalous that the champion calls normal, "
            f"more than {self.gates.alarm_fraction:.1%}"
        )

    def _distribution_problem(self) -> str | None:
        if self._lowest == self._highest and self._champion_lowest < self._champion_highest:
            return f"every window has the score {self._lowest:.6g}: it does not look at its input"
        unfamiliar = self._unfamiliar / self.windows_total
        if unfamiliar > max(UNFAMILIAR_LIMIT, self._champion_unfamiliar / self.windows_total):
            return (
                f"{unfamiliar:.0%} of the feature values lie outside what it was trained on, "
                f"more than {UNFAMILIAR_LIMIT:.0%}"
            )
        return None

    def _figures(self) -> str:
        return (
            f"{self.windows_total} windows: {self.more_fraction or 0.0:.1%} more anomalous than the champion's, "
            f"{self.latency_ms or 0.0:.2f} ms of processor time each"
        )
