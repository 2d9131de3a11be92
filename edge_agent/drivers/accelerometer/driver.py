"""Accelerometers: a sound-card class sensor, or frames over TCP or UDP. The samples come out the same."""

from __future__ import annotations

from collections.abc import AsyncIterator

from edge_agent.core.clock import Clock
from edge_agent.drivers.accelerometer.link import FrameLink, TcpLink, UdpLink
from edge_agent.drivers.accelerometer.settings import AccelerometerSettings
from edge_agent.drivers.accelerometer.stream import FrameStream
from edge_agent.drivers.base import Item
from edge_agent.drivers.report import SourceReport
from edge_agent.drivers.sound.calibration import CalibrationRule
from edge_agent.drivers.sound.sound_card import SoundCard
from edge_agent.drivers.waveform.block_sequence import BlockSequence


class AccelerometerDriver:
    def __init__(self, settings: AccelerometerSettings, clock: Clock) -> None:
        self.name = settings.name
        self._settings = settings
        blocks = BlockSequence(settings.name, unit=settings.unit, channels=settings.channels)
        self._samples: SoundCard | FrameStream
        if settings.interface == "sound_card":
            self._samples = SoundCard(
                blocks,
                clock,
                device=settings.device,
                sample_rate_hz=settings.sample_rate_hz,
                block_s=settings.block_s,
                silent_after_s=settings.silent_after_s,
                calibration=CalibrationRule(
                    settings.channels,
                    settings.unit,
                    settings.full_scale_v,
                    uses_name=settings.scale_from == "device_name",
                ),
            )
        else:
            self._samples = FrameStream(blocks, clock, settings=settings, link=_link(settings))

    async def open(self) -> None:
        """Open the sound card or the link. Raise DriverError."""
        await self._samples.open()

    async def stream(self) -> AsyncIterator[Item]:
        """Yield blocks until the sensor is lost (TransientDriverError)."""
        async for block in self._samples.stream():
            yield block

    async def close(self) -> None:
        """Close the sound card or the link."""
        await self._samples.close()

    def report(self) -> SourceReport:
        """Return what it is, what was missing, and its true rate."""
        return self._samples.report(self._settings)


def _link(settings: AccelerometerSettings) -> FrameLink:
    port = settings.port or 0  # settings refuse a stream without a port
    where = f"{settings.name}: sensor at {settings.host}:{port} ({settings.interface})"
    kind = TcpLink if settings.interface == "tcp" else UdpLink
    return kind(where, host=settings.host, port=port, silent_after_s=settings.silent_after_s)
