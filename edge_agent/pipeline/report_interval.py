"""What one channel has measured since its last report."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.quality import Quality


class ReportInterval:
    """Sums and maxima of rows of `n_values`. `is_normal` is false once a window was anomalous."""

    def __init__(self, n_values: int) -> None:
        self.sums: NDArray[np.float64] = np.zeros(n_values)
        self.highest: NDArray[np.float64] = np.full(n_values, -np.inf)
        self.start_ns = self.end_ns = 0
        self.restart()

    def restart(self) -> None:
        """Begin the next interval where this one ends."""
        self.sums = np.zeros_like(self.sums)
        self.highest = np.full_like(self.highest, -np.inf)
        self.count = 0
        self.quality = Quality.GOOD
        self.is_normal = True
        self.start_ns = self.end_ns

    def add(self, values: NDArray[np.float32], end_ns: int, quality: Quality, *, is_normal: bool = True) -> None:
        """Add one window's values, shape (n_values,)."""
        if (self.count == 0 and self.start_ns == 0) or end_ns < self.start_ns:
            self.start_ns = end_ns  # the first window, or the first after the clock was set back
        self.sums += values
        self.highest = np.maximum(self.highest, values)
        self.count += 1
        self.end_ns = end_ns
        self.quality = max(self.quality, quality)
        self.is_normal &= is_normal

    @property
    def means(self) -> NDArray[np.float64]:
        """Return the means, shape (n_values,); zeros before the first window."""
        return self.sums / max(self.count, 1)
