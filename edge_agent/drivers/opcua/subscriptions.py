"""Subscriptions with a server: made, filled with nodes, and what they bring."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from asyncua import Client, ua

from edge_agent.drivers.opcua.mapping import SequenceWatch
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.drivers.opcua.values import code_in_words

KEEP_ALIVES_PER_SILENCE: Final = 3  # two may be late before we call it silence
KEEP_ALIVE_MAX_S: Final = 3_600.0  # a server that insists on rarer ones is one whose silence nobody would notice
LIFETIME_KEEP_ALIVES: Final = 10  # at least 3 by the specification; 10 outlasts a stalled link


@dataclass(frozen=True, slots=True)
class Notification:
    """What one message of a subscription brings: (handle, value) pairs, none of them in a keep-alive.

    `missed` notifications before it never came.
    """

    received_time_ns: int
    values: tuple[tuple[int, Any], ...]
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """The server brings nothing more, and why."""

    reason: str


@dataclass(slots=True)
class Subscription:
    """One subscription as the server made it, and the nodes it took."""

    id: int
    keep_alive_s: float
    handles: set[int] = field(default_factory=set)
    sequence: SequenceWatch = field(default_factory=SequenceWatch)

    def notification(self, message: Any, received_time_ns: int, n_nodes: int) -> Notification | Lost:
        """Return what a NotificationMessage brings."""
        values: list[tuple[int, Any]] = []
        for notification in message.NotificationData or ():
            if isinstance(notification, ua.DataChangeNotification):
                items = notification.MonitoredItems or ()
                values += [(item.ClientHandle, item.Value) for item in items if _is_ours(item, n_nodes)]
            elif isinstance(notification, ua.StatusChangeNotification):
                return Lost(f"the subscription ended: {code_in_words(notification.Status.value)}")
        # A keep-alive has no number of its own: it shows the next one's.
        missed = self.sequence.missed_before(message.SequenceNumber) if values else 0
        return Notification(received_time_ns, tuple(values), missed)


async def create_subscription(
    client: Client, settings: OpcUaSettings, on_publish: Callable[[Any], Awaitable[None]]
) -> Subscription:
    """Make a subscription without nodes. Raise the library's errors, and ValueError for what no server may answer."""
    interval_ms = settings.publishing_interval_ms
    keep_alives = max(1, int(settings.silent_after_s * 1_000 / KEEP_ALIVES_PER_SILENCE / interval_ms))
    parameters = ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=interval_ms,
        RequestedLifetimeCount=keep_alives * LIFETIME_KEEP_ALIVES,
        RequestedMaxKeepAliveCount=keep_alives,
        MaxNotificationsPerPublish=0,
        PublishingEnabled=True,
        Priority=0,
    )
    revised = await client.uaclient.session.create_subscription(parameters, on_publish)
    keep_alive_s = revised.RevisedMaxKeepAliveCount * revised.RevisedPublishingInterval / 1_000
    if not 0 <= keep_alive_s <= KEEP_ALIVE_MAX_S:  # NaN is not either
        raise ValueError(f"a keep-alive every {keep_alive_s:g} s")
    return Subscription(revised.SubscriptionId, keep_alive_s)


async def monitor(
    client: Client, subscription: Subscription, settings: OpcUaSettings, node_ids: Mapping[int, Any]
) -> dict[int, str]:
    """Ask for the values of nodes, by handle; return which of them the server refuses, and its reason."""
    refused: dict[int, str] = {}
    requests = [_monitoring_request(handle, node_id, settings) for handle, node_id in node_ids.items()]
    parameters = ua.CreateMonitoredItemsParameters(
        SubscriptionId=subscription.id,
        TimestampsToReturn=ua.TimestampsToReturn.Both,
        ItemsToCreate=requests,
    )
    results = (await client.uaclient.session.create_monitored_items(parameters) or ()) if requests else ()
    for handle, result in zip(node_ids, results, strict=True):
        if result.StatusCode.is_good():
            subscription.handles.add(handle)
        else:
            refused[handle] = code_in_words(result.StatusCode.value)
    return refused


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


def _is_ours(item: Any, n_nodes: int) -> bool:
    """Return whether this is a value of a node that we asked for."""
    return isinstance(item.Value, ua.DataValue) and 0 <= item.ClientHandle < n_nodes
