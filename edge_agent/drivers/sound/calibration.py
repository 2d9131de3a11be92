"""How samples of full scale [-1, 1] become a unit: by what the settings say, or the device's own name. Pure.

Constraints
- A channel's `scale` always multiplies; it is 1 unless somebody set it.
- The name is asked only when the settings say so (`scale_from = "device_name"`), and what is used is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_agent.drivers.sound.named_calibration import NamedCalibration, read_name
from edge_agent.errors import DeviceRejectedError
from edge_agent.recordings.units import STANDARD_GRAVITY


class CalibratedChannel(Protocol):
    """What a channel's settings say."""

    @property
    def point(self) -> str: ...
    @property
    def scale(self) -> float: ...
    @property
    def device_channel(self) -> int | None: ...
    @property
    def sensitivity_mv(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Calibration:
    """`factors` turn full scale into the unit, channel by channel; `origin` is where each comes from, in words."""

    factors: tuple[float, ...]
    origin: tuple[str, ...]
    named: NamedCalibration | None = None


@dataclass(frozen=True, slots=True)
class CalibrationRule:
    """What the settings of a source say of its calibration."""

    channels: Sequence[CalibratedChannel]
    unit: str
    full_scale_v: float | None
    uses_name: bool = False

    def of_device(self, name: str, *, where: str) -> Calibration:
        """Return the calibration with this device. Raises DeviceRejectedError when its name lacks what is needed."""
        named = read_name(name)
        if self.uses_name and named is None:
            raise DeviceRejectedError(
                f"{where}: its name says no sensitivity in a known form: {name!r}",
                hint='set sensitivity_mv_per_g and full_scale_v, and scale_from = "settings"',
            )
        each = [self._of_channel(number, named, where) for number in range(len(self.channels))]
        return Calibration(tuple(factor for factor, _ in each), tuple(origin for _, origin in each), named)

    def _of_channel(self, index: int, named: NamedCalibration | None, where: str) -> tuple[float, str]:
        channel = self.channels[index]
        if not self.uses_name or named is None:
            if channel.sensitivity_mv is None or self.full_scale_v is None:
                return 1.0, "scale"
            volts, origin = self.full_scale_v, "settings"
        else:
            number = channel.device_channel or index + 1
            if number > len(named.full_scale):
                raise DeviceRejectedError(
                    f"{where}: the name says nothing of device_channel {number}", hint="it has two channels"
                )
            volts, origin = named.full_scale[number - 1], "device_name"
            if not named.is_voltage:  # an accelerometer: its full scale is in m/s2 already
                return volts / (STANDARD_GRAVITY if self.unit == "g" else 1.0), origin
        if channel.sensitivity_mv is None:
            raise DeviceRejectedError(
                f"{where}: it is a conditioner, so its name says volts",
                hint=f"set sensitivity_mv_per_g of {channel.point}: it is on the sensor's sheet",
            )
        per_unit = STANDARD_GRAVITY if self.unit == "m/s2" else 1.0
        return volts * 1000.0 / channel.sensitivity_mv * per_unit, origin
