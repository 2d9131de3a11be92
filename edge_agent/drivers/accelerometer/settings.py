"""The settings of an accelerometer."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from edge_agent.drivers.sound.settings import DEVICE_MEANING, CalibratedSettings, Device, SoundChannelSettings
from edge_agent.settings.sources import BLOCK_MEANING


class AccelerometerChannelSettings(SoundChannelSettings):
    """One channel of an accelerometer."""

    sensitivity_mv_per_g: float | None = Field(
        None, gt=0, description="sound_card: of the sensor, on its data sheet. Needs full_scale_v or scale_from."
    )

    @property
    def sensitivity_mv(self) -> float | None:
        """Return the sensitivity in mV per g, or None."""
        return self.sensitivity_mv_per_g


class AccelerometerSettings(CalibratedSettings):
    """An accelerometer: a sound-card class sensor, or a stream of framed samples over TCP or UDP."""

    driver: ClassVar[str] = "edge_agent.drivers.accelerometer.driver:AccelerometerDriver"

    type: Literal["accelerometer"] = Field(description="Says which kind of source this is.")
    channels: tuple[AccelerometerChannelSettings, ...] = Field(
        min_length=1, max_length=64, description="In the sensor's own order; a sound card's may have device_channel."
    )
    interface: Literal["sound_card", "tcp", "udp"] = Field(description="How the samples come in.")
    unit: Literal["g", "m/s2"] = Field("g", description="Unit of the samples after `scale`.")
    device: Device | None = Field(None, description=f"sound_card: {DEVICE_MEANING}")
    scale_from: Literal["settings", "device_name"] = Field(
        "settings",
        description="sound_card: what makes full scale the unit, before `scale`. device_name: the sensitivity that"
        " 333D01, 485B39 and the like carry in their name; of a conditioner with sensitivity_mv_per_g.",
    )
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

    @model_validator(mode="after")
    def _calibration_fits(self) -> AccelerometerSettings:
        has_sensitivity = any(channel.sensitivity_mv for channel in self.channels)
        if self.interface != "sound_card":
            if has_sensitivity or self.scale_from != "settings" or any(c.device_channel for c in self.channels):
                raise ValueError("sensitivity_mv_per_g, scale_from and device_channel are for sound cards: use scale")
        elif has_sensitivity and self.scale_from == "settings" and self.full_scale_v is None:
            raise ValueError("sensitivity_mv_per_g needs full_scale_v: the volts of the largest sample")
        elif self.scale_from == "device_name" and self.full_scale_v is not None:
            raise ValueError('full_scale_v and scale_from = "device_name" both say what full scale is; keep one')
        return self

    @property
    def signal_unit(self) -> str:
        """Return the unit of the samples after `scale`."""
        return self.unit
