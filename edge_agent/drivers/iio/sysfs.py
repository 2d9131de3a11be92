"""An IIO device as sysfs shows it: found, described, and its buffer switched on and off.

Constraints
- What is written: the enable flags of scan elements, the buffer's length, watermark and switch, and the device's
  sampling frequency. Nothing else of the device, no trigger, no register.
- What the kernel answers is translated here, in words and with what to do.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Final

from edge_agent.drivers.iio.scan_format import FormatError, ScanElement, parse_type
from edge_agent.errors import DeviceRejectedError, DriverError, TransientDriverError

_FOLDER: Final = re.compile(r"iio:device(\d+)")
_ACCESS: Final = "let this user write the device's buffer and rate: docs/COMMISSIONING.md, accelerometers of the kernel"
_RATE_TOLERANCE: Final = 1e-3  # "400.000000" and "1599.99"


@dataclass(frozen=True, slots=True)
class IioDevice:
    """`folder` is in sysfs, `node` what is read."""

    folder: Path
    node: Path
    name: str
    label: str

    @property
    def number(self) -> int:
        """Return N of iio:deviceN."""
        found = _FOLDER.fullmatch(self.folder.name)
        return int(found[1]) if found else -1

    @property
    def words(self) -> str:
        """Return its name and folder."""
        return f"{self.label or self.name} ({self.folder.name})"

    def read(self, *attributes: str) -> str | None:
        """Return the first of these files that there is, stripped; None when there is none."""
        for attribute in attributes:
            with suppress(OSError, UnicodeDecodeError):
                return (self.folder / attribute).read_text(encoding="utf-8").strip()
        return None

    def has(self, attribute: str) -> bool:
        """Return whether there is such a file."""
        return (self.folder / attribute).exists()

    def write(self, attribute: str, value: str, where: str) -> None:
        """Write a file. Raises DriverError in words."""
        try:
            descriptor = os.open(self.folder / attribute, os.O_WRONLY | os.O_TRUNC)
            try:
                os.write(descriptor, value.encode())
            finally:
                os.close(descriptor)
        except OSError as exc:
            raise refused(exc, f"{where}: {attribute} does not take {value}") from exc

    @property
    def scan_folder(self) -> str:
        """Return where the elements are: kernels of today have both."""
        return "scan_elements" if self.has("scan_elements") else "buffer0"

    @property
    def buffer_folder(self) -> str:
        """Return where the buffer's switch is."""
        return "buffer" if self.has("buffer") else "buffer0"

    def elements(self) -> list[ScanElement]:
        """Return what can be in a scan, in its order; elements of a type that nobody knows are left out."""
        found = []
        for name, index, kind in self._described_elements():
            with suppress(FormatError, ValueError):
                found.append(ScanElement(name, int(index), parse_type(kind)))
        return sorted(found, key=lambda element: element.index)

    def unreadable_elements(self) -> list[str]:
        """Return the elements that `elements` leaves out, each with the type that nobody knows."""
        known = {element.name for element in self.elements()}
        return [f"{name} ({kind or 'no type'})" for name, _, kind in self._described_elements() if name not in known]

    def _described_elements(self) -> list[tuple[str, str, str]]:
        """Return name, index and type of each element as the kernel says them."""
        names = [
            file.name.removeprefix("in_").removesuffix("_en")
            for file in sorted((self.folder / self.scan_folder).glob("in_*_en"))
        ]
        folder = self.scan_folder
        return [
            (name, self.read(f"{folder}/in_{name}_index") or "", self.read(f"{folder}/in_{name}_type") or "")
            for name in names
        ]

    def number_of(self, element: str, what: str) -> float | None:
        """Return an element's `scale` or `offset`, or what all of its kind share; None when there is no such number."""
        text = self.read(f"in_{element}_{what}", f"in_{element.split('_')[0]}_{what}")
        with suppress(ValueError):
            value = float("" if text is None else text)
            return value if isfinite(value) else None
        return None


