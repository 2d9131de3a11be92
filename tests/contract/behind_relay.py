"""The bench of a device behind a relay, which takes it away, mutes it and lies in its name."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.drivers.base import Driver
from tests.peers.relay import Relay


class BehindRelay:
    """`driver_at` makes a driver that finds the device at a port of this machine: the relay's."""

    def __init__(self, relay: Relay, driver_at: Callable[[int], Driver]) -> None:
        self.relay = relay
        self._driver_at = driver_at

    @property
    def where(self) -> str:
        return f"127.0.0.1:{self.relay.port}"

    def driver(self) -> Driver:
        return self._driver_at(self.relay.port)

    async def vanish(self) -> None:
        await self.relay.vanish()

    async def come_back(self) -> None:
        await self.relay.start()

    def mute(self) -> None:
        self.relay.mute()

    def garble(self) -> None:
        self.relay.garble()

    def halve(self) -> None:
        self.relay.halve()

    async def until_read_is_pending(self) -> None:
        """A new connection has greeted; one that is there has asked for something."""
        await self.relay.swallowed.wait()
