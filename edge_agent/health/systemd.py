"""Telling systemd: READY, STATUS, WATCHDOG, STOPPING. A datagram each; nothing happens without systemd."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping

from cloud_sync.host.printable import printable


class SystemdNotifier:
    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        watchdog_usec = environment.get("WATCHDOG_USEC", "")
        self.watchdog_interval_s = int(watchdog_usec) / 1e6 / 2 if watchdog_usec.isdigit() else None

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={printable(status)}")

    def status(self, text: str) -> None:
        self._send(f"STATUS={printable(text)}")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    async def keep_alive(self) -> None:
        """Say it until cancelled; at once over without a watchdog.

        Alive means: this loop turns. A lost device or central is not a reason to be restarted.
        """
        while self.watchdog_interval_s is not None:
            self.alive()
            await asyncio.sleep(self.watchdog_interval_s)

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # A leading @ is an abstract socket.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
            try:
                link.sendto(message.encode(), address)
            except OSError:
                return  # systemd is gone or restarting; it will notice us by itself
