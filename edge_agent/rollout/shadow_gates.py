"""Whether a new version may follow the champion: its scores beside the champion's, and the gates. Pure.

Constraints
- Nothing is decided on fewer than MIN_WINDOWS windows that the champion calls normal; but one failure is enough.
- Silence is judged by alarms, channel by channel: a few anomalous windows of a healthy machine are chance, on which two
  good models need not agree. One channel on which the shadow is silent is not made up for by others.
- The two models' scores have no common scale: they are compared by verdict, never by size.
- Every refusal says its figure and the limit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.bundles.silence import Missed

MIN_WINDOWS: Final = 20
UNFAMILIAR_LIMIT: Final = 0.5
"""Of healthy feature values some 2 % lie outside the range that holds 98 % of a normal distribution. Half of all: the
model looks at something else than it was trained on. The champion's own share is allowed in any case: an old model of
the same machine may be as far away."""

NEWEST_WINDOWS: Final = 400
"""Beyond so many windows in alarm what was counted weighs half: better days do not carry a model that falls silent."""

LATENCY_QUANTILE: Final = 0.99
_COSTS_KEPT: Final = 4_096


@dataclass(frozen=True, slots=True)
class Gates:
    """What a shadow run must hold, from the settings."""

    windows: int
    duration_s: float
    latency_ms: float
    alarm_fraction: float
    missed_fraction: float


@dataclass(frozen=True, slots=True)
class AlarmWindows:
    """Windows of one channel while an alarm stands by one model's verdicts, and of them those while none does by the
    other's; both alarms by the channel's own settings. `quiet` are the champion's in the shadow's alarms."""

    champion: int = 0
    missed: int = 0
    shadow: int = 0
    quiet: int = 0

    def __add__(self, more: AlarmWindows) -> AlarmWindows:
        return AlarmWindows(
            self.champion + more.champion, self.missed + more.missed, self.shadow + more.shadow, self.quiet + more.quiet
        )

    @property
    def halved(self) -> AlarmWindows:
        """Return half of each count."""
        return AlarmWindows(self.champion // 2, self.missed // 2, self.shadow // 2, self.quiet // 2)


class GateOutcome(StrEnum):
    HELD = "held"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """`reason` in figures."""

    outcome: GateOutcome
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
    alarms: Mapping[str, AlarmWindows] = field(default_factory=dict)


class ShadowTally:
    """One version's time beside the champion.

    `started_s` is monotonic. `evidence` was found before it began; `alarms` are from a part of it that a stop ended.
    """

    def __init__(
        self,
        gates: Gates,
        started_s: float,
        *,
        evidence: Sequence[Missed] = (),
        alarms: Mapping[str, AlarmWindows] | None = None,
    ) -> None:
        self.gates = gates
        self.evidence = tuple(evidence)
        self.alarms = dict(alarms or {})
        self.newest: dict[str, AlarmWindows] = {}  # of the last few hundred windows in alarm, on each channel
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
        """Add windows that both models scored."""
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
        for channel, more in compared.alarms.items():
            self.alarms[channel] = self.alarms.get(channel, AlarmWindows()) + more
            newest = self.newest.get(channel, AlarmWindows()) + more
            self.newest[channel] = newest.halved if max(newest.champion, newest.shadow) > NEWEST_WINDOWS else newest

    def skip(self, windows: int) -> None:
        """Count windows that were passed over."""
        self.skipped_total += windows

    def fail(self, reason: str) -> None:
        """End the shadow run: one failure of the model itself is enough."""
        self.failure = self.failure or reason

    @property
    def latency_ms(self) -> float | None:
        """Return the 99th percentile of the processor time per window; None before the first."""
        if not self._costs_s:
            return None
        return float(np.quantile(np.concatenate(self._costs_s), LATENCY_QUANTILE)) * 1e3

    @property
    def more_fraction(self) -> float | None:
        """Return the share called anomalous here of the windows the champion calls normal; None without any."""
        return self.more_total / self.normal_total if self.normal_total else None

    @property
    def alarm_windows(self) -> int:
        """Return the windows during alarms of the champion, over all channels."""
        return sum(seen.champion for seen in self.alarms.values())

    @property
    def missed_windows(self) -> int:
        """Return those of them during which no alarm stands by the shadow's verdicts."""
        return sum(seen.missed for seen in self.alarms.values())

    @property
    def is_judged_on_alarms(self) -> bool:
        """Return whether anything that the champion calls anomalous was there to be missed."""
        return self.alarm_windows >= MIN_WINDOWS or any(found.is_judged for found in self.evidence)

    @property
    def waits(self) -> str | None:
        """Return what a shadow run that has seen enough windows in all still lacks, or None."""
        if self.windows_total < self.gates.windows or self.normal_total >= MIN_WINDOWS:
            return None
        return f"the champion calls {self.normal_total} windows normal so far, and at least {MIN_WINDOWS} are compared"

    def finding(self, now_s: float) -> Finding | None:
        """Return the finding, None while the shadow run goes on."""
        if self.failure is not None:
            return Finding(GateOutcome.FAILED, self.failure)
        is_long = now_s - self._started_s >= self.gates.duration_s
        if self.windows_total < (MIN_WINDOWS if is_long else self.gates.windows):
            return None
        if (problem := missed_problem(self.alarms, self.gates.missed_fraction)) is not None:
            return Finding(GateOutcome.FAILED, problem)
        if self.normal_total < MIN_WINDOWS:
            return None  # while the champion alarms there is nothing to hold its other gates against
        problem = self._latency_problem() or self._alarm_problem() or self._distribution_problem()
        if problem is not None:
            return Finding(GateOutcome.FAILED, problem)
        return Finding(GateOutcome.HELD, self._figures())

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
            f"{self.latency_ms or 0.0:.2f} ms of processor time each; {self._judged_on()}"
        )

    def _judged_on(self) -> str:
        seen = [f"{found.windows - found.missed} of {found.windows} {found.what}" for found in self.evidence]
        if self.alarm_windows >= MIN_WINDOWS:
            seen.insert(0, f"{self.alarm_windows - self.missed_windows} of {self.alarm_windows} windows in alarm")
        return f"it sees {', '.join(seen)}" if seen else "no alarm was there to judge it on"


def missed_problem(alarms: Mapping[str, AlarmWindows], missed_fraction: float) -> str | None:
    """Return why the shadow is too quiet on one of the channels, or None."""
    for channel, seen in sorted(alarms.items()):
        if seen.champion >= MIN_WINDOWS and seen.missed > missed_fraction * seen.champion:
            return (
                f"it is silent where the champion alarms: on {channel} it raises no alarm for {seen.missed} of "
                f"{seen.champion} windows in alarm, more than {missed_fraction:.0%}"
            )
    return None


def quiet_problem(newest: Mapping[str, AlarmWindows], missed_fraction: float, *, before: str) -> str | None:
    """Return why the champion is too quiet beside the version `before` it, the shadow here, or None."""
    for channel, seen in sorted(newest.items()):
        if seen.shadow >= MIN_WINDOWS and seen.quiet > missed_fraction * seen.shadow:
            return (
                f"it is silent where {before} alarms: on {channel} it raises no alarm for {seen.quiet} of "
                f"the newest {seen.shadow} windows in alarm, more than {missed_fraction:.0%}"
            )
    return None
