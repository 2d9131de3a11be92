"""The settings of an accelerometer that the kernel drives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from edge_agent.drivers.sound.settings import Device, check_device_channels
from edge_agent.settings.sources import BLOCK_MEANING, ChannelSettings, WaveformSettings


def _axis(name: str) -> str:
    if re.fullmatch(r"accel\w*(\[\d+\])?", name, re.ASCII) is None:
        raise ValueError("must be an axis of acceleration by the kernel's name, as accel_x")
    return name


Axis = Annotated[str, AfterValidator(_axis)]


class IioChannelSettings(ChannelSettings):
    """One axis of an accelerometer."""

    device_channel: Axis | None = Field(
        None,
        description="The kernel's name of the axis, as accel_x; none: in the device's own order.",
    )


class IioSettings(WaveformSettings):
    """An accelerometer on I2C or SPI that Linux drives (Industrial I/O: ADXL345, ADXL355, LIS3DH, IIS3DWB, ...)."""

    driver: ClassVar[str] = "edge_agent.drivers.iio.driver:IioDriver"

    type: Literal["iio"] = Field(description="Says which kind of source this is.")
    channels: tuple[IioChannelSettings, ...] = Field(
        min_length=1, max_length=16, description="Axes; in the device's own order without device_channel."
    )
    device: Device | None = Field(
        None, description='Name, label or folder: "adxl355", "iio:device0", 0. None: the only accelerometer there is.'
    )
    unit: Literal["g", "m/s2"] = Field("g", description="Unit of the samples after `scale`; the kernel's is m/s2.")
    sample_rate_hz: float = Field(
        gt=0, le=384_000, description="Must be the rate the model was trained at. Written to the device if it differs."
    )
    block_s: float = Field(0.1, ge=0.005, le=5, description=BLOCK_MEANING)
    buffer_s: float = Field(2.0, gt=0, le=60, description="What the kernel holds for a busy box, in seconds.")
    silent_after_s: float = Field(3.0, gt=0, le=3_600, description="No samples for this long: the sensor is lost.")
    sysfs_dir: Path = Field(Path("/sys/bus/iio/devices"), description="Elsewhere in a container, or for a test.")
    dev_dir: Path = Field(Path("/dev"), description="Where iio:device0 is read.")

    @model_validator(mode="after")
    def _axes_differ(self) -> IioSettings:
        check_device_channels([channel.device_channel for channel in self.channels])
        return self

    @property
    def signal_unit(self) -> str:
        """Return the unit of the samples after `scale`."""
        return self.unit
