"""A device's buffer, on: the rate set, the wanted axes enabled, the node open. Blocking; see `detached`.

Constraints
- The node is opened first: while another program reads it, nothing is changed.
- A buffer that is on already was left on by a program that died, since only its reader switches it off.
- What fails half-way is switched off again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from edge_agent.drivers.iio.scan_format import ScanElement, ScanLayout
from edge_agent.drivers.iio.settings import IioSettings
from edge_agent.drivers.iio.sysfs import IioDevice, choose, find_devices, rates_of, refused, same_rate, triggers
from edge_agent.errors import DeviceRejectedError, DriverError

TIMESTAMP: Final = "timestamp"


@dataclass(frozen=True, slots=True)
class Axis:
    """One wanted axis: m/s2 = (raw + offset) * scale. `repeat` is which number of a repeated element."""

    element: str
    repeat: int
    scale: float
    offset: float


@dataclass(frozen=True, slots=True)
class OpenBuffer:
    """What is read from `descriptor` are scans of `layout`, without waiting."""

    device: IioDevice
    descriptor: int
    layout: ScanLayout
    axes: tuple[Axis, ...]
    has_timestamps: bool

    def close(self) -> None:
        """Switch the buffer off and close the node, whatever the device answers."""
        with suppress(DriverError):
            self.device.write(f"{self.device.buffer_folder}/enable", "0", "")
        with suppress(OSError):
            os.close(self.descriptor)


def open_buffer(settings: IioSettings) -> OpenBuffer:
    """Find the device and switch its buffer on. Raises DriverError."""
    which = "(the only one)" if settings.device is None else repr(settings.device)
    where = f"{settings.name}: IIO device {which}"
    device = choose(find_devices(settings.sysfs_dir, settings.dev_dir), settings.device, where=where)
    elements = device.elements()
    axes = _axes(device, elements, settings, where)
    try:
        descriptor = os.open(device.node, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as exc:
        raise refused(exc, f"{where}: {device.node} cannot be opened") from exc
    try:
        enabled = _configured(device, elements, axes, settings, where)
        _switch_on(device, settings, where)
    except DriverError:
        os.close(descriptor)
        raise
    return OpenBuffer(device, descriptor, ScanLayout(enabled), axes, any(e.name == TIMESTAMP for e in enabled))


def _axes(device: IioDevice, elements: Sequence[ScanElement], settings: IioSettings, where: str) -> tuple[Axis, ...]:
    offered = [name for element in elements if element.name.startswith("accel") for name in element.channels]
    if not offered:
        raise DeviceRejectedError(
            f"{where}: {device.words} has no buffer, so it gives no waveform", hint="another driver of the kernel may"
        )
    wanted = [channel.device_channel for channel in settings.channels]
    names = [name for name in wanted if name is not None] or offered[: len(wanted)]
    missing = [name for name in names if name not in offered]
    if missing or len(names) < len(wanted):
        asked = ", ".join(missing) or f"{len(wanted)} channels"
        unreadable = ", ".join(device.unreadable_elements())
        raise DeviceRejectedError(
            f"{where}: {device.words} has no {asked}; it has {', '.join(offered)}"
            + (f"; of a type that cannot be read: {unreadable}" if unreadable else ""),
            hint="the driver in the kernel is at fault" if unreadable else "correct device_channel",
        )
    return tuple(_axis(device, name, where) for name in names)


def _axis(device: IioDevice, name: str, where: str) -> Axis:
    element, _, repeat = name.partition("[")
    scale = device.number_of(element, "scale")
    if not scale:
        raise DeviceRejectedError(
            f"{where}: {device.words} does not say the scale of {element}", hint="its driver in the kernel is at fault"
        )
    return Axis(element, int(repeat.rstrip("]") or 0), scale, device.number_of(element, "offset") or 0.0)


def _configured(
    device: IioDevice, elements: Sequence[ScanElement], axes: Sequence[Axis], settings: IioSettings, where: str
) -> list[ScanElement]:
    """Switch off what a dead program left on, set the rate, choose the elements; return those that are enabled."""
    switch = f"{device.buffer_folder}/enable"
    if device.read(switch) not in (None, "0"):
        device.write(switch, "0", where)
    _set_rate(device, settings.sample_rate_hz, where)
    wanted = {axis.element for axis in axes} | {TIMESTAMP}
    known = {element.name for element in elements}
    for file in sorted((device.folder / device.scan_folder).glob("in_*_en")):
        name = file.name.removeprefix("in_").removesuffix("_en")
        state = "1" if name in wanted & known else "0"
        if device.read(f"{device.scan_folder}/{file.name}") != state:
            device.write(f"{device.scan_folder}/{file.name}", state, where)
    return [element for element in elements if element.name in wanted]


def _set_rate(device: IioDevice, rate_hz: float, where: str) -> None:
    rates = rates_of(device)
    if rates.attribute is None or (rates.current_hz is not None and same_rate(rates.current_hz, rate_hz)):
        return
    if not rates.has(rate_hz):
        raise DeviceRejectedError(
            f"{where}: {device.words} does not sample at {rate_hz:g} Hz; it does {rates.words}",
            hint="configure a rate that it has",
        )
    device.write(rates.attribute, f"{rate_hz:g}", where)
    taken = rates_of(device).current_hz
    if taken is None or not same_rate(taken, rate_hz):
        raise DeviceRejectedError(
            f"{where}: {rate_hz:g} Hz were asked of {device.words}, it samples at {taken} Hz",
            hint="configure a rate that it has",
        )


def _switch_on(device: IioDevice, settings: IioSettings, where: str) -> None:
    folder = device.buffer_folder
    length = max(2, round(settings.buffer_s * settings.sample_rate_hz))
    watermark = max(1, min(length // 2, round(settings.block_s * settings.sample_rate_hz)))
    for attribute, value in (("length", length), ("watermark", watermark)):
        if device.has(f"{folder}/{attribute}"):
            with suppress(DeviceRejectedError):  # a buffer in hardware has the size it has
                device.write(f"{folder}/{attribute}", str(value), where)
    try:
        device.write(f"{folder}/enable", "1", where)
    except DriverError as exc:
        with suppress(DriverError):
            device.write(f"{folder}/enable", "0", where)
        raise _needs_trigger(device, settings, where) or exc from exc


def _needs_trigger(device: IioDevice, settings: IioSettings, where: str) -> DriverError | None:
    """Return that nothing tells the device when to sample, when that is so."""
    if device.read("trigger/current_trigger") != "":
        return None
    names = triggers(settings.sysfs_dir)
    file = device.folder / "trigger/current_trigger"
    return DeviceRejectedError(
        f"{where}: {device.words} needs a trigger and has none (triggers: {', '.join(names) or 'none'})",
        hint=f"as root: echo {names[0] if names else 'NAME'} > {file}; a timer is made by modprobe iio-trig-hrtimer",
    )
