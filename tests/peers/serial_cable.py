"""A serial cable between two pseudo terminals: records what goes which way, and can be cut, muted or unplugged.

The driver's end is `for_driver`; the device's is `for_device`, a path for a program, or a script in this process.
"""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import Callable
from contextlib import contextmanager, suppress


class SerialCable:
    """Two ends, each a path like /dev/pts/3. `device` answers in this process, in place of a program at the far end."""

    def __init__(self, device: Callable[[bytes], None] | None = None) -> None:
        self.sent_by_client = bytearray()
        self.swallowed = asyncio.Event()
        self._device = device
        self._is_mute = False
        self._near, self._near_end, self.for_driver = _pty()
        self._far, self._far_end, self.for_device = _pty()

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._near, self._from_client)
        loop.add_reader(self._far, self._from_device)

    def mute(self) -> None:
        """Deliver nothing to the device any more."""
        self._is_mute = True

    def send_to_driver(self, data: bytes) -> None:
        os.write(self._near, data)

    def unplug(self) -> None:
        """Take the driver's end away: its path is gone."""
        loop = asyncio.get_running_loop()
        for end in (self._near, self._far):
            loop.remove_reader(end)
        for end in (self._near_end, self._near, self._far_end, self._far):
            with suppress(OSError):
                os.close(end)

    def _from_client(self) -> None:
        data = os.read(self._near, 4_096)
        self.sent_by_client += data
        if self._is_mute:
            self.swallowed.set()
        elif self._device is not None:
            self._device(data)
        else:
            os.write(self._far, data)

    def _from_device(self) -> None:
        os.write(self._near, os.read(self._far, 4_096))


@contextmanager
def serial_cable(device: Callable[[bytes], None] | None = None):
    cable = SerialCable(device)
    cable.start()
    try:
        yield cable
    finally:
        cable.unplug()


def _pty() -> tuple[int, int, str]:
    """The end that a test holds, the other one (kept open, so that closing it elsewhere ends nothing), and its path."""
    master, slave = os.openpty()
    tty.setraw(slave)
    return master, slave, os.ttyname(slave)
