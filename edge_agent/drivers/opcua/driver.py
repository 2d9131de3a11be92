"""An OPC UA server as a source of scans: subscribed to, never written to, never called.

Constraints
- One owner of reconnect, and it is our supervisor: the library's own is off, and every `open` makes a new client.
- A connection that looks alive but delivers nothing, not even a keep-alive, is lost after `silent_after_s`.
- A node the server does not have costs that tag only; it is asked for again every `RETRY_REJECTED_S`.
- The library hands over through a bounded channel; what is dropped there is counted and yielded as a gap.

Only this file and client.py import asyncua.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from asyncua import Client, ua

from edge_agent.core.cancellation import check_cancelled
from edge_agent.core.channel import Channel, ChannelStats, WhenFull
from edge_agent.core.clock import Clock
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.quality import Quality
from edge_agent.core.tags import KeepAlive, Reading, Scan, Tag
from edge_agent.drivers.base import Item
from edge_agent.drivers.opcua.client import apply_identity, bound_messages, translated
from edge_agent.drivers.opcua.mapping import SequenceWatch, says_overflow, to_reading
from edge_agent.drivers.opcua.settings import OpcUaNodeSettings, OpcUaSettings
from edge_agent.drivers.report import SourceReport, TagReport, TagState
from edge_agent.errors import TransientDriverError

ANSWER_TIMEOUT_S: Final = 5.0  # for one request; a healthy server answers within tens of milliseconds
CLOSE_TIMEOUT_S: Final = 1.0  # saying goodbye to a dead server must not hold up a restart
HAND_OVER_CAPACITY: Final = 256  # notifications; over two minutes of them at the default publishing interval
KEEP_ALIVES_PER_SILENCE: Final = 3  # two may be late before we call it silence
KEEP_ALIVE_MAX_S: Final = 3_600.0  # a server that insists on rarer ones is one whose silence nobody would notice
LIFETIME_KEEP_ALIVES: Final = 10  # at least 3 by the specification; 10 outlasts a stalled link
SESSION_TIMEOUT_S: Final = 60.0  # servers allow few sessions; one we could not close must not linger for an hour
RETRY_REJECTED_S: Final = 300.0  # a node may come back with a new server program: minutes, not seconds

_GONE_CODES: Final = frozenset(
    {ua.StatusCodes.BadNodeIdUnknown, ua.StatusCodes.BadNodeIdInvalid, ua.StatusCodes.BadAttributeIdInvalid}
)
_CODE_MASK: Final = 0xFFFF0000  # without the flag bits


@dataclass(frozen=True, slots=True)
class _Values:
    """One notification: (index into the nodes, value) pairs, none of them in a keep-alive.

    `missed` notifications before it never came.
    """

    received_time_ns: int
    values: tuple[tuple[int, Any], ...]
    missed: int = 0


@dataclass(frozen=True, slots=True)
class _Lost:
    reason: str


class OpcUaDriver:
    """Subscribes to the configured nodes of one server; yields one Scan per notification, a KeepAlive per keep-alive.

    A node the server refuses is yielded as a Gap (DEVICE_REJECTED) naming it, once per finding. A value with
    a bad status, or that is no finite number, is a BAD reading.
    """

    def __init__(self, settings: OpcUaSettings, clock: Clock) -> None:
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        self._tags = tuple(Tag(node.name, node.unit, node.sensor_type) for node in settings.nodes)
        self._client: Client | None = None
        self._subscription_id = 0
        self._silent_after_s = settings.silent_after_s
        self._refused: dict[int, str] = {}
        self._gone: set[int] = set()
        self._channel = self._new_channel()
        self._sequence = SequenceWatch()

    async def open(self) -> None:
        """Connect, subscribe and ask for the nodes. Raise TransientDriverError or DeviceRejectedError."""
        await self.close()
        self._channel = self._new_channel()
        self._sequence = SequenceWatch()
        self._client = client = self._new_client()
        is_open = False
        try:
            with translated(self.name, self._settings.endpoint):
                await apply_identity(client, self._settings)
                await client.connect(auto_reconnect=False)
                check_cancelled()
                await self._subscribe(client)
                check_cancelled()
                self._refused = await self._monitor(client, range(len(self._tags)))
            is_open = True
        finally:
            if not is_open:
                await self.close()

    async def stream(self) -> AsyncIterator[Item]:
        """Yield what the server sends. Raise TransientDriverError when it falls silent or ends the subscription."""
        for gap in self._refusal_gaps(self._refused):
            yield gap
        if self._refused:  # not only in the ledger: `status` names what ails each tag by its newest reading
            yield Scan(self.name, tuple(self._refusal_reading(*refused) for refused in self._refused.items()))
        self._gone.clear()
        retry_s = self._clock.monotonic_s() + RETRY_REJECTED_S
        dropped_total = self._channel.stats().dropped_total
        last_ns = self._clock.now_ns()
        while True:
            notice = await self._next_notice()
            if isinstance(notice, _Lost):
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
            if self._refused and self._clock.monotonic_s() >= retry_s:
                retry_s += RETRY_REJECTED_S
                await self._retry_refused()

    async def close(self) -> None:
        """Disconnect, within a bound."""
        client, self._client = self._client, None
        if client is None:
            return
        # Owned here. A task, because the library swallows a cancellation that hits its own clean-up.
        closing = asyncio.create_task(client.disconnect(), name=f"{self.name} disconnect")
        try:
            await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT_S)
        finally:
            client.disconnect_socket()
            closing.cancel()
        await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT_S)

    def report(self) -> SourceReport:
        """Return the nodes the server refuses."""
        refused = {
            self._tags[handle].name: TagReport(TagState.REFUSED, reason, status_code=reason)
            for handle, reason in self._refused.items()
        }
        return SourceReport(refused)

    def stats(self) -> ChannelStats:
        """Return the figures of the hand-over; `dropped_total` counts notifications since the last `open`."""
        return self._channel.stats()

    def _new_channel(self) -> Channel[_Values | _Lost]:
        return Channel(f"{self.name}.hand-over", capacity=HAND_OVER_CAPACITY, when_full=WhenFull.DROP_OLDEST)

    def _new_client(self) -> Client:
        answer_timeout_s = min(ANSWER_TIMEOUT_S, self._settings.silent_after_s)
        # The library reads the server's state at this interval and gives it as long to answer.
        client = Client(
            self._settings.endpoint,
            timeout=answer_timeout_s,
            watchdog_intervall=self._settings.silent_after_s,
            auto_reconnect=False,
        )
        # Four silences: the library's read of the server's state keeps a quiet session open.
        client.session_timeout = max(SESSION_TIMEOUT_S, 4 * self._settings.silent_after_s) * 1_000
        client.connection_lost_callback = self._on_lost
        bound_messages(client)
        return client

    async def _subscribe(self, client: Client) -> None:
        interval_ms = self._settings.publishing_interval_ms
        silence_ms = self._settings.silent_after_s * 1_000
        keep_alives = max(1, int(silence_ms / KEEP_ALIVES_PER_SILENCE / interval_ms))
        parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=interval_ms,
            RequestedLifetimeCount=keep_alives * LIFETIME_KEEP_ALIVES,
            RequestedMaxKeepAliveCount=keep_alives,
            MaxNotificationsPerPublish=0,
            PublishingEnabled=True,
            Priority=0,
        )
        revised = await client.uaclient.session.create_subscription(parameters, self._on_publish)
        self._subscription_id = revised.SubscriptionId
        # A server may insist on rarer keep-alives than we asked for; its silence is then longer.
        keep_alive_s = revised.RevisedMaxKeepAliveCount * revised.RevisedPublishingInterval / 1_000
        if not 0 <= keep_alive_s <= KEEP_ALIVE_MAX_S:  # NaN is not either
            raise ValueError(f"a keep-alive every {keep_alive_s:g} s")
        self._silent_after_s = max(self._settings.silent_after_s, 2 * keep_alive_s)

    async def _monitor(self, client: Client, handles: range | list[int]) -> dict[int, str]:
        """Ask for the nodes' values; which of them the server refuses, and its reason."""
        refused: dict[int, str] = {}
        requests = []
        for handle in handles:
            node = self._settings.nodes[handle]
            try:
                requests.append(self._monitoring_request(handle, node))
            except ua.UaError as exc:
                refused[handle] = f"not a node id: {exc}"
        parameters = ua.CreateMonitoredItemsParameters(
            SubscriptionId=self._subscription_id,
            TimestampsToReturn=ua.TimestampsToReturn.Both,
            ItemsToCreate=requests,
        )
        results = (await client.uaclient.session.create_monitored_items(parameters) or ()) if requests else ()
        for request, result in zip(requests, results, strict=True):
            if not result.StatusCode.is_good():
                refused[request.RequestedParameters.ClientHandle] = _status(result.StatusCode.value)
        return refused

    def _monitoring_request(self, handle: int, node: OpcUaNodeSettings) -> Any:
        return ua.MonitoredItemCreateRequest(
            ItemToMonitor=ua.ReadValueId(NodeId=ua.NodeId.from_string(node.node_id), AttributeId=ua.AttributeIds.Value),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=ua.MonitoringParameters(
                ClientHandle=handle,
                SamplingInterval=self._settings.sampling_interval_ms,
                QueueSize=self._settings.queue_size,
                DiscardOldest=True,
            ),
        )

    async def _retry_refused(self) -> None:
        if self._client is not None:
            with translated(self.name, self._settings.endpoint):
                self._refused = await self._monitor(self._client, list(self._refused))

    async def _next_notice(self) -> _Values | _Lost:
        try:
            async with asyncio.timeout(self._silent_after_s):
                return await self._channel.receive()
        except TimeoutError:
            return _Lost(f"nothing came for {self._silent_after_s:g} s, not even a keep-alive")

    def _items(self, notice: _Values) -> list[Item]:
        readings: list[Reading] = []
        gaps: list[Item] = []
        for handle, data_value in notice.values:
            code = data_value.StatusCode.value if data_value.StatusCode is not None else 0
            readings.append(self._reading(handle, code, data_value, notice.received_time_ns))
            gaps += self._value_gaps(handle, code, notice.received_time_ns)
        if not notice.values:
            return [KeepAlive(self.name, notice.received_time_ns, self._subscribed())]
        scans: list[Item] = [Scan(self.name, tuple(readings))] if readings else []
        return scans + gaps

    def _subscribed(self) -> frozenset[str]:
        """Return the names of the tags whose values the server watches."""
        return frozenset(tag.name for handle, tag in enumerate(self._tags) if handle not in self._refused)

    def _reading(self, handle: int, code: int, data_value: Any, received_time_ns: int) -> Reading:
        source_time: datetime | None = data_value.SourceTimestamp
        return to_reading(
            self._tags[handle],
            value=data_value.Value.Value if data_value.Value is not None else None,
            status_code=code,
            status_name=_name(code),
            source_time=source_time,
            received_time_ns=received_time_ns,
            of_utc=self._clock.of_utc,
        )

    def _value_gaps(self, handle: int, code: int, at_ns: int) -> list[Gap]:
        """Return what a status means besides good or bad: the node is gone (once), or the server's queue overflowed."""
        tag = self._tags[handle]
        gaps: list[Gap] = []
        if says_overflow(code):
            detail = f"{self.name}: the server's queue for {tag.name} was full; raise queue_size or publish more often"
            gaps.append(Gap(tag.name, GapCause.QUEUE_FULL, at_ns, at_ns, detail))
        is_gone = code & _CODE_MASK in _GONE_CODES
        if is_gone and handle not in self._gone:
            gaps += self._refusal_gaps({handle: _status(code)})
        (self._gone.add if is_gone else self._gone.discard)(handle)
        return gaps

    def _refusal_gaps(self, refused: dict[int, str]) -> list[Gap]:
        return [self._refusal_gap(handle, reason) for handle, reason in refused.items()]

    def _refusal_gap(self, handle: int, reason: str) -> Gap:
        name, node_id, now_ns = self._tags[handle].name, self._settings.nodes[handle].node_id, self._clock.now_ns()
        detail = f'{self.name} has no usable node "{node_id}" for {name}: {reason}'
        return Gap(name, GapCause.DEVICE_REJECTED, now_ns, now_ns, detail)

    def _refusal_reading(self, handle: int, reason: str) -> Reading:
        status = f'the server has no usable node "{self._settings.nodes[handle].node_id}": {reason}'
        return Reading(self._tags[handle], None, Quality.BAD, None, self._clock.now_ns(), status)

    def _drop_gap(self, dropped: int, start_ns: int, end_ns: int) -> Gap:
        detail = f"{dropped} notifications were dropped: the pipeline was slower than the server"
        return Gap(self.name, GapCause.QUEUE_FULL, start_ns, end_ns, detail)

    def _missed_gap(self, missed: int, start_ns: int, end_ns: int) -> Gap:
        detail = f"{missed} notifications of the server never came, or could not be read"
        return Gap(self.name, GapCause.DISCONTINUITY, start_ns, end_ns, detail)

    async def _on_publish(self, result: Any) -> None:
        """Take what the library brings: called for every publish answer, keep-alives too."""
        values: list[tuple[int, Any]] = []
        for notification in result.NotificationMessage.NotificationData or ():
            if isinstance(notification, ua.DataChangeNotification):
                items = filter(self._is_ours, notification.MonitoredItems or ())
                values += [(item.ClientHandle, item.Value) for item in items]
            elif isinstance(notification, ua.StatusChangeNotification):
                await self._channel.send(_Lost(f"the subscription ended: {_status(notification.Status.value)}"))
                return
        # A keep-alive has no number of its own: it shows the next one's.
        missed = self._sequence.missed_before(result.NotificationMessage.SequenceNumber) if values else 0
        await self._channel.send(_Values(self._clock.now_ns(), tuple(values), missed))

    def _is_ours(self, item: Any) -> bool:
        """Return whether this is a value of a node that we asked for."""
        return isinstance(item.Value, ua.DataValue) and 0 <= item.ClientHandle < len(self._tags)

    async def _on_lost(self, cause: Exception) -> None:
        await self._channel.send(_Lost(str(cause) or type(cause).__name__))


def _name(code: int) -> str:
    return str(ua.StatusCode(code & _CODE_MASK).name)


def _status(code: int) -> str:
    return f"0x{code:08X} {_name(code)}"
