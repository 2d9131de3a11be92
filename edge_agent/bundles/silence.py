"""Whether a model can alarm at all, and whether it does where the champion does, found out without waiting for a fault.

Two kinds of rows are at hand on any gateway: the golden windows of the champion, some of which its builder knows to be
anomalous, and rows that are provoked: the healthy baseline of a manifest, moved by up to ten standard deviations. Of a
machine that has alarmed before there are also the windows that were kept then (`pipeline/alarm_record`).

Constraints
- A model that is silent on all of it, anomalous on all of it, or gives every row one score is refused by name
  and figure.
- Two models are held against each other by verdict on the same rows, never by the size of their scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.bundles.bundle import ModelBundle
from edge_agent.bundles.golden import golden_features, golden_vectors
from edge_agent.bundles.store import Champion
from edge_agent.errors import BundleError, SignalError

DISTANCES: Final = (1.0, 3.0, 10.0)
"""In standard deviations of the healthy rows. At ten, 45 to 100 of 100 rows are anomalous to each shipped model, at one
up to 57."""

ROWS_PER_DISTANCE: Final = 300
"""Scored in 1 to 20 ms by the shipped models on a desktop's core."""

PROVOKED_MISSED_LIMIT: Final = 0.9
"""Of provoked rows that the champion calls anomalous, the share a successor may call normal. A classifier of known
faults rightly calls many strange rows normal that a model of the healthy state calls anomalous; one in ten it does see.
Over all pairs of shipped models with the same features, the most that one misses is 0.47."""

MIN_WINDOWS: Final = 3
"""Of golden or kept windows: fewer decide nothing."""

_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)
_BUILD_AGAIN: Final = "build it again with a threshold inside of its own scores, see `edge-convert convert`"


@dataclass(frozen=True, slots=True)
class Missed:
    """Of `windows` that the champion calls anomalous, how many the successor calls normal, and the share it may."""

    what: str
    windows: int
    missed: int
    limit: float

    @property
    def is_judged(self) -> bool:
        return self.windows >= MIN_WINDOWS

    @property
    def problem(self) -> str | None:
        if not self.is_judged or self.missed <= self.limit * self.windows:
            return None
        return (
            f"it is silent where the champion alarms: it calls {self.missed} of {self.windows} {self.what} normal, "
            f"more than {self.limit:.0%}"
        )


def check_can_alarm(candidate: Champion) -> None:
    """Raise BundleError for a model that never or always alarms, or gives every row the same score."""
    if (problem := alarm_problem(candidate)) is not None:
        raise BundleError(f"{candidate.bundle.label}: {problem}", hint=_BUILD_AGAIN)


def alarm_problem(candidate: Champion) -> str | None:
    """Return why a model never or always alarms, whatever it is given; None as it should be."""
    bundle = candidate.bundle
    if (known := _known_to_its_builder(bundle)) is not None:
        return known
    try:
        scores = np.concatenate([_scores(candidate, provoked_rows(bundle)), golden_vectors(bundle).scores])
    except BundleError as exc:
        return exc.message
    lowest, highest, threshold = float(scores.min()), float(scores.max()), bundle.manifest.threshold
    rows = f"of {len(scores)} rows, golden ones and others up to {DISTANCES[-1]:g} standard deviations from healthy"
    if (stated := bundle.manifest.scores) is not None:  # a narrow class of faults may be met by no row of ours
        lowest, highest = min(lowest, stated.healthy_lowest), max(highest, stated.training_highest)
    if lowest == highest:
        return f"every one {rows}, has the score {lowest:.6g}: it does not look at its input"
    if highest <= threshold:
        return f"it never alarms: its threshold is {threshold:.6g}, and the highest score {rows}, is {highest:.6g}"
    if lowest > threshold:
        return f"it always alarms: its threshold is {threshold:.6g}, and the lowest score {rows}, is {lowest:.6g}"
    return None


