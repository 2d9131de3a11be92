"""An accelerometer as Linux shows one: a tree of files in place of sysfs, and a FIFO in place of its node.

Needs neither root nor mounts. What the kernel would write into the buffer, the test writes.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

AXES: Final = {"accel_x": "le:s16/16>>0", "accel_y": "le:s16/16>>0", "accel_z": "le:s16/16>>0"}
SCALE: Final = 0.01


@dataclass
class IioTree:
    """`sysfs` and `dev` are what a source's settings name."""

    folder: Path
    number: int = 0
    name: str = "adxl345"
    axes: Mapping[str, str] = field(default_factory=lambda: AXES)
    rate_hz: str = "400.000000"
    rates: str | None = "100 200 400 800"
    has_timestamp: bool = True

    def __post_init__(self) -> None:
        self.sysfs, self.dev = self.folder / "sysfs", self.folder / "dev"
        self.device = self.sysfs / f"iio:device{self.number}"
        self.node = self.dev / self.device.name
        self._feed: int | None = None
        self.plug_in()

    def plug_in(self) -> None:
        for place in ("scan_elements", "buffer", "trigger"):
            (self.device / place).mkdir(parents=True, exist_ok=True)
        self.dev.mkdir(exist_ok=True)
        self.put(name=self.name, sampling_frequency=self.rate_hz, in_accel_scale=str(SCALE))
        if self.rates is not None:
            self.put(sampling_frequency_available=self.rates)
        elements = {**self.axes, **({"timestamp": "le:s64/64>>0"} if self.has_timestamp else {})}
        for index, (name, kind) in enumerate(elements.items()):
            self.put(**{f"scan_elements/in_{name}_{what}": text for what, text in
                        (("en", "0"), ("index", str(index)), ("type", kind))})  # fmt: skip
        self.put(
            **{"buffer/enable": "0", "buffer/length": "2", "buffer/watermark": "1", "trigger/current_trigger": "t0"}
        )
        os.mkfifo(self.node)
        self._feed = os.open(self.node, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self._feed, fcntl.F_SETPIPE_SZ, 1 << 20)

    def put(self, **files: str) -> None:
        for name, text in files.items():
            (self.device / name).write_text(text + "\n", encoding="ascii")

    def get(self, name: str) -> str:
        return (self.device / name).read_text(encoding="ascii").strip()

    def write(self, data: bytes) -> None:
        """What the kernel puts into the buffer."""
        assert self._feed is not None
        while data:
            data = data[os.write(self._feed, data) :]

    def write_scans(self, xyz: Sequence[Sequence[int]], timestamps_ns: Sequence[int]) -> None:
        """Scans of all three axes of AXES, with their time when the device has it."""
        stamps = timestamps_ns if self.has_timestamp else [0] * len(xyz)
        kind = struct.Struct("<3h2xq" if self.has_timestamp else "<3h")
        rows = (kind.pack(*scan, at) if self.has_timestamp else kind.pack(*scan)
                for scan, at in zip(xyz, stamps, strict=True))  # fmt: skip
        self.write(b"".join(rows))

    @property
    def unread(self) -> int:
        """Bytes that nobody has read yet."""
        assert self._feed is not None
        return struct.unpack("i", fcntl.ioctl(self._feed, termios.FIONREAD, b"\0" * 4))[0]

    def unplug(self) -> None:
        """The node ends, and the device is gone from sysfs."""
        self.close()
        self.node.unlink()
        self.device.rename(self.folder / "gone")

    def close(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            os.close(feed)
