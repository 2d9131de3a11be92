"""A sound device used as a microphone, in digital full scale unless the channel's scale makes it a pressure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from edge_agent.core.clock import Clock
from edge_agent.drivers.base import Item
from edge_agent.drivers.report import SourceReport
from edge_agent.drivers.sound.settings import MicrophoneSettings
from edge_agent.drivers.sound.sound_card import SoundCard
from edge_agent.drivers.waveform.block_sequence import BlockSequence

FULL_SCALE: Final = "FS"
_SILENT_AFTER_S: Final = 3.0  # no samples at all; digital silence is samples


class MicrophoneDriver:
    def __init__(self, settings: MicrophoneSettings, clock: Clock) -> None:
        self.name = settings.name
        self._card = SoundCard(
            BlockSequence(settings.name, unit=FULL_SCALE, channels=settings.channels),
            clock,
            device=settings.device,
            sample_rate_hz=settings.sample_rate_hz,
            block_s=settings.block_s,
            silent_after_s=_SILENT_AFTER_S,
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
        """Return nothing beyond what is yielded."""
        return SourceReport()
