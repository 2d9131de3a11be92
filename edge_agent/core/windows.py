"""Windows of equal length, several at a time and all channels together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.quality import Quality
from edge_agent.core.samples import Samples


@dataclass(frozen=True, slots=True, eq=False)
class WindowBatch:
    """Consecutive windows of one source, as a read-only view of its samples.

    `samples` has shape (n_channels, n_windows, window_samples), in `unit`; neighbouring windows may
    overlap in memory. `end_ns[i]` is the UTC time just after the last sample of window i, ns since the
    epoch: the time a window is keyed by. `quality` is the worst of the blocks it was cut from.
    """

    source: str
    sample_rate_hz: float
    unit: str
    end_ns: NDArray[np.int64]
    samples: Samples
    quality: Quality = Quality.GOOD

    @property
    def n_channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def n_windows(self) -> int:
        return int(self.samples.shape[1])

    @property
    def window_samples(self) -> int:
        return int(self.samples.shape[2])
