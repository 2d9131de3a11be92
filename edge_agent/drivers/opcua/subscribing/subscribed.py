"""Nodes of a server that are watched by subscription, and the publish requests that bring what changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from asyncua import Client, ua

from edge_agent.core.clock import Clock
from edge_agent.drivers.opcua.server_limits import ServerLimits
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.drivers.opcua.subscribing.notices import Ended, Lost, Notice
from edge_agent.drivers.opcua.subscribing.publishing import Publishing
from edge_agent.drivers.opcua.subscribing.subscription import Subscription
from edge_agent.drivers.opcua.subscribing.subscriptions import Subscriptions
from edge_agent.errors import DeviceRejectedError

_UNSUPPORTED = (ua.StatusCodes.BadServiceUnsupported, ua.StatusCodes.BadNotImplemented)

Hand = Callable[[Notice], Awaitable[None]]


class Subscribed:
    """Nodes watched by subscription. `hand` takes each notice, in order. Calls raise the library's errors."""

    def __init__(self, client: Client, settings: OpcUaSettings, limits: ServerLimits, clock: Clock, hand: Hand) -> None:
        self._settings = settings
        self._hand = hand
        self._subscriptions = Subscriptions(client, settings, limits, clock)
        self._publishing = self._new_publishing(client)
        self._client = client
        self._renewed_total = 0

    async def watch(self, node_ids: Mapping[int, Any]) -> dict[int, int]:
        """Watch these nodes, too, by handle; return those the server does not take, with its StatusCode.

        Raise DeviceRejectedError when the server has no subscriptions at all.
        """
        try:
            refused = await self._subscriptions.add(node_ids)
        except ua.UaStatusCodeError as exc:
            if exc.code not in _UNSUPPORTED:
                raise
            name, endpoint = self._settings.name, self._settings.endpoint
            raise DeviceRejectedError(
                f"{name}: {endpoint} has no subscriptions: {exc}", hint='set mode = "polling" for this source'
            ) from exc
        self._publishing.go_on(len(self._subscriptions.all))
        return refused

    async def run(self) -> None:
        """Hand over what the server brings, until the session ends or the task is cancelled."""
        await self._publishing.run()

    def silent_in_s(self) -> float:
        """Return in how many seconds nothing will have come for too long."""
        return self._subscriptions.silent_in_s()

    def silence(self, *, answers: bool) -> Notice:
        """Return what it means that nothing came for so long; `answers`: the server does, in the session."""
        reason = f"nothing came for {self._settings.silent_after_s:g} s, not even a keep-alive"
        return Ended(reason, self._subscriptions.silent()) if answers else Lost(f"{reason}, nor an answer")

    def gone(self, ended: Ended) -> list[Subscription]:
        """Return the subscriptions that ended; those that are none of ours any more are left out."""
        return [each for each in self._subscriptions.all if each.id in ended.ids]

    async def renew(self, gone: Sequence[Subscription]) -> dict[int, int]:
        """Make these subscriptions again; return the nodes that are not taken now, with the server's StatusCode."""
        self._publishing.pause()
        refused = await self._subscriptions.renew([each.id for each in gone])
        self._publishing.go_on(len(self._subscriptions.all))
        self._renewed_total += 1
        return refused

    @property
    def ids(self) -> list[int]:
        """Return the ids of the subscriptions."""
        return [each.id for each in self._subscriptions.all]

    async def catch_up(self) -> list[Notice]:
        """Return what was lost with a connection and the server has still: after the session was taken up again."""
        self._publishing = self._new_publishing(self._client)
        self._publishing.go_on(len(self._subscriptions.all))
        return await self._subscriptions.catch_up()

    def figures(self) -> dict[str, object]:
        """Return what the server made of what was asked: the slowest, the shortest."""
        every = self._subscriptions.all
        queues = [each.queue_size for each in every if each.queue_size is not None]
        return {
            "subscriptions": len(every),
            "publishing_interval_ms": max((each.publishing_interval_ms for each in every), default=None),
            "sampling_interval_ms": max((each.sampling_interval_ms for each in every), default=None),
            "queue_size": min(queues, default=None),
            "keep_alive_s": max((each.keep_alive_s for each in every), default=None),
            "subscriptions_renewed_total": self._renewed_total,
            "notifications_republished_total": self._subscriptions.republished_total,
        }

    def _new_publishing(self, client: Client) -> Publishing:
        where = (self._settings.name, self._settings.endpoint)
        return Publishing(client, where, take=self._take, none_left=self._none_left, lost=self._lost)

    async def _take(self, result: Any) -> bool:
        for notice in await self._subscriptions.take(result):
            await self._hand(notice)
        return bool(result.NotificationMessage.NotificationData)

    async def _none_left(self, reason: str) -> None:
        await self._hand(Ended(reason, frozenset(self.ids)))

    async def _lost(self, reason: str) -> None:
        await self._hand(Lost(reason, is_cut=True))
