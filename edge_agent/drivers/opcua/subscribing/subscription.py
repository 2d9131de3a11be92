"""One subscription with a server: made, filled with nodes, and what its messages bring."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from asyncua import Client, ua
from asyncua.ua.ua_binary import struct_from_binary

from edge_agent.drivers.opcua.server_limits import CallSize
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.drivers.opcua.subscribing.sequence import SequenceWatch

KEEP_ALIVES_PER_SILENCE: Final = 3  # two may be late before we call it silence
KEEP_ALIVES_PER_SESSION: Final = 3  # the answer to each asks again, which keeps the session open
KEEP_ALIVE_MAX_S: Final = 3_600.0  # a server that insists on rarer ones is one whose silence nobody would notice
LIFETIME_KEEP_ALIVES: Final = 10  # at least 3 by the specification; 10 outlasts a stalled link

NO_PLACE: Final = int(ua.StatusCodes.BadTooManyMonitoredItems)


@dataclass(slots=True)
class Subscription:
    """One subscription as the server made it, and the nodes it watches, by handle.

    `heard_s` is the event loop's time of its newest message, `heard_ns` the agent's; before the first, of its making.
    """

    id: int
    publishing_interval_ms: float
    keep_alive_s: float
    heard_ns: int
    heard_s: float
    handles: set[int] = field(default_factory=set)
    sequence: SequenceWatch = field(default_factory=SequenceWatch)
    confirmed_s: float = 0.0
    has_spoken: bool = False
    sampling_interval_ms: float = 0.0
    queue_size: int | None = None

    def hear(self, now_ns: int) -> int:
        """Note that a message came now; return when the one before it did."""
        before, self.heard_ns = self.heard_ns, now_ns
        self.heard_s = asyncio.get_running_loop().time()
        self.has_spoken = True
        return before

    def confirmed_by(self, values: Sequence[tuple[int, Any]]) -> frozenset[int]:
        """Return the nodes that a message just heard confirms: what it does not name has not changed.

        While some nodes change there is no keep-alive for the others; they are confirmed as often as by keep-alives.
        """
        if values and self.heard_s - self.confirmed_s < self.keep_alive_s:
            return frozenset()
        self.confirmed_s = self.heard_s
        return frozenset(self.handles.difference(handle for handle, _ in values))


async def create_subscription(
    client: Client, settings: OpcUaSettings, session_timeout_s: float, now_ns: int
) -> Subscription:
    """Make a subscription without nodes. Raise the library's errors, and ValueError for what no server may answer."""
    interval_ms = settings.publishing_interval_ms
    keep_alive_s = min(settings.silent_after_s / KEEP_ALIVES_PER_SILENCE, session_timeout_s / KEEP_ALIVES_PER_SESSION)
    keep_alives = max(1, int(keep_alive_s * 1_000 / interval_ms))
    request = ua.CreateSubscriptionRequest()
    request.Parameters = ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=interval_ms,
        RequestedLifetimeCount=keep_alives * LIFETIME_KEEP_ALIVES,
        RequestedMaxKeepAliveCount=keep_alives,
        MaxNotificationsPerPublish=0,
        PublishingEnabled=True,
        Priority=0,
    )
    # Not the library's create_subscription: that starts a publish loop of its own.
    answered = await client.uaclient._send_request(request)
    response = struct_from_binary(ua.CreateSubscriptionResponse, answered)
    response.ResponseHeader.ServiceResult.check()
    revised = response.Parameters
    keep_alive_s = revised.RevisedMaxKeepAliveCount * revised.RevisedPublishingInterval / 1_000
    if not 0 <= keep_alive_s <= KEEP_ALIVE_MAX_S:  # NaN is not either
        raise ValueError(f"a keep-alive every {keep_alive_s:g} s")
    now_s = asyncio.get_running_loop().time()
    return Subscription(revised.SubscriptionId, revised.RevisedPublishingInterval, keep_alive_s, now_ns, now_s)


async def monitor(
    client: Client, subscription: Subscription, settings: OpcUaSettings, node_ids: Mapping[int, Any], size: CallSize
) -> dict[int, int]:
    """Ask for the values of nodes, by handle; return those the server does not take, with its StatusCode.

    Raise the library's errors.
    """

    async def call(part: Any) -> Any:
        parameters = ua.CreateMonitoredItemsParameters(
            SubscriptionId=subscription.id,
            TimestampsToReturn=ua.TimestampsToReturn.Both,
            ItemsToCreate=list(part),
        )
        try:
            return await client.uaclient.session.create_monitored_items(parameters)
        except ua.UaStatusCodeError as exc:
            if exc.code != NO_PLACE:
                raise
            return [ua.MonitoredItemCreateResult(StatusCode=ua.StatusCode(exc.code)) for _ in part]

    requests = [_monitoring_request(handle, node_id, settings) for handle, node_id in node_ids.items()]
    refused: dict[int, int] = {}
    for handle, result in zip(node_ids, await size.each(requests, call), strict=True):
        if result.StatusCode.is_good():
            _note_revised(subscription, handle, result)
        else:
            refused[handle] = result.StatusCode.value
    return refused


def values_of(message: Any, n_nodes: int) -> tuple[tuple[int, Any], ...]:
    """Return the (handle, data value) pairs of a NotificationMessage; none of them in a keep-alive.

    What is no value, or of no node that we asked for, is left out.
    """
    changes = [each for each in message.NotificationData or () if isinstance(each, ua.DataChangeNotification)]
    is_value = ua.DataValue
    return tuple(
        [
            (item.ClientHandle, item.Value)
            for change in changes
            for item in change.MonitoredItems or ()
            if isinstance(item.Value, is_value) and 0 <= item.ClientHandle < n_nodes
        ]
    )


def end_of(message: Any) -> int | None:
    """Return the StatusCode with which the server says that the subscription ended; None when it says nothing of it.

    A good one says that the subscription moved into another session: ours, or its silence will show it.
    """
    changes = [each for each in message.NotificationData or () if isinstance(each, ua.StatusChangeNotification)]
    return next((each.Status.value for each in changes if each.Status.is_bad()), None)


def _monitoring_request(handle: int, node_id: Any, settings: OpcUaSettings) -> Any:
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=ua.ReadValueId(NodeId=node_id, AttributeId=ua.AttributeIds.Value),
        MonitoringMode=ua.MonitoringMode.Reporting,
        RequestedParameters=ua.MonitoringParameters(
            ClientHandle=handle,
            SamplingInterval=settings.sampling_interval_ms,
            QueueSize=settings.queue_size,
            DiscardOldest=True,
        ),
    )


def _note_revised(subscription: Subscription, handle: int, result: Any) -> None:
    """Keep what the server made of our wishes: the slowest sampling, the shortest queue."""
    subscription.handles.add(handle)
    subscription.sampling_interval_ms = max(subscription.sampling_interval_ms, result.RevisedSamplingInterval)
    queue_size = subscription.queue_size
    revised = result.RevisedQueueSize
    subscription.queue_size = revised if queue_size is None else min(queue_size, revised)
