"""The settings of sound devices: a microphone, and what it shares with accelerometers of the sound class."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from edge_agent.settings.sources import BLOCK_MEANING, ChannelSettings, WaveformSettings


def _name_or_number(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if is_number or (isinstance(value, str) and value.strip()):
        return value
    raise ValueError("must be a name in quotes, or a whole number from 0 on")


Device = Annotated[int | str, BeforeValidator(_name_or_number)]
DEVICE_MEANING = (
    "The device's name or a part of it. A number is taken as well: it is asked once, then the device is known by its"
    " name. None is the default of the moment when the agent starts, and stays that device."
)


def check_device_channels(given: Sequence[int | str | None]) -> None:
    """Raise ValueError unless every channel has a device_channel of its own, or none has one."""
    if any(given) and not all(given):
        raise ValueError("give device_channel for every channel, or for none")
    if any(given) and len(set(given)) < len(given):
        raise ValueError("two channels have the same device_channel")


class SoundChannelSettings(ChannelSettings):
    """One channel of a sound device."""

    device_channel: int | None = Field(
        None, ge=1, le=256, description="Which of the device's channels, from 1; none: in the order of this list."
    )


class MicrophoneChannelSettings(SoundChannelSettings):
    """One channel of a microphone."""

    sensitivity_mv_per_pa: float | None = Field(
        None, gt=0, description="Of the capsule, on its data sheet: samples become pascals. Needs full_scale_v."
    )

    @property
    def sensitivity_mv(self) -> float | None:
        """Return the sensitivity in mV per unit, or None."""
        return self.sensitivity_mv_per_pa


class CalibratedSettings(WaveformSettings):
    """What says how a measuring chain is calibrated."""

    full_scale_v: float | None = Field(
        None,
        gt=0,
        description="Volts at the input that make the largest sample, 1.0: on its data sheet (peak, not RMS).",
    )
    calibration_date: date | None = Field(None, description="When the chain was calibrated; for the record.")
    calibration_due: date | None = Field(None, description="From this day on `status` says that it is due.")

    @model_validator(mode="after")
    def _device_channels_differ(self) -> CalibratedSettings:
        check_device_channels([getattr(channel, "device_channel", None) for channel in self.channels])
        return self


class MicrophoneSettings(CalibratedSettings):
    """A sound device used as a microphone. Only features leave the box."""

    driver: ClassVar[str] = "edge_agent.drivers.sound.microphone:MicrophoneDriver"

    type: Literal["microphone"] = Field(description="Says which kind of source this is.")
    channels: tuple[MicrophoneChannelSettings, ...] = Field(
        min_length=1, max_length=64, description="What is recorded; in the device's own order without device_channel."
    )
    device: Device | None = Field(None, description=DEVICE_MEANING)
    sample_rate_hz: int = Field(16_000, ge=1_000, le=384_000, description="Must be the rate the model was trained at.")
    block_s: float = Field(0.1, ge=0.005, le=5, description=BLOCK_MEANING)
    silent_after_s: float = Field(
        3.0, gt=0, le=3_600, description="No samples at all for this long: the device is lost. Silence is samples."
    )

    @model_validator(mode="after")
    def _sensitivity_has_its_volts(self) -> MicrophoneSettings:
        if self.full_scale_v is None and any(channel.sensitivity_mv for channel in self.channels):
            raise ValueError("sensitivity_mv_per_pa needs full_scale_v: the volts of the largest sample")
        return self

    @property
    def signal_unit(self) -> str:
        """Return the unit of the samples after `scale`; empty, since it is sound."""
        return ""

    @property
    def is_sound(self) -> bool:
        """Return that it is."""
        return True
