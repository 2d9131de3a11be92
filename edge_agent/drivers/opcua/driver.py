"""An OPC UA server as a source of scans: subscribed to, never written to, never called.

Constraints
- One owner of reconnect, and it is our supervisor: the library's own is off, and every `open` makes a new client.
- A connection that looks alive but delivers nothing, not even a keep-alive, is lost after `silent_after_s`.
- A node the server does not have costs that tag only; it is asked for again every `RETRY_REJECTED_S`.
- The library hands over through a bounded channel; what is dropped there is counted and yielded as a gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

from asyncua import Client

from edge_agent.core.cancellation import check_cancelled
from edge_agent.core.channel import Channel, ChannelStats, WhenFull
from edge_agent.core.clock import Clock
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.tags import KeepAlive, Scan
from edge_agent.drivers.base import Item
from edge_agent.drivers.opcua.addresses import resolve
from edge_agent.drivers.opcua.client import translated
from edge_agent.drivers.opcua.identity import Secured
from edge_agent.drivers.opcua.node_states import NodeStates
from edge_agent.drivers.opcua.session import connect, disconnect, new_client
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.drivers.opcua.subscriptions import Lost, Notification, Subscription, create_subscription, monitor
from edge_agent.drivers.opcua.values import Values
from edge_agent.drivers.report import SourceReport
from edge_agent.errors import TransientDriverError

HAND_OVER_CAPACITY: Final = 256  # notifications; over two minutes of them at the default publishing interval
RETRY_REJECTED_S: Final = 300.0  # a node may come back with a new server program: minutes, not seconds


class OpcUaDriver:
    """Subscribes to the configured nodes of one server; yields one Scan per notification, a KeepAlive per keep-alive.

    A node the server refuses is yielded as a Gap (DEVICE_REJECTED) naming it, once per finding. A value with
    a bad status, or that is no finite number, is a BAD reading.
    """

    def __init__(self, settings: OpcUaSettings, clock: Clock) -> None:
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        self._values = Values(settings, clock)
        self._states = NodeStates(settings, self._values, clock)
        self._client: Client | None = None
        self._secured = Secured()
        self._subscription: Subscription | None = None
        self._silent_after_s = settings.silent_after_s
        self._channel = self._new_channel()

    async def open(self) -> None:
        """Connect, subscribe and ask for the nodes. Raise TransientDriverError or DeviceRejectedError."""
        await self.close()
        self._channel = self._new_channel()
        self._client = client = new_client(self._settings, self._on_lost)
        is_open = False
        try:
            with translated(self.name, self._settings.endpoint):
                self._secured = await connect(client, self._settings, self._now())
                self._subscription = subscription = await create_subscription(client, self._settings, self._on_publish)
                # A server may insist on rarer keep-alives than we asked for; its silence is then longer.
                self._silent_after_s = max(self._settings.silent_after_s, 2 * subscription.keep_alive_s)
                check_cancelled()
                self._states.refused = await self._monitor(client, subscription, range(len(self._settings.nodes)))
            is_open = True
        finally:
            if not is_open:
                await self.close()

    async def stream(self) -> AsyncIterator[Item]:
        """Yield what the server sends. Raise TransientDriverError when it falls silent or ends the subscription."""
        for gap in self._states.refusal_gaps():
            yield gap
        if self._states.refused:
            yield Scan(self.name, self._states.refusal_readings())
        self._states.reset()
        retry_s = self._clock.monotonic_s() + RETRY_REJECTED_S
        dropped_total = self._channel.stats().dropped_total
        last_ns = self._clock.now_ns()
        while True:
            notice = await self._next_notice()
            if isinstance(notice, Lost):
                raise TransientDriverError(f"{self.name}: {self._settings.endpoint} is lost: {notice.reason}")
            newly_dropped = self._channel.stats().dropped_total - dropped_total
            if newly_dropped:
                dropped_total += newly_dropped
                yield self._drop_gap(newly_dropped, last_ns, notice.received_time_ns)
            if notice.missed:
                yield self._missed_gap(notice.missed, last_ns, notice.received_time_ns)
            for item in self._items(notice):
                yield item
            last_ns = notice.received_time_ns
            if self._states.refused and self._clock.monotonic_s() >= retry_s:
                retry_s += RETRY_REJECTED_S
                await self._retry_refused()

    async def close(self) -> None:
        """Disconnect, within a bound."""
        client, self._client = self._client, None
        self._subscription = None
        if client is not None:
            await disconnect(client, self.name)

    def report(self) -> SourceReport:
        """Return the nodes the server refuses, the certificates that end soon, and how the server's clock is."""
        times = self._values.times
        problems = (*self._secured.problems(self._now()), *times.problems())
        return SourceReport(self._states.reports(), problems, times.skew_s())

    def stats(self) -> ChannelStats:
        """Return the figures of the hand-over; `dropped_total` counts notifications since the last `open`."""
        return self._channel.stats()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.to_utc(self._clock.now_ns()) / 1e9, UTC)

    def _new_channel(self) -> Channel[Notification | Lost]:
        return Channel(f"{self.name}.hand-over", capacity=HAND_OVER_CAPACITY, when_full=WhenFull.DROP_OLDEST)

    async def _monitor(self, client: Client, subscription: Subscription, handles: range | list[int]) -> dict[int, str]:
        """Ask for the nodes' values; return which of them the server refuses, and its reason."""
        node_ids, unresolved = await resolve(client, ((handle, self._settings.nodes[handle]) for handle in handles))
        return unresolved | await monitor(client, subscription, self._settings, node_ids)

    async def _retry_refused(self) -> None:
        if self._client is not None and self._subscription is not None:
            with translated(self.name, self._settings.endpoint):
                self._states.refused = await self._monitor(self._client, self._subscription, list(self._states.refused))

    async def _next_notice(self) -> Notification | Lost:
        try:
            async with asyncio.timeout(self._silent_after_s):
                return await self._channel.receive()
        except TimeoutError:
            return Lost(f"nothing came for {self._silent_after_s:g} s, not even a keep-alive")

    def _items(self, notice: Notification) -> list[Item]:
        if not notice.values:
            handles = self._subscription.handles if self._subscription is not None else ()
            names = frozenset(self._values.tags[handle].name for handle in handles)
            return [KeepAlive(self.name, notice.received_time_ns, names)]
        at_ns = notice.received_time_ns
        readings = tuple(self._values.reading(handle, value, at_ns) for handle, value in notice.values)
        gaps = [gap for handle, value in notice.values for gap in self._states.take(handle, value, at_ns)]
        return [Scan(self.name, readings), *gaps]

    def _drop_gap(self, dropped: int, start_ns: int, end_ns: int) -> Gap:
        detail = f"{dropped} notifications were dropped: the pipeline was slower than the server"
        return Gap(self.name, GapCause.QUEUE_FULL, start_ns, end_ns, detail)

    def _missed_gap(self, missed: int, start_ns: int, end_ns: int) -> Gap:
        detail = f"{missed} notifications of the server never came, or could not be read"
        return Gap(self.name, GapCause.DISCONTINUITY, start_ns, end_ns, detail)

    async def _on_publish(self, result: Any) -> None:
        """Take what the library brings: called for every publish answer, keep-alives too."""
        if self._subscription is not None:
            message, now_ns = result.NotificationMessage, self._clock.now_ns()
            self._values.take_publish_time(message.PublishTime, now_ns)
            await self._channel.send(self._subscription.notification(message, now_ns, len(self._settings.nodes)))

    async def _on_lost(self, cause: Exception) -> None:
        await self._channel.send(Lost(str(cause) or type(cause).__name__))
