"""A formula in place of a sensor: sine, white noise, and decaying impulses as of a bearing fault.

The same settings give the same samples, sample for sample, however they are cut into blocks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.clock import Clock
from edge_agent.core.samples import Samples
from edge_agent.drivers.base import Item
from edge_agent.drivers.report import SourceReport
from edge_agent.drivers.synthetic.settings import SyntheticSettings
from edge_agent.drivers.waveform.block_sequence import BlockSequence
from edge_agent.drivers.waveform.pacing import Pacer

_RESONANCE_SHARE: Final = 0.15  # of the sampling rate: well inside the band, where bearing housings ring
_DECAY_PERIODS: Final = 4.0  # of the resonance, until an impulse has fallen to 1/e


class SyntheticSignal:
    """The samples themselves, from the first one on; no clock in it."""

    def __init__(self, settings: SyntheticSettings) -> None:
        self._settings = settings
        seeds = np.random.SeedSequence(settings.seed).spawn(len(settings.channels))
        self._noise = [np.random.default_rng(seed) for seed in seeds]
        self._count = 0

    def next(self, n_samples: int) -> Samples:
        """Return float32, shape (n_channels, n_samples): one tone, one impulse train, noise of its own per channel."""
        s = self._settings
        index = np.arange(self._count, self._count + n_samples, dtype=np.float64)
        self._count += n_samples
        tone = s.amplitude * np.sin(2 * np.pi * np.mod(index * (s.frequency_hz / s.sample_rate_hz), 1.0))
        noise = np.stack([source.standard_normal(n_samples) for source in self._noise])
        return (tone + _impulses(index, s) + s.noise * noise).astype(np.float32)


def _impulses(index: NDArray[np.float64], s: SyntheticSettings) -> NDArray[np.float64]:
    """Return A exp(-t/tau) sin(2 pi f t), with t the time since the last impulse; the first one is at sample 0."""
    if s.impulse_hz == 0:
        return np.zeros(index.shape)
    resonance_hz = _RESONANCE_SHARE * s.sample_rate_hz
    since_s = np.mod(index * (s.impulse_hz / s.sample_rate_hz), 1.0) / s.impulse_hz
    decay = np.exp(-since_s * (resonance_hz / _DECAY_PERIODS))
    return s.impulse_amplitude * decay * np.sin(2 * np.pi * resonance_hz * since_s)


class SyntheticDriver:
    """Delivers the signal in real time. Opened again, it begins again with the first sample."""

    def __init__(self, settings: SyntheticSettings, clock: Clock) -> None:
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        self._blocks = BlockSequence(settings.name, unit=settings.unit, channels=settings.channels)

    async def open(self) -> None:
        """Do nothing: there is nothing to acquire."""

    async def stream(self) -> AsyncIterator[Item]:
        """Yield the signal in real time, for ever."""
        self._blocks.begin_stream()
        rate_hz = float(self._settings.sample_rate_hz)
        step = max(1, round(rate_hz * self._settings.block_s))
        signal = SyntheticSignal(self._settings)
        pacer = Pacer(self._clock)
        start_ns = max(self._clock.now_ns(), self._blocks.last_end_ns or 0)
        sent = 0
        while True:
            await pacer.wait(step / rate_hz)
            samples = self._blocks.scaled(signal.next(step))
            yield self._blocks.block(samples, start_ns=start_ns + round(sent * 1e9 / rate_hz), sample_rate_hz=rate_hz)
            sent += step

    async def close(self) -> None:
        """Do nothing: nothing is held open."""

    def report(self) -> SourceReport:
        """Return nothing beyond what is yielded."""
        return SourceReport()