def hold_against(
    candidate: Champion, champion: Champion, *, missed_fraction: float, kept: NDArray[np.float32] | None = None
) -> tuple[Missed, ...]:
    """Return what the candidate misses of the champion's golden, kept and provoked anomalous rows, in this order.

    `kept` are features of windows during the champion's alarms on this machine, (n, f). Rows of features serve only
    where both models see the same features. Raises BundleError when the candidate cannot take the rows.
    """
    found = []
    if (golden := _golden_missed(candidate, champion, missed_fraction)) is not None:
        found.append(golden)
    if candidate.bundle.spec == champion.bundle.spec:
        if kept is not None and len(kept):
            is_anomalous = _scores(champion, kept) > champion.bundle.manifest.threshold
            what = "windows kept from this machine's alarms"
            found.append(_missed(candidate, kept[is_anomalous], what, missed_fraction))
        rows = provoked_rows(champion.bundle)
        is_anomalous = _scores(champion, rows) > champion.bundle.manifest.threshold
        what = f"rows up to {DISTANCES[-1]:g} standard deviations from healthy"
        found.append(_missed(candidate, rows[is_anomalous], what, PROVOKED_MISSED_LIMIT))
    return tuple(found)


def first_problem(found: Sequence[Missed]) -> str | None:
    """Return the first that is beyond its limit, in words."""
    return next((one.problem for one in found if one.problem is not None), None)


def provoked_rows(bundle: ModelBundle) -> NDArray[np.float32]:
    """Return seeded rows around a bundle's healthy baseline: all features off together, then each alone, (n, f)."""
    baselines = [bundle.manifest.baseline[feature.name] for feature in bundle.spec.features]
    mean, std = np.array([b.mean for b in baselines]), np.array([b.std for b in baselines])
    rng = np.random.default_rng(0)
    together = [mean + k * std * rng.standard_normal((ROWS_PER_DISTANCE, len(mean))) for k in DISTANCES]
    alone = np.concatenate([mean + k * np.diag(std) for k in (-DISTANCES[-1], DISTANCES[-1])])
    rows: NDArray[np.float64] = np.concatenate([*together, alone]).clip(-_FLOAT32_MAX, _FLOAT32_MAX)
    return rows.astype(np.float32)


def _known_to_its_builder(bundle: ModelBundle) -> str | None:
    scores = bundle.manifest.scores
    if scores is None:
        return None
    despite = f"; built all the same: {scores.silent_because}" if scores.silent_because else ""
    if scores.anomalous_rows and not scores.anomalous_above:
        return f"none of the {scores.anomalous_rows} anomalous rows of its training reaches its threshold{despite}"
    if scores.healthy_above == 1.0:
        return f"all of the {scores.healthy_rows} healthy rows of its training are above its threshold{despite}"
    return None


def _golden_missed(candidate: Champion, champion: Champion, limit: float) -> Missed | None:
    ours, theirs = candidate.bundle.spec, champion.bundle.spec
    if ours.cut != theirs.cut or (not theirs.window_samples and ours != theirs):
        return None
    golden = golden_vectors(champion.bundle)
    rows = golden_features(candidate.bundle, golden, candidate.extractor)
    if len(rows) != len(golden.scores):
        return None  # another channel count to a row: not window by window
    is_anomalous = golden.scores > champion.bundle.manifest.threshold
    return _missed(candidate, rows[is_anomalous], "golden windows that are anomalous to the champion", limit)


def _missed(candidate: Champion, rows: NDArray[np.float32], what: str, limit: float) -> Missed:
    is_normal = _scores(candidate, rows) <= candidate.bundle.manifest.threshold
    return Missed(what, len(rows), int(np.count_nonzero(is_normal)), limit)


def _scores(model: Champion, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    try:
        return model.model.score(rows)
    except (BundleError, SignalError) as exc:
        raise BundleError(
            f"it fails on rows unlike its healthy training data: {exc.message}", hint=_BUILD_AGAIN
        ) from exc
