"""What a converter hands on: the graph, and the source model it must agree with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SourceScore = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Rows of raw features, float64 (n, n_features), to scores (n,), by the source framework."""


@dataclass(frozen=True, slots=True, eq=False)
class ConvertedModel:
    """`split_features[i]` and `split_values[i]` are the column and the float32 threshold of split i, in raw units."""

    onnx: bytes
    source_score: SourceScore
    split_features: NDArray[np.int64]
    split_values: NDArray[np.float32]
