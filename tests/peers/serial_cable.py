"""A serial cable between two pseudo terminals: records what the driver sends, and can go mute, lie or be unplugged."""

from __future__ import annotations

import asyncio
import os
import random
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_RANDOM = random.Random(12)


class SerialCable:
    """The driver opens `path`. At the far end is a program that opens `far_path`, or `device` in this process."""

    def __init__(self, path: Path, device: Callable[[bytes], None] | None = None) -> None:
        self.path = path
        self.far_path = ""
        self.device = device
        self.sent_by_client = bytearray()
        self.swallowed = asyncio.Event()
        self._is_mute = False
        self._distort: Callable[[bytes], bytes] | None = None
        self._near = self._far = -1
        self._open_ends: list[int] = []

    def plug_in(self) -> None:
        self._is_mute = False
        self._distort = None
        self.swallowed.clear()
        self._near, near_path = self._pty()
        self._far, self.far_path = self._pty()
        self.path.symlink_to(near_path)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._near, self._from_client)
        loop.add_reader(self._far, self._from_device)

    def unplug(self) -> None:
        """Take the driver's end away: its path is gone, and what was open ends."""
        loop = asyncio.get_running_loop()
        self.path.unlink(missing_ok=True)
        for end in (self._near, self._far):
            loop.remove_reader(end)
        while self._open_ends:
            with suppress(OSError):
                os.close(self._open_ends.pop())

    def mute(self) -> None:
        """Deliver nothing to the device any more."""
        self._is_mute = True

    def garble(self) -> None:
        """Put as many random bytes in place of whatever the device says from now on."""
        self._distort = lambda data: _RANDOM.randbytes(len(data))

    def halve(self) -> None:
        """Deliver the first half of whatever the device says at once from now on, and never the rest."""
        self._distort = lambda data: data[: len(data) // 2]

    def send_to_driver(self, data: bytes) -> None:
        """Send what the device says."""
        os.write(self._near, data if self._distort is None else self._distort(data))

    def _from_client(self) -> None:
        data = os.read(self._near, 4_096)
        self.sent_by_client += data
        if self._is_mute:
            self.swallowed.set()
        elif self.device is not None:
            self.device(data)
        else:
            os.write(self._far, data)

    def _from_device(self) -> None:
        self.send_to_driver(os.read(self._far, 4_096))

    def _pty(self) -> tuple[int, str]:
        """The end that the cable holds, and the path of the other, which stays open when a program closes it."""
        master, slave = os.openpty()
        tty.setraw(slave)
        self._open_ends += [slave, master]
        return master, os.ttyname(slave)
