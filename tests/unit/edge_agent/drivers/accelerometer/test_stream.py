"""Frames as blocks, from a link and a clock that we move."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing

import numpy as np
import pytest

from edge_agent.core.clock import FakeClock
from edge_agent.core.gaps import Gap
from edge_agent.drivers.accelerometer.protocol import Frame, FrameHeader, SampleFormat
from edge_agent.drivers.accelerometer.settings import AccelerometerSettings
from edge_agent.drivers.accelerometer.stream import FrameStream
from edge_agent.drivers.waveform.block_sequence import BlockSequence
from edge_agent.errors import TransientDriverError

RATE_HZ = 1000
SAMPLES = 100  # per frame: one block
SETTINGS = AccelerometerSettings.model_validate({
    "name": "pump", "asset": "pump-1", "type": "accelerometer", "interface": "tcp", "port": 9000,
    "sample_rate_hz": RATE_HZ, "channels": [{"point": "x"}],
})  # fmt: skip


class ScriptedLink:
    """Frames of these sequence numbers, each when the sensor would have sent it; then the link is lost."""

    def __init__(self, clock: FakeClock, sequences: list[int]) -> None:
        self._clock = clock
        self._sequences = sequences
        self._sent = -1

    async def open(self) -> None:
        pass

    async def receive(self) -> Frame:
        if not self._sequences:
            raise TransientDriverError("closed")
        sequence = self._sequences.pop(0)
        self._clock.advance((sequence - self._sent) * SAMPLES / RATE_HZ)
        self._sent = sequence
        header = FrameHeader(SampleFormat.FLOAT32, 1, SAMPLES, sequence, RATE_HZ, None)
        return Frame(header, np.zeros((1, SAMPLES), np.float32))

    async def close(self) -> None:
        pass

    def counts(self) -> Mapping[str, int]:
        return {}


async def collect(stream: FrameStream, gaps: list[Gap]) -> None:
    async with aclosing(stream.stream()) as blocks:
        async for block in blocks:
            gaps += [block.gap_before] if block.gap_before is not None else []


@pytest.mark.parametrize("missing", [1, 8])
async def test_frames_that_are_missing_are_counted_once_also_when_the_clock_shows_them_too(missing: int) -> None:
    clock = FakeClock()
    link = ScriptedLink(clock, [0, 1, 2, 3 + missing, 4 + missing])
    stream = FrameStream(
        BlockSequence("pump", unit="g", channels=SETTINGS.channels), clock, settings=SETTINGS, link=link
    )
    gaps: list[Gap] = []
    with pytest.raises(TransientDriverError):
        await collect(stream, gaps)
    assert [gap.count for gap in gaps] == [missing * SAMPLES]
    assert stream.report(SETTINGS).figures["missing_samples_total"] == missing * SAMPLES
