"""A version in a shadow run scores what the champion has scored, in its own time and with its own errors.

Constraints
- The champion's side only ever appends to a bounded queue; all work is done by `work`, in another thread.
- Processor time is measured on that thread and paid from a budget; what the budget does not cover is passed over and
  counted.
- Whatever the model does wrong ends its shadow run and nothing else.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.scores import Verdict
from edge_agent.errors import EdgeError
from edge_agent.pipeline.alarms import AlarmTracker
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.scored_line import ScoredWindows
from edge_agent.rollout.shadow_gates import AlarmWindows, Compared, Finding, ShadowTally
from edge_agent.settings import AlarmSettings

QUEUED: Final = 64
"""Batches of windows; at a tenth of a second each, several seconds of signal."""

BURST_S: Final = 0.5
"""Processor time that may be saved up: one slow batch is not yet too much."""

MODEL_ERRORS: Final = (EdgeError, ArithmeticError, LookupError, TypeError, ValueError, RuntimeError, MemoryError)
"""What feature code raises on input it was not made for. None of it may reach the champion."""

BASELINE_SIGMAS: Final = 2.33
"""Of a normal distribution 98 % lie within: the 1st to the 99th percentile."""


class ShadowRun:
    """`champion` is whom it is held against; the two must be `comparable`."""

    def __init__(
        self,
        model: ScoringModel,
        champion: ScoringModel,
        tally: ShadowTally,
        *,
        cpu_share: float,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = model
        self.tally = tally
        self._champion = champion
        self._shares_features = model.spec == champion.spec
        self._alarms = AlarmPairs()
        self._queue: deque[ScoredWindows] = deque()
        self._budget = _Budget(cpu_share, now_s)
        self.overflow_total = 0  # windows that found the queue full

    def offer(self, scored: ScoredWindows) -> None:
        """Queue what the champion has scored; an `Observer`."""
        if len(self._queue) >= QUEUED:
            self.overflow_total += scored.n_usable
        else:
            self._queue.append(scored)

    @property
    def has_work(self) -> bool:
        """Return whether something waits to be scored."""
        return bool(self._queue)

    @property
    def skipped_total(self) -> int:
        """Return how many windows were passed over, for the budget or a full queue."""
        return self.tally.skipped_total + self.overflow_total

    def work(self) -> None:
        """Score what waits. In a thread of its own; never two at a time."""
        for _ in range(len(self._queue)):
            scored = self._queue.popleft()
            if self.tally.failure is not None or not scored.n_usable:
                continue
            if not self._budget.is_left():
                self.tally.skip(scored.n_usable)
                continue
            self._score(scored)

    def finding(self, now_s: float) -> Finding | None:
        """Return the finding, None while the shadow run goes on. `now_s` is monotonic."""
        return self.tally.finding(now_s)

    def _score(self, scored: ScoredWindows) -> None:
        begun_s = time.thread_time()
        try:
            values, is_usable = self._features(scored)
            scores = self.model.score(values[is_usable]) if is_usable.any() else np.empty(0, np.float32)
        except MODEL_ERRORS as exc:
            self.tally.fail(f"it failed on a window: {exc}")
            return
        cpu_s = time.thread_time() - begun_s
        self._budget.pay(cpu_s)
        if not is_usable.all():
            self.tally.skip(scored.n_usable - int(np.count_nonzero(is_usable)))
        own, champion = values[is_usable], scored.values[scored.is_usable]
        self.tally.push(
            Compared(
                champion=scored.scores[scored.is_usable][is_usable],
                champion_threshold=self._champion.threshold,
                shadow=scores,
                shadow_threshold=self.model.threshold,
                cpu_s=cpu_s,
                unfamiliar=unfamiliar_share(self.model, own),
                champion_unfamiliar=unfamiliar_share(self._champion, champion),
                alarms=self._in_alarm(scored, is_usable, scores),
            )
        )

    def _in_alarm(
        self, scored: ScoredWindows, is_usable: NDArray[np.bool_], scores: NDArray[np.float32]
    ) -> dict[str, AlarmWindows]:
        """Count windows in alarm; `is_usable` and `scores` as from `_features` and the model."""
        is_scored = scored.is_usable.copy()
        is_scored[scored.is_usable] = is_usable
        is_anomalous = np.zeros(is_scored.shape, np.bool_)
        is_anomalous[is_scored] = scores > self.model.threshold
        return self._alarms.push(
            scored.subjects,
            scored.alarm,
            is_scored=is_scored,
            champion=scored.scores > self._champion.threshold,
            shadow=is_anomalous,
        )

    def _features(self, scored: ScoredWindows) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return features (n, f) of the windows the champion could use, and which this model can use, (n,)."""
        if self._shares_features or scored.samples is None:
            return scored.values[scored.is_usable], np.ones(scored.n_usable, np.bool_)
        values, is_usable = self.model.extract(scored.samples)
        return values[scored.is_usable], is_usable[scored.is_usable]


