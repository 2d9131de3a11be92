"""The sensors of one waveform source, looked at before anything is computed from their samples. Pure.

Constraints
- Samples are held for a second, judged together, and given on: no window is older than the judgement on it.
- Where nothing is looked for, nothing is held.
- Every block and gap that comes in goes out, in order and as it is; what a failing reader leaves stays for the next.
- A second that cannot be judged (too short, no numbers) leaves the judgement as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import isfinite
from typing import Final

import numpy as np

from cloud_sync.columns import Record
from edge_agent.core.gaps import Gap
from edge_agent.core.health import OK, SensorHealth
from edge_agent.core.samples import SampleBlock, Samples
from edge_agent.core.windows import WindowBatch
from edge_agent.dsp.machines.sensor_faults import (
    HUM_SECONDS,
    MIN_SAMPLES,
    Expected,
    FaultKind,
    SensorFault,
    signal_fault,
)
from edge_agent.pipeline.operating_state import AssetOperation
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.sensor_health.channel import ChannelHealth
from edge_agent.pipeline.sensor_health.drops import DropWatch
from edge_agent.pipeline.sensor_health.uses import Use, Uses, UseTimeline

LOOK_S: Final = 1.0
SHORTEST_S: Final = 0.1
"""What comes between two holes may be shorter: the peak of a slow signal, which looks flat."""


class SignalHealth:
    """`points` name the channels; `expected` says what is known of each, whenever it is asked.

    `checks` are the faults that are looked for; `drops` watches for holes, None for a recording;
    while `operation` says that the machine does not run, sensors are not judged either.
    """

    def __init__(
        self,
        *,
        source: str,
        asset: str,
        points: tuple[str, ...],
        checks: frozenset[FaultKind],
        expected: Callable[[], tuple[Expected, ...]],
        recorder: Recorder,
        drops: DropWatch | None,
        operation: AssetOperation | None = None,
    ) -> None:
        self.name = source
        self.channels = tuple(ChannelHealth(point, f"{asset}.{point}") for point in points)
        self._checks = checks
        self._expected = expected
        self._recorder = recorder
        self._drops = drops
        self._operation = operation
        self._is_looking = bool(checks) or operation is not None
        self._timeline = UseTimeline(len(points))
        self._held: list[SampleBlock] = []
        self._held_samples = 0
        self._judged: deque[SampleBlock | Gap] = deque()
        self._end_ns = 0

    def push(self, item: SampleBlock | Gap) -> list[Record]:
        """Take what comes from the driver; return the gaps that begin and end with what is judged by it."""
        if self._drops is not None:
            self._drops.push(item)
        if isinstance(item, Gap) or not self._is_looking:
            records = self._judge()
            self._judged.append(item)
            return records
        records = self._judge() if item.gap_before is not None or not self._is_like_held(item) else []
        self._held.append(item)
        self._held_samples += item.n_samples
        if self._held_samples >= max(MIN_SAMPLES, round(LOOK_S * item.sample_rate_hz)):
            records += self._judge()
        return records

    def take(self) -> SampleBlock | Gap | None:
        """Return the oldest item that is judged; None while there is none."""
        return self._judged.popleft() if self._judged else None

    @property
    def has_judged(self) -> bool:
        """Return whether there is something to take."""
        return bool(self._judged)

    def release(self) -> list[Record]:
        """Judge what is held, to be taken: before a stop."""
        return self._judge()

    def flush(self) -> list[Record]:
        """Return how far open gaps came: before a stop, when all is taken."""
        return [self._recorder.gap(gap) for channel in self.channels for gap in channel.flush(self._end_ns)]

    def uses(self, windows: WindowBatch) -> Uses | None:
        """Return what windows are good for, as `UsesOf` does."""
        return self._timeline.of(windows)

    def health_of(self, channel: ChannelHealth) -> SensorHealth:
        """Return a channel's health: what its samples show, else what is missing of them."""
        return self.dropped if channel.health is OK else channel.health

    @property
    def dropped(self) -> SensorHealth:
        """Return whether the source loses samples."""
        return OK if self._drops is None else self._drops.health

    def _is_like_held(self, block: SampleBlock) -> bool:
        if not self._held:
            return True
        newest = self._held[-1]
        shape = block.sample_rate_hz, block.n_channels
        return shape == (newest.sample_rate_hz, newest.n_channels) and block.block_index == newest.block_index + 1

    def _judge(self) -> list[Record]:
        held, self._held, self._held_samples = self._held, [], 0
        if not held:
            return []
        self._judged.extend(held)
        start_ns, self._end_ns = held[0].start_ns, held[-1].end_ns
        if held[0].n_channels != len(self.channels):
            return []  # the lines refuse such blocks, and say so
        samples = held[0].samples if len(held) == 1 else np.concatenate([block.samples for block in held], axis=1)
        faults = self._faults(samples, held[0].sample_rate_hz)
        is_judged, records = self._follow_machine(samples, faults)
        for number, (channel, fault) in enumerate(zip(self.channels, faults, strict=True)):
            if is_judged and (fault is not None or samples.shape[1] >= self._least(channel, held[0].sample_rate_hz)):
                records += [self._recorder.gap(gap) for gap in channel.look(fault, start_ns, self._end_ns)]
            self._timeline.add(number, start_ns, self._end_ns, channel.use if is_judged else Use.NOTHING)
        return records

    def _least(self, channel: ChannelHealth, rate_hz: float) -> int:
        """Return how many samples show that nothing is wrong with a channel: hum is heard in a whole second only."""
        seconds = HUM_SECONDS if channel.health.state == "mains_hum" else SHORTEST_S
        return max(MIN_SAMPLES, round(seconds * rate_hz))

    def _faults(self, samples: Samples, rate_hz: float) -> list[SensorFault | None]:
        if samples.shape[1] < round(SHORTEST_S * rate_hz):
            return [None for _ in self.channels]
        found = [signal_fault(each, rate_hz, known) for each, known in zip(samples, self._expected(), strict=True)]
        return [fault if fault is not None and fault.kind in self._checks else None for fault in found]

    def _follow_machine(self, samples: Samples, faults: list[SensorFault | None]) -> tuple[bool, list[Record]]:
        """Return whether the machine ran all the time that these samples took, and the gaps of a change."""
        operation = self._operation
        if operation is None:
            return True, []
        was_judged = operation.is_judged
        if operation.listens_to(self.name):
            levels = [float(each.std()) for each, fault in zip(samples, faults, strict=True) if fault is None]
            heard = [level for level in levels if isfinite(level)]
            gaps = operation.hear(max(heard, default=None), self._end_ns)
        else:
            gaps = operation.follow()
        return was_judged and operation.is_judged, [self._recorder.gap(gap) for gap in gaps]
