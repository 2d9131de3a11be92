"""A run of samples as the driver delivered it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.gaps import Gap
from edge_agent.core.quality import Quality

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class SampleBlock:
    """Evenly spaced samples from one source, oldest first.

    `samples` is read-only float32, shape (n_channels, n_samples), in `unit`.
    `start_ns` is the UTC time of the first sample, ns since the epoch.
    `block_index` counts up by one per block from one source; a missing number is a hole.
    `gap_before` is set when this block does not continue the one before it: why.
    """

    source: str
    block_index: int
    start_ns: int
    sample_rate_hz: float
    unit: str
    samples: Samples
    quality: Quality = Quality.GOOD
    gap_before: Gap | None = None

    def __post_init__(self) -> None:
        if self.samples.ndim != 2 or self.samples.flags.writeable or self.samples.dtype != np.float32:
            raise ValueError("samples must be a read-only float32 array of shape (n_channels, n_samples)")
        if not self.sample_rate_hz > 0:
            raise ValueError(f"sample_rate_hz must be above 0, not {self.sample_rate_hz}")

    @property
    def n_channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def n_samples(self) -> int:
        return int(self.samples.shape[1])

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.sample_rate_hz

    @property
    def end_ns(self) -> int:
        """Return the UTC time just after the last sample."""
        return self.start_ns + round(self.n_samples * 1e9 / self.sample_rate_hz)


def read_only(samples: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Samples:
    """Return the same array, marked read-only. The caller gives up writing to it."""
    samples.flags.writeable = False
    return samples