class AlarmPairs:
    """The alarms that two models would raise over the same windows, side by side, channel by channel.

    Begins without an alarm; one that stood before is raised again once enough windows were seen.
    """

    def __init__(self) -> None:
        self._trackers: dict[str, tuple[AlarmTracker, AlarmTracker]] = {}

    def push(
        self,
        subjects: tuple[str, ...],
        settings: AlarmSettings,
        *,
        is_scored: NDArray[np.bool_],
        champion: NDArray[np.bool_],
        shadow: NDArray[np.bool_],
    ) -> dict[str, AlarmWindows]:
        """Count the windows in alarm. `champion` and `shadow` say anomalous, all are (channels, windows)."""
        counted = {}
        for c, subject in enumerate(subjects):
            if subject not in self._trackers:
                self._trackers[subject] = AlarmTracker(settings), AlarmTracker(settings)
            seen = AlarmWindows()
            for w in np.flatnonzero(is_scored[c]):
                seen += self._of_window(subject, bool(champion[c, w]), bool(shadow[c, w]))
            if seen != AlarmWindows():
                counted[subject] = seen
        return counted

    def _of_window(self, subject: str, is_anomalous: bool, is_anomalous_to_shadow: bool) -> AlarmWindows:
        ours, theirs = self._trackers[subject]
        ours.push(Verdict.ANOMALOUS if is_anomalous else Verdict.NORMAL, 0)
        theirs.push(Verdict.ANOMALOUS if is_anomalous_to_shadow else Verdict.NORMAL, 0)
        stands, stands_by_shadow = ours.is_standing, theirs.is_standing
        return AlarmWindows(
            champion=stands,
            missed=stands and not stands_by_shadow,
            shadow=stands_by_shadow,
            quiet=stands_by_shadow and not stands,
        )


class _Budget:
    """Processor seconds per second of the clock."""

    def __init__(self, share: float, now_s: Callable[[], float]) -> None:
        self._share = share
        self._now_s = now_s
        self._left_s = BURST_S
        self._counted_s = now_s()

    def is_left(self) -> bool:
        now_s = self._now_s()
        self._left_s = min(BURST_S, self._left_s + self._share * (now_s - self._counted_s))
        self._counted_s = now_s
        return self._left_s > 0

    def pay(self, cpu_s: float) -> None:
        self._left_s -= cpu_s


def incomparable(model: ScoringModel, champion: ScoringModel) -> str | None:
    """Return why the two cannot be held against each other window by window, or None."""
    ours, theirs = model.spec, champion.spec
    if ours.cut != theirs.cut:
        return (
            f"its windows are others ({ours.window_samples} samples, hop {ours.hop_samples}, {ours.sample_rate_hz:g} "
            f"Hz) than the champion's ({theirs.window_samples}, {theirs.hop_samples}, {theirs.sample_rate_hz:g} Hz)"
        )
    if model.channels_per_row != champion.channels_per_row:
        return f"it scores {model.channels_per_row} channels together, the champion {champion.channels_per_row}"
    if ours.window_samples == 0 and ours != theirs:
        return "its tags or their preparation are others than the champion's"
    return None


def unfamiliar_share(model: ScoringModel, values: NDArray[np.float32]) -> float:
    """Return the share of feature values (n, f) outside where 98 % of the model's healthy training values lie."""
    if not values.size:
        return 0.0
    reach = BASELINE_SIGMAS * np.where(model.baseline_std > 0, model.baseline_std, np.inf)
    return float(np.mean(np.abs(values - model.baseline_mean) > reach))