def refused(exc: OSError, what: str) -> DriverError:
    """Return the kernel's refusal as an error of the driver."""
    why = os.strerror(exc.errno).lower() if exc.errno else str(exc)
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DeviceRejectedError(f"{what}: {why}", hint=_ACCESS)
    if exc.errno == errno.EBUSY:
        return TransientDriverError(f"{what}: another program uses the device", hint="stop that program")
    if exc.errno in (errno.EINVAL, errno.ERANGE, errno.EOPNOTSUPP):
        return DeviceRejectedError(
            f"{what}: {why}", hint="look at what it offers: edge-agent probe accelerometer --iio"
        )
    return TransientDriverError(f"{what}: {why}", hint="look at its wiring, and at the kernel's log (dmesg)")


def find_devices(sysfs_dir: Path, dev_dir: Path) -> list[IioDevice]:
    """Return the IIO devices there are that measure acceleration, by number."""
    found = []
    with suppress(OSError):
        for folder in sysfs_dir.iterdir():
            if _FOLDER.fullmatch(folder.name) and any(folder.glob("in_accel*")):
                device = IioDevice(folder, dev_dir / folder.name, "", "")
                name, label = device.read("name") or folder.name, device.read("label") or ""
                found.append(IioDevice(folder, device.node, name, label))
    return sorted(found, key=lambda device: device.number)


def choose(devices: Sequence[IioDevice], wanted: str | int | None, *, where: str) -> IioDevice:
    """Return the device that is meant. Raises TransientDriverError (absent), DeviceRejectedError (several)."""
    matches = list(devices) if wanted is None else _meant(devices, wanted)
    there = ", ".join(device.words for device in devices) or "none"
    if not matches:
        raise TransientDriverError(
            f"{where} is not there (accelerometers: {there})",
            hint="is it wired, and its driver loaded? the kernel's log (dmesg) says so",
        )
    if len(matches) > 1:
        raise DeviceRejectedError(
            f"{where}: several fit ({there})", hint='name one by its folder: device = "iio:device0"'
        )
    return matches[0]


def _meant(devices: Sequence[IioDevice], wanted: str | int) -> list[IioDevice]:
    exact = [each for each in devices if wanted in (each.number, each.folder.name, each.name, each.label)]
    if exact or isinstance(wanted, int):
        return exact
    return [each for each in devices if wanted.casefold() in f"{each.name} {each.label}".casefold()]


def triggers(sysfs_dir: Path) -> list[str]:
    """Return the names of the triggers there are."""
    names = []
    for file in sorted(sysfs_dir.glob("trigger*/name")):
        with suppress(OSError):
            names.append(file.read_text(encoding="utf-8").strip())
    return names


@dataclass(frozen=True, slots=True)
class Rates:
    """`attribute` is the file, None when the device has none; `offered` are those it lists, `span` a range it says."""

    attribute: str | None
    current_hz: float | None
    offered: tuple[float, ...] = ()
    span: tuple[float, float] | None = None

    @property
    def words(self) -> str:
        """Return what it offers."""
        if self.span is not None:
            return f"{self.span[0]:g} to {self.span[1]:g} Hz"
        return f"{', '.join(f'{rate:g}' for rate in self.offered)} Hz" if self.offered else "no list of rates"

    def has(self, rate_hz: float) -> bool:
        """Return whether the device says that it does this rate; one that lists none is asked by writing."""
        if self.span is not None:
            return self.span[0] <= rate_hz <= self.span[1]
        return not self.offered or any(same_rate(rate, rate_hz) for rate in self.offered)


def same_rate(one_hz: float, other_hz: float) -> bool:
    """Return whether two texts of the kernel mean one rate."""
    return abs(one_hz - other_hz) <= _RATE_TOLERANCE * other_hz


def rates_of(device: IioDevice) -> Rates:
    """Return how fast it samples, and how fast it could."""
    for attribute in ("sampling_frequency", "in_accel_sampling_frequency", "in_accel_x_sampling_frequency"):
        if (text := device.read(attribute)) is not None:
            offered = device.read(f"{attribute}_available") or ""
            return _rates(attribute, text, offered)
    return Rates(None, None)


def _rates(attribute: str, text: str, offered: str) -> Rates:
    numbers = [float(each) for each in re.findall(r"\d+(?:\.\d+)?", offered)]
    try:
        current = float(text.split()[0])
    except (ValueError, IndexError):
        current = None
    if offered.startswith("[") and len(numbers) == 3:  # [lowest step highest]
        return Rates(attribute, current, span=(numbers[0], numbers[2]))
    return Rates(attribute, current, tuple(numbers))
