"""A sign of life while there is nothing to send, so that the central keeps this box's lease and can tell of a twin.

It is an empty batch: it changes nothing, and its answer comes from whoever would settle a full one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from cloud_sync import wire
from cloud_sync.errors import SyncError
from cloud_sync.presence import Presence
from cloud_sync.records import Batch
from cloud_sync.transports.base import Transport
from cloud_sync.uplink.state import LinkState

BATCH_ID: Final = "heartbeat"


class Heartbeat:
    """`run` until cancelled; `every_s` of 0 sends none."""

    def __init__(
        self,
        transport: Transport,
        presence: Presence,
        *,
        gateway_id: str,
        every_s: float,
        link: Callable[[], LinkState],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._transport = transport
        self._presence = presence
        self._body = wire.encode(Batch(gateway_id))
        self._every_s = every_s
        self._link = link
        self._sleep = sleep

    async def run(self) -> None:
        """Send one whenever nothing was sent for `every_s`, while the link is up; the uplink says what is wrong."""
        while self._every_s > 0:
            left_s = self._every_s - self._presence.idle_s
            await self._sleep(left_s if left_s > 0 else self._every_s)
            if self._is_due():
                await self._send()

    def _is_due(self) -> bool:
        is_up = self._link() in (LinkState.ONLINE, LinkState.REFUSES_ALL)
        return is_up and self._presence.idle_s >= self._every_s

    async def _send(self) -> None:
        try:
            await self._transport.send(self._body, batch_id=BATCH_ID)
        except SyncError:
            return  # the next batch meets the same, and is tried again by the uplink
