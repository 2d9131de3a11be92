"""A sound device used as a microphone: in digital full scale, or in pascals when the capsule's sensitivity is given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from edge_agent.core.clock import Clock
from edge_agent.drivers.base import Item
from edge_agent.drivers.report import SourceReport
from edge_agent.drivers.sound.calibration import CalibrationRule
from edge_agent.drivers.sound.settings import MicrophoneSettings
from edge_agent.drivers.sound.sound_card import SoundCard
from edge_agent.drivers.waveform.block_sequence import BlockSequence

FULL_SCALE: Final = "FS"
PASCAL: Final = "Pa"


class MicrophoneDriver:
    def __init__(self, settings: MicrophoneSettings, clock: Clock) -> None:
        self.name = settings.name
        self._settings = settings
        is_pressure = all(channel.sensitivity_mv is not None for channel in settings.channels)
        self._card = SoundCard(
            BlockSequence(settings.name, unit=PASCAL if is_pressure else FULL_SCALE, channels=settings.channels),
            clock,
            device=settings.device,
            sample_rate_hz=settings.sample_rate_hz,
            block_s=settings.block_s,
            silent_after_s=settings.silent_after_s,
            calibration=CalibrationRule(settings.channels, PASCAL, settings.full_scale_v),
        )

    async def open(self) -> None:
        """Open the sound device. Raise DriverError."""
        await self._card.open()

    async def stream(self) -> AsyncIterator[Item]:
        """Yield blocks until the device is lost (TransientDriverError)."""
        async for block in self._card.stream():
            yield block

    async def close(self) -> None:
        """Close the device, within a bound."""
        await self._card.close()

    def report(self) -> SourceReport:
        """Return the device, its calibration, and its true rate."""
        return self._card.report(self._settings)
