"""All subscriptions of one session: which nodes each watches, what they bring, which fell silent.

Constraints
- A server's limits are kept to: so many nodes in a subscription, so many subscriptions.
- A keep-alive confirms the nodes of its own subscription, and of those the ones the server took.
- A message that never came is asked for again (Republish) before it counts as missed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from typing import Any, Final

from asyncua import Client, ua

from edge_agent.core.clock import Clock
from edge_agent.drivers.opcua.decoding.values import code_in_words
from edge_agent.drivers.opcua.server_limits import CallSize, ServerLimits
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.drivers.opcua.subscribing.notices import Ended, Notice, Notification
from edge_agent.drivers.opcua.subscribing.subscription import (
    NO_PLACE,
    Subscription,
    create_subscription,
    end_of,
    monitor,
    values_of,
)

REPUBLISH_MOST: Final = 1_000  # of one hole or one lost connection: servers keep some dozens
SUBSCRIPTIONS_MOST: Final = 100  # a server that takes a few nodes in each would have us make thousands

_NO_MORE: Final = frozenset({ua.StatusCodes.BadTooManySubscriptions, ua.StatusCodes.BadOutOfMemory})


class Subscriptions:
    """The subscriptions of one session. Calls raise the library's errors."""

    def __init__(self, client: Client, settings: OpcUaSettings, limits: ServerLimits, clock: Clock) -> None:
        self.republished_total = 0
        self._client = client
        self._settings = settings
        self._limits = limits
        self._clock = clock
        self._size = CallSize(limits.items_per_call)
        self._by_id: dict[int, Subscription] = {}
        self._node_ids: dict[int, Any] = {}

    @property
    def all(self) -> tuple[Subscription, ...]:
        """Return them, in the order of their making."""
        return tuple(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    async def add(self, node_ids: Mapping[int, Any]) -> dict[int, int]:
        """Watch these nodes, by handle; return those the server does not take, with its StatusCode.

        There is a subscription afterwards, even when no node is taken: it shows that the server lives.
        """
        self._node_ids |= node_ids
        waiting, refused = dict(node_ids), dict[int, int]()
        subscription: Subscription | None = next(reversed(self._by_id.values()), None) or await self._create()
        while waiting and subscription is not None:
            part, waiting = self._split(waiting, subscription)
            is_full = bool(waiting) and not part
            answered = await monitor(self._client, subscription, self._settings, part, self._size)
            no_place = {handle: part[handle] for handle, code in answered.items() if code == NO_PLACE}
            refused |= {handle: code for handle, code in answered.items() if code != NO_PLACE}
            waiting = no_place | waiting
            if no_place and not subscription.handles and len(self) > 1:
                await self._end(subscription)
                break
            if no_place or is_full:
                subscription = await self._create_another()
        return refused | dict.fromkeys(waiting, NO_PLACE)

    async def renew(self, ids: Collection[int]) -> dict[int, int]:
        """Make these subscriptions again, with their nodes; return the nodes that are not taken now."""
        ended = [each for each in self.all if each.id in ids]
        for subscription in ended:
            await self._end(subscription)
        handles = sorted(handle for subscription in ended for handle in subscription.handles)
        return await self.add({handle: self._node_ids[handle] for handle in handles})

    async def take(self, result: Any) -> list[Notice]:
        """Return what a publish answer brings, after what it shows to be missing and the server still has."""
        subscription = self._by_id.get(result.SubscriptionId)
        if subscription is None:
            return []
        message = result.NotificationMessage
        found, n_missed = await self._missing_before(subscription, message.SequenceNumber)
        return [*found, self._notice(subscription, message, n_missed, confirms=not result.MoreNotifications)]

    async def catch_up(self) -> list[Notice]:
        """Return what was sent into a lost connection and the server still has, once the session is taken up again."""
        found: list[Notice] = []
        for subscription in self.all:
            number = subscription.sequence.expected or 1
            for each in range(number, number + REPUBLISH_MOST):
                message = await self._republished(subscription, each)
                if message is None:
                    break
                found.append(self._notice(subscription, message))
            subscription.heard_s = asyncio.get_running_loop().time()
        return found

    def silent_in_s(self) -> float:
        """Return in how many seconds one of them will have been silent for too long; 0 or less: it is now."""
        now_s = asyncio.get_running_loop().time()
        return min((self._due_s(each) - now_s for each in self._by_id.values()), default=self._settings.silent_after_s)

    def silent(self) -> frozenset[int]:
        """Return the ids of those that have been silent for too long."""
        now_s = asyncio.get_running_loop().time()
        return frozenset(each.id for each in self._by_id.values() if self._due_s(each) <= now_s)

    def _due_s(self, subscription: Subscription) -> float:
        """Return when it will have been silent for too long, on the event loop's clock."""
        # A server may insist on rarer keep-alives than we asked for; its silence is then longer.
        return subscription.heard_s + max(self._settings.silent_after_s, 2 * subscription.keep_alive_s)

    def _split(self, waiting: dict[int, Any], subscription: Subscription) -> tuple[dict[int, Any], dict[int, Any]]:
        """Return what goes into this subscription, and what does not."""
        most = self._limits.items_per_subscription or len(waiting) + len(subscription.handles)
        handles = list(waiting)
        n_free = max(0, most - len(subscription.handles))
        return {each: waiting[each] for each in handles[:n_free]}, {each: waiting[each] for each in handles[n_free:]}

    async def _create(self) -> Subscription:
        session_timeout_s = self._client.session_timeout / 1_000
        subscription = await create_subscription(self._client, self._settings, session_timeout_s, self._clock.now_ns())
        self._by_id[subscription.id] = subscription
        return subscription

    async def _create_another(self) -> Subscription | None:
        """Return one more subscription; None when the server has no place for one."""
        if len(self) >= min(self._limits.subscriptions_per_session or SUBSCRIPTIONS_MOST, SUBSCRIPTIONS_MOST):
            return None
        try:
            return await self._create()
        except ua.UaStatusCodeError as exc:
            if exc.code in _NO_MORE:
                return None
            raise

    async def _end(self, subscription: Subscription) -> None:
        del self._by_id[subscription.id]
        with contextlib.suppress(ua.UaStatusCodeError):  # it is gone already, or will be when its lifetime is over
            await self._client.uaclient.session.delete_subscriptions([subscription.id])

    async def _missing_before(self, subscription: Subscription, number: int) -> tuple[list[Notice], int]:
        """Return the notifications before this number that the server has still, and how many it has not."""
        found: list[Notice] = []
        missing = subscription.sequence.missing_before(number)
        for each in reversed(missing[-REPUBLISH_MOST:]):  # the newest first: a server forgets the oldest
            message = await self._republished(subscription, each)
            if message is None:
                break
            found.insert(0, self._notice(subscription, message))
        if missing:
            subscription.sequence.take(number - 1)
        return found, len(missing) - len(found)

    async def _republished(self, subscription: Subscription, number: int) -> Any:
        try:
            message = await self._client.uaclient.session.republish(subscription.id, number)
        except (ua.UaStatusCodeError, OSError):
            return None  # it is gone, or the server keeps none, or the connection goes: which is said elsewhere
        self.republished_total += 1
        return message

    def _notice(self, subscription: Subscription, message: Any, missed: int = 0, *, confirms: bool = False) -> Notice:
        code = end_of(message)
        if code is not None:
            return Ended(f"the server ended the subscription: {code_in_words(code)}", frozenset({subscription.id}))
        now_ns = self._clock.now_ns()
        values = values_of(message, len(self._settings.nodes))
        if message.NotificationData:
            subscription.sequence.take(message.SequenceNumber)
        since_ns = subscription.hear(now_ns)
        confirmed = subscription.confirmed_by(values) if confirms and not missed else frozenset()
        return Notification(now_ns, since_ns, values, confirmed, missed, message.PublishTime)
