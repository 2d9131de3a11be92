"""Ordered names with versions, and the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FeatureId:
    """One formula: a model trained on version 1 is never fed version 2. `unit` may be empty (ratio)
    or "signal", meaning the unit of the samples themselves."""

    name: str
    version: int
    unit: str


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """Everything needed to compute a model's input from raw samples, and nothing else.

    `extractor` names a family in the feature catalogue ("vibration", "mfcc_mean", "tag_snapshot").
    `sample_rate_hz`, `window_samples` and `hop_samples` are those of the sensor's samples as they come in
    (0 for extractors that have no windows); `parameters` are the family's own.
    """

    extractor: str
    features: tuple[FeatureId, ...]
    sample_rate_hz: float = 0.0
    window_samples: int = 0
    hop_samples: int = 0
    parameters: Mapping[str, float | int | str | bool] = field(default_factory=dict)

    @property
    def cut(self) -> tuple[float, int, int]:
        """Return how samples are cut into windows: two that are equal here see the same windows of a signal."""
        return self.sample_rate_hz, self.window_samples, self.hop_samples


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
