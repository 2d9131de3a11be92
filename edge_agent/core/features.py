"""Ordered names with versions, and the numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FeatureId:
    """One formula: a model trained on version 1 is never fed version 2. `unit` may be empty (ratio)
    or "signal", meaning the unit of the samples themselves."""

    name: str
    version: int
    unit: str


@dataclass(frozen=True, slots=True, eq=False)
class FeatureBatch:
    """Features of consecutive windows of one source.

    `values` is float32, shape (n_channels, n_windows, n_features), in the order of `features`.
    `is_usable` is bool, shape (n_channels, n_windows): False where the samples had no honest feature
    (not finite, flat line); those rows of `values` mean nothing and are never scored or sent.
    """

    source: str
    features: tuple[FeatureId, ...]
    end_ns: NDArray[np.int64]
    values: NDArray[np.float32]
    is_usable: NDArray[np.bool_]
