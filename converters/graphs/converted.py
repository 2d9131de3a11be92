"""What a converter hands on: the graph, and the source model it must agree with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

SourceScore = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Rows of raw features, float64 (n, n_features), to scores (n,), by the source framework."""

TREE_MAX_DIFFERENCE: Final = 2e-6
"""Sums of 100 float32 leaf weights and one float32 exponential; the worst seen over the shipped models is 5e-7."""


@dataclass(frozen=True, slots=True, eq=False)
class ConvertedModel:
    """A graph from INPUT_NAME (n, n_features) to OUTPUT_NAME (n,), higher = more anomalous.

    `split_features[i]` and `split_values[i]` are the column and the float32 threshold of split i, in raw units; none
    for a model without trees. `max_difference` is how far graph and source may differ, relative to the score where
    that is beyond 1. Verdicts may differ only where the score is within `tolerance_band` of the threshold.
    `own_threshold` is where the source itself draws the line, when it draws one. `seen` are rows in raw units that show
    where a model without splits was trained, (n, n_features).
    """

    onnx: bytes
    source_score: SourceScore
    split_features: NDArray[np.int64]
    split_values: NDArray[np.float32]
    max_difference: float = TREE_MAX_DIFFERENCE
    tolerance_band: float = 0.0
    own_threshold: float | None = None
    seen: NDArray[np.float64] | None = None


NO_SPLIT_FEATURES: Final = np.empty(0, np.int64)
NO_SPLIT_VALUES: Final = np.empty(0, np.float32)
