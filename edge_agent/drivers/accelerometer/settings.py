"""The settings of an accelerometer."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from edge_agent.settings.sources import BLOCK_MEANING, WaveformSettings


class AccelerometerSettings(WaveformSettings):
    """An accelerometer: a sound-card class sensor, or a stream of framed samples over TCP or UDP."""

    driver: ClassVar[str] = "edge_agent.drivers.accelerometer.driver:AccelerometerDriver"

    type: Literal["accelerometer"] = Field(description="Says which kind of source this is.")
    interface: Literal["sound_card", "tcp", "udp"] = Field(description="How the samples come in.")
    unit: Literal["g", "m/s2"] = Field("g", description="Unit of the samples after `scale`.")
    device: str | None = Field(None, description="sound_card: part of the device's name.")
    host: str = Field("127.0.0.1", description="tcp: who serves the stream. udp: the local address to listen on.")
    port: int | None = Field(None, ge=1, le=65_535, description="tcp and udp.")
    sample_rate_hz: int = Field(ge=100, le=384_000, description="A stream that says another rate is refused.")
    block_s: float = Field(0.1, ge=0.005, le=5, description=BLOCK_MEANING)
    silent_after_s: float = Field(3.0, gt=0, description="No samples for this long: the sensor is lost.")

    @model_validator(mode="after")
    def _stream_has_a_port(self) -> AccelerometerSettings:
        if self.interface != "sound_card" and self.port is None:
            raise ValueError(f'interface = "{self.interface}" needs a port')
        return self

    @property
    def signal_unit(self) -> str:
        """Return the unit of the samples after `scale`."""
        return self.unit
