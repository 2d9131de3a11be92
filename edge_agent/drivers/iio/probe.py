"""Which accelerometers the kernel drives, for a person who commissions one. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_agent.drivers.iio.sysfs import IioDevice, Rates, find_devices, rates_of


@dataclass(frozen=True, slots=True)
class Described:
    """`axes` as settings name them; `trigger` is None where the device has no such file, empty where none is set."""

    device: IioDevice
    axes: tuple[str, ...]
    rates: Rates
    trigger: str | None


def describe_devices(sysfs_dir: Path, dev_dir: Path) -> list[Described]:
    """Return the accelerometers there are, by number."""
    return [_described(device) for device in find_devices(sysfs_dir, dev_dir)]


def _described(device: IioDevice) -> Described:
    elements = [element for element in device.elements() if element.name.startswith("accel")]
    axes = tuple(name for element in elements for name in element.channels)
    return Described(device, axes, rates_of(device), device.read("trigger/current_trigger"))
