"""The running number, the scale and the seams of one source's sample blocks.

Constraints
- Block numbers go on counting when the source is opened again; they never start over.
- Where samples do not continue, the next block carries the first cause that was marked.
- A block never starts before the end of the one before it, unless the wall clock itself was set back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.samples import SampleBlock, Samples, read_only
from edge_agent.settings import ChannelSettings

_ROUNDING_NS: Final = 1_000  # counted times are rounded to whole ns: less than this is no overlap


class BlockSequence:
    """Lives as long as its driver: it remembers what was delivered before a device was lost."""

    def __init__(self, source: str, *, unit: str, channels: Sequence[ChannelSettings]) -> None:
        self.source = source
        self.last_end_ns: int | None = None
        self._unit = unit
        self._given_scale = np.array([[channel.scale] for channel in channels])
        self._scale = self._given_scale.astype(np.float32)
        self._next_index = 0
        self._seam: tuple[GapCause, str, int | None] | None = None

    def calibrate(self, factors: Sequence[float]) -> None:
        """Multiply each channel's scale by what the device's calibration says, from the next block on."""
        self._scale = (self._given_scale * np.array(factors).reshape(-1, 1)).astype(np.float32)

    @property
    def n_channels(self) -> int:
        return int(self._scale.shape[0])

    def mark_seam(self, cause: GapCause, detail: str, count: int | None = None) -> None:
        """Mark that the next block does not continue the last one; before the first block it means nothing."""
        if self.last_end_ns is not None and self._seam is None:
            self._seam = cause, detail, count

    def begin_stream(self) -> None:
        """Mark that another stream of samples begins, whatever came before."""
        self.mark_seam(GapCause.DISCONTINUITY, "the source was opened again")

    def scaled(self, samples: Samples) -> Samples:
        """Return `samples`, shape (n_channels, n), in the source's unit: a read-only copy."""
        return read_only(np.multiply(samples, self._scale, dtype=np.float32))

    def block(self, scaled: Samples, *, start_ns: int, sample_rate_hz: float) -> SampleBlock:
        """Return the next block, of samples that are scaled already."""
        if self.last_end_ns is not None and 0 < self.last_end_ns - start_ns < _ROUNDING_NS:
            start_ns = self.last_end_ns
        block = SampleBlock(
            source=self.source,
            block_index=self._next_index,
            start_ns=start_ns,
            sample_rate_hz=sample_rate_hz,
            unit=self._unit,
            samples=scaled,
            gap_before=self._take_gap(start_ns),
        )
        self._next_index += 1
        self.last_end_ns = block.end_ns
        return block

    def _take_gap(self, start_ns: int) -> Gap | None:
        if self._seam is None or self.last_end_ns is None:
            return None
        cause, detail, count = self._seam
        self._seam = None
        begin_ns, end_ns = sorted((self.last_end_ns, start_ns))  # sorted: the wall clock may have been set back
        return Gap(self.source, cause, begin_ns, end_ns, detail, count)
