"""What a server takes at a time: read when it is connected, kept to, and learned from its refusals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from asyncua import Client, ua

MOST_PER_CALL: Final = 1_000  # where a server states no limit: some take any number and then answer too late

_TOO_MANY: Final = frozenset(
    {
        ua.StatusCodes.BadTooManyOperations,
        ua.StatusCodes.BadEncodingLimitsExceeded,
        ua.StatusCodes.BadRequestTooLarge,
        ua.StatusCodes.BadResponseTooLarge,
    }
)
_NODES: Final = {
    "nodes_per_read": ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
    "nodes_per_browse": ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
    "items_per_call": ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
    "subscriptions_per_session": ua.ObjectIds.Server_ServerCapabilities_MaxSubscriptionsPerSession,
    "items_per_subscription": ua.ObjectIds.Server_ServerCapabilities_MaxMonitoredItemsPerSubscription,
    "items_total": ua.ObjectIds.Server_ServerCapabilities_MaxMonitoredItems,
}

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """The limits that a server states; None where it states none."""

    nodes_per_read: int | None = None
    nodes_per_browse: int | None = None
    items_per_call: int | None = None
    subscriptions_per_session: int | None = None
    items_per_subscription: int | None = None
    items_total: int | None = None


class CallSize:
    """How many operations one call of a service takes: the stated limit; half, when the server says that it is less."""

    def __init__(self, stated: int | None) -> None:
        self.most = min(stated or MOST_PER_CALL, MOST_PER_CALL)

    async def each(self, items: Sequence[T], call: Callable[[Sequence[T]], Awaitable[Sequence[R] | None]]) -> list[R]:
        """Return the results of all items, in order, however many calls that takes. Raise the library's errors.

        A result that is missing or one too many is a ValueError: nobody could say whose the others are.
        """
        results: list[R] = []
        while len(results) < len(items):
            part = items[len(results) : len(results) + self.most]
            try:
                answered = await call(part) or ()
            except ua.UaStatusCodeError as exc:
                if exc.code not in _TOO_MANY or len(part) == 1:
                    raise
                self.most = len(part) // 2
                continue
            if len(answered) != len(part):
                raise ValueError(f"{len(answered)} results for {len(part)} operations")
            results += answered
        return results


async def read_limits(client: Client) -> ServerLimits:
    """Ask the server for its limits; a server that does not have these nodes, or does not answer this, states none."""
    requests = [ua.ReadValueId(NodeId=ua.NodeId(node), AttributeId=ua.AttributeIds.Value) for node in _NODES.values()]
    try:
        values = await read(client, CallSize(None), requests)
    except ua.UaStatusCodeError:
        return ServerLimits()
    return ServerLimits(**{name: _limit(value) for name, value in zip(_NODES, values, strict=True)})


async def read(client: Client, size: CallSize, requests: Sequence[Any]) -> list[Any]:
    """Return the data values of the requests (ReadValueId), with both times. Raise the library's errors."""

    async def call(part: Sequence[Any]) -> Sequence[Any] | None:
        parameters = ua.ReadParameters(MaxAge=0, TimestampsToReturn=ua.TimestampsToReturn.Both, NodesToRead=list(part))
        answered: Sequence[Any] | None = await client.uaclient.session.read(parameters)
        return answered

    return await size.each(requests, call)


def _limit(data_value: Any) -> int | None:
    """Return a limit; 0 means that there is none, and so does what is no number."""
    value = data_value.Value.Value if data_value.Value is not None else None
    is_limit = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return value if is_limit else None
