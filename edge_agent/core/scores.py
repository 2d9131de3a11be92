"""What a model says about a window. Higher means more anomalous, always."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Verdict(StrEnum):
    NORMAL = "normal"
    ANOMALOUS = "anomalous"
    UNKNOWN = "unknown"  # the input was not fit to be scored


@dataclass(frozen=True, slots=True, eq=False)
class ScoreBatch:
    """Scores of consecutive windows of one source; NaN where a window was not scored.

    `values` is float32, shape (n_channels, n_windows). A window is anomalous when its score is
    greater than `threshold`.
    """

    source: str
    model_name: str
    model_version: str
    threshold: float
    end_ns: NDArray[np.int64]
    values: NDArray[np.float32]

    def verdict(self, channel: int, window: int) -> Verdict:
        """Return the verdict on one window."""
        value = self.values[channel, window]
        if np.isnan(value):
            return Verdict.UNKNOWN
        return Verdict.ANOMALOUS if value > self.threshold else Verdict.NORMAL
