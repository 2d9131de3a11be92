"""Sample blocks in, overlapping windows out. Pure; no asyncio, no features.

Constraints
- A window never spans a gap: samples before it that fill no window are dropped, and the gap is passed on.
- The same samples cut into other blocks give the same windows, bit for bit.
- Every sample is copied at most once; windows are views that overlap in memory.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.quality import Quality
from edge_agent.core.samples import SampleBlock, Samples, read_only
from edge_agent.core.windows import WindowBatch
from edge_agent.errors import SignalError

RE_ANCHOR_NS: Final = 20_000_000
"""Sample clocks drift by some 50 ppm against the system's. Below 20 ms we count samples, above it we believe
the block's own stamp again: a day of drift stays invisible in the keys and never grows."""


class Windower:
    """One source. `window_samples` and `hop_samples` are in samples; hop may be larger than the window."""

    def __init__(
        self, source: str, *, sample_rate_hz: float, window_samples: int, hop_samples: int, n_channels: int
    ) -> None:
        if window_samples < 1 or hop_samples < 1 or n_channels < 1:
            raise SignalError(f"{source}: window, hop and channel count must be at least 1")
        if not sample_rate_hz > 0:
            raise SignalError(f"{source}: a sampling rate of {sample_rate_hz} Hz is not possible")
        self._source = source
        self._rate_hz = sample_rate_hz
        self._window = window_samples
        self._hop = hop_samples
        self._n_channels = n_channels
        self._chunks: list[Samples] = []
        self._held = 0
        self._skip = 0  # samples to pass over before the next window starts (hop larger than window)
        self._start_ns = 0  # time of the first held sample
        self._quality = Quality.GOOD
        self._next_index: int | None = None
        self._last_end_ns = 0
        self._was_refused = False

    def push(self, block: SampleBlock) -> list[WindowBatch | Gap]:
        """Return what this block completes: gaps first, then windows, oldest first."""
        out: list[WindowBatch | Gap] = []
        if (refusal := self._refusal(block)) is not None:
            self._reset()
            self._next_index = block.block_index + 1
            if not self._was_refused:  # log the edge: one gap when it starts, not one per block
                out.append(Gap(block.source, GapCause.MODEL_REFUSED, block.start_ns, block.end_ns, refusal))
            self._was_refused = True
            return out
        self._was_refused = False
        if (gap := self._gap_before(block)) is not None:
            self._reset()
            out.append(gap)
        self._next_index = block.block_index + 1
        self._hold(block)
        if (windows := self._cut(block)) is not None:
            out.append(windows)
        self._last_end_ns = block.end_ns
        return out

    def cut_as(self, *, sample_rate_hz: float, window_samples: int, hop_samples: int) -> Windower:
        """Cut the same stream otherwise from here on: samples that fill no window yet go on into the next.

        Returns itself when nothing changes. At another rate what is held is dropped: it belongs to no window there.
        """
        if (sample_rate_hz, window_samples, hop_samples) == (self._rate_hz, self._window, self._hop):
            return self
        other = Windower(
            self._source,
            sample_rate_hz=sample_rate_hz,
            window_samples=window_samples,
            hop_samples=hop_samples,
            n_channels=self._n_channels,
        )
        other._next_index, other._last_end_ns = self._next_index, self._last_end_ns
        if sample_rate_hz == self._rate_hz:
            other._chunks, other._held, other._skip = list(self._chunks), self._held, self._skip
            other._start_ns, other._quality = self._start_ns, self._quality
        return other

    def _refusal(self, block: SampleBlock) -> str | None:
        if abs(block.sample_rate_hz - self._rate_hz) > 1e-6 * self._rate_hz:
            return (
                f"samples come at {block.sample_rate_hz:g} Hz, the model was trained at {self._rate_hz:g} Hz; "
                "set the sensor's rate or choose another model"
            )
        if block.n_channels != self._n_channels:
            return f"{block.n_channels} channels came, {self._n_channels} are configured"
        return None

    def _gap_before(self, block: SampleBlock) -> Gap | None:
        if block.gap_before is not None:
            return block.gap_before
        if self._next_index is not None and block.block_index != self._next_index:
            missing = block.block_index - self._next_index
            detail = f"{missing} blocks were dropped: the pipeline was slower than the source"
            return Gap(block.source, GapCause.QUEUE_FULL, self._last_end_ns, block.start_ns, detail)
        return None

    def _reset(self) -> None:
        self._chunks.clear()
        self._held = self._skip = 0
        self._quality = Quality.GOOD

    def _hold(self, block: SampleBlock) -> None:
        expected_ns = self._start_ns + self._span_ns(self._held)
        if self._held == 0 or abs(expected_ns - block.start_ns) > RE_ANCHOR_NS:
            self._start_ns = block.start_ns - self._span_ns(self._held)
        samples = block.samples
        if self._skip:
            passed = min(self._skip, block.n_samples)
            samples = samples[:, passed:]
            self._skip -= passed
            self._start_ns += self._span_ns(passed)
        if samples.shape[1]:
            self._chunks.append(samples)
            self._held += samples.shape[1]
        self._quality = max(self._quality, block.quality)

    def _cut(self, block: SampleBlock) -> WindowBatch | None:
        if self._held < self._window:
            return None
        held = self._chunks[0] if len(self._chunks) == 1 else read_only(np.concatenate(self._chunks, axis=1))
        count = (self._held - self._window) // self._hop + 1
        views = np.lib.stride_tricks.sliding_window_view(held, self._window, axis=1)[:, :: self._hop][:, :count]
        ends = self._window + self._hop * np.arange(count, dtype=np.int64)
        end_ns = self._start_ns + np.rint(ends * (1e9 / self._rate_hz)).astype(np.int64)
        windows = WindowBatch(self._source, self._rate_hz, block.unit, end_ns, views, self._quality)
        used = min(count * self._hop, self._held)
        self._skip = count * self._hop - used
        rest = held[:, used:]
        self._start_ns += self._span_ns(used + self._skip)
        self._chunks = [rest] if rest.shape[1] else []
        self._held = int(rest.shape[1])
        self._quality = block.quality
        return windows

    def _span_ns(self, samples: int) -> int:
        return round(samples * 1e9 / self._rate_hz)
