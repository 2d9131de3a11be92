"""Why a score is what it is: each feature against its usual value, and what the score would be without it.

Constraints
- Pure arithmetic on rows of features; one call of the model, with as many rows as features and one more.
- Nothing here changes a verdict; an explanation that cannot be had is the farthest features alone.

Replacing one feature at a time by its usual value is occlusion (Zeiler and Fergus, ECCV 2014) for a table: `push` is
score(x) - score(x with feature i at its usual value). Features that only act together share no push; their z shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import EdgeError
from edge_agent.pipeline.model import Usual, Vector

Score = Callable[[NDArray[np.float32]], NDArray[np.float32]]

SIGMA_PER_MAD: Final = 1.4826
"""Of a normal distribution: 1 / Phi^-1(3/4)."""
SIGMAS_P01_TO_P99: Final = 4.6527
"""Of a normal distribution: 2 Phi^-1(0.99)."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One feature's part in a score. `push` is None when the model could not say."""

    feature: str
    value: float
    usual: float
    z: float
    push: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Reasons with the strongest first, and whose usual values they are measured against."""

    reasons: tuple[Reason, ...]
    against: Literal["machine", "training"]


def explain(
    values: Vector,
    usual: Usual,
    score: Score,
    names: Sequence[str],
    *,
    most: int = 3,
    beside: frozenset[str] = frozenset(),
) -> Explanation:
    """The features that push the score most, then those farthest from usual; at most `most`.

    Parameters
    ----------
    values : float64 ndarray [shape=(n_features,)], finite
    score : float32 (n, n_features) -> float32 (n,), higher is more anomalous
    beside : features that are never a reason (an instant, say)
    """
    z = usual.robust_z(values)
    pushes = _pushes(values, usual, score)
    strength = np.abs(z) if pushes is None else np.maximum(pushes, 0.0)
    order = np.lexsort((-np.abs(z), -strength))
    reasons = [
        Reason(
            names[i],
            float(values[i]),
            float(usual.centre[i]),
            round(float(z[i]), 1),
            None if pushes is None else float(pushes[i]),
        )
        for i in order
        if names[i] not in beside
    ]
    return Explanation(tuple(reasons[:most]), usual.of)


def _pushes(values: Vector, usual: Usual, score: Score) -> Vector | None:
    """Shape (n_features,), or None when the model does not take such a row."""
    rows = np.tile(values, (len(values) + 1, 1))
    np.fill_diagonal(rows[1:], usual.centre)
    try:
        scores = score(rows.astype(np.float32)).astype(np.float64)
    except EdgeError:
        return None
    return np.asarray(scores[0] - scores[1:])
