"""Why a score is what it is: each feature against its baseline, and what the score would be without it.

Constraints
- Pure arithmetic on rows of features; one call of the model, with as many rows as features and one more.
- Nothing here changes a verdict; an explanation that cannot be had is the farthest features alone.

Replacing one feature at a time by its baseline is occlusion (Zeiler and Fergus, ECCV 2014) for a table: a contribution
is score(x) - score(x with feature i at its baseline). Features that only act together share none; their z shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import EdgeError
from edge_agent.pipeline.model import Baseline, Vector

Score = Callable[[NDArray[np.float32]], NDArray[np.float32]]

SIGMA_PER_MAD: Final = 1.4826
"""Of a normal distribution: 1 / Phi^-1(3/4)."""
SIGMAS_P01_TO_P99: Final = 4.6527
"""Of a normal distribution: 2 Phi^-1(0.99)."""


@dataclass(frozen=True, slots=True)
class FeatureContribution:
    """One feature's part in a score. `contribution` is None when the model could not say."""

    feature: str
    value: float
    baseline: float
    z: float
    contribution: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Contributions with the strongest first, and whose baseline they are measured against."""

    contributions: tuple[FeatureContribution, ...]
    against: Literal["machine", "training"]


def explain(
    values: Vector,
    baseline: Baseline,
    score: Score,
    names: Sequence[str],
    *,
    most: int = 3,
    beside: frozenset[str] = frozenset(),
) -> Explanation:
    """Return the features that contribute most to the score, then those farthest from the baseline; at most `most`.

    Parameters
    ----------
    values : float64 ndarray [shape=(n_features,)], finite
    score : float32 (n, n_features) -> float32 (n,), higher is more anomalous
    beside : features that never explain anything (an instant, say)
    """
    z = baseline.robust_z(values)
    contributions = _contributions(values, baseline, score)
    strength = np.abs(z) if contributions is None else np.maximum(contributions, 0.0)
    order = np.lexsort((-np.abs(z), -strength))
    found = [
        FeatureContribution(
            names[i],
            float(values[i]),
            float(baseline.centre[i]),
            round(float(z[i]), 1),
            None if contributions is None else float(contributions[i]),
        )
        for i in order
        if names[i] not in beside
    ]
    return Explanation(tuple(found[:most]), baseline.of)


def _contributions(values: Vector, baseline: Baseline, score: Score) -> Vector | None:
    """Return shape (n_features,), or None when the model does not take such a row."""
    rows = np.tile(values, (len(values) + 1, 1))
    np.fill_diagonal(rows[1:], baseline.centre)
    try:
        scores = score(rows.astype(np.float32)).astype(np.float64)
    except EdgeError:
        return None
    return np.asarray(scores[0] - scores[1:])
