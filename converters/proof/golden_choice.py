"""Chooses golden inputs whose score does not hang on the last digits of a feature.

A tree's score jumps where a feature crosses a split, and a smooth model's moves along with its features. The edge's
float32 features may lie a hair beside the source's float64 ones, so a golden window that stands on a split would fail
there without meaning anything.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from converters.graphs.converted import SourceScore
from edge_agent.bundles.manifest import Tolerances

_TRIALS: Final = 64


def is_stable(
    features: NDArray[np.float64], std: NDArray[np.float64], source_score: SourceScore, tolerances: Tolerances
) -> bool:
    """Return True when features moved anywhere within their tolerance keep every score within half of its own.

    Shapes as in `largest_move`.
    """
    return largest_move(features, std, source_score, tolerances) <= tolerances.score_atol / 2


def largest_move(
    features: NDArray[np.float64], std: NDArray[np.float64], source_score: SourceScore, tolerances: Tolerances
) -> float:
    """Return how far a score moves when features move within their tolerance.

    `features` is (n, n_features); `std` the baseline's, (n_features,). Tries seeded corners of the tolerance box.
    """
    rng = np.random.default_rng(0)
    allowed = tolerances.feature_rtol * np.abs(features) + tolerances.feature_atol_std * std
    signs = rng.choice([-1.0, 1.0], size=(_TRIALS, *features.shape))
    moved = (features + signs * allowed).reshape(-1, features.shape[-1])
    scores = source_score(moved).reshape(_TRIALS, -1)
    return float(np.max(np.abs(scores - source_score(features))))
