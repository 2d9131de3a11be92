"""In place of a driver that cannot be used: the source is rejected, with the reason, and the others run."""

from __future__ import annotations

from collections.abc import AsyncIterator

from edge_agent.core.clock import Clock
from edge_agent.drivers.base import Item
from edge_agent.errors import DeviceRejectedError
from edge_agent.settings import UnusableSource


class UnusableDriver:
    """Reads nothing: whoever opens it is told why."""

    def __init__(self, settings: UnusableSource, clock: Clock) -> None:
        self.name = settings.name
        self._settings = settings

    async def open(self) -> None:
        """Raise DeviceRejectedError: a package has to change before this can be read."""
        raise DeviceRejectedError(self._settings.reason, hint=self._settings.hint)

    async def stream(self) -> AsyncIterator[Item]:
        """Yield nothing."""
        items: tuple[Item, ...] = ()
        for item in items:
            yield item

    async def close(self) -> None:
        """Nothing is held open."""
