"""What a server says of itself once a session is open: product, state, clock, limits, namespaces. Reads only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from asyncua import Client, ua

_IDS: Final = ua.ObjectIds
_CURRENT_TIME: Final = _IDS.Server_ServerStatus_CurrentTime
_TEXTS: Final = {
    "product": _IDS.Server_ServerStatus_BuildInfo_ProductName,
    "manufacturer": _IDS.Server_ServerStatus_BuildInfo_ManufacturerName,
    "version": _IDS.Server_ServerStatus_BuildInfo_SoftwareVersion,
}
_STATE: Final = _IDS.Server_ServerStatus_State
_START_TIME: Final = _IDS.Server_ServerStatus_StartTime
_NAMESPACES: Final = _IDS.Server_NamespaceArray
_CAPABILITIES: Final = "Server_ServerCapabilities_"
LIMITS: Final = {
    "max_monitored_items_per_call": f"{_CAPABILITIES}OperationLimits_MaxMonitoredItemsPerCall",
    "max_nodes_per_read": f"{_CAPABILITIES}OperationLimits_MaxNodesPerRead",
    "max_nodes_per_browse": f"{_CAPABILITIES}OperationLimits_MaxNodesPerBrowse",
    "max_sessions": f"{_CAPABILITIES}MaxSessions",
    "max_subscriptions_per_session": f"{_CAPABILITIES}MaxSubscriptionsPerSession",
    "max_monitored_items_per_subscription": f"{_CAPABILITIES}MaxMonitoredItemsPerSubscription",
    "max_monitored_items": f"{_CAPABILITIES}MaxMonitoredItems",
}
"""Names of ours, and where a server says them. 0 or nothing: it names no limit."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """None: it does not say. `time_skew_s`: its clock minus ours, give or take half of `answer_s`."""

    texts: dict[str, str] = field(default_factory=dict)
    state: str | None = None
    start_time: datetime | None = None
    time_skew_s: float | None = None
    answer_s: float | None = None
    limits: dict[str, int] = field(default_factory=dict)
    namespaces: tuple[str, ...] = ()


async def ask_facts(client: Client) -> ServerFacts:
    """Ask for them, one or few at a time: no server refuses so little. Raise the library's errors."""
    before, begun = datetime.now(UTC), time.monotonic()
    (current,) = await read_values(client, [_id(_CURRENT_TIME)])
    answer_s = time.monotonic() - begun
    limit_ids = {name: getattr(_IDS, place) for name, place in LIMITS.items() if hasattr(_IDS, place)}
    wanted = [_STATE, _START_TIME, _NAMESPACES, *_TEXTS.values(), *limit_ids.values()]
    found = dict(zip(wanted, await read_values(client, [_id(one) for one in wanted], at_once=1), strict=True))
    server_time = _utc(_value(current))
    skew_s = None if server_time is None else (server_time - before).total_seconds() - answer_s / 2
    return ServerFacts(
        texts={name: str(_value(found[place])) for name, place in _TEXTS.items() if _value(found[place])},
        state=_state(_value(found[_STATE])),
        start_time=_utc(_value(found[_START_TIME])),
        time_skew_s=None if skew_s is None else round(skew_s, 3),
        answer_s=round(answer_s, 4),
        limits={name: int(_value(found[one])) for name, one in limit_ids.items() if _is_limit(_value(found[one]))},
        namespaces=tuple(str(uri) for uri in _value(found[_NAMESPACES]) or ()),
    )


async def read_values(client: Client, nodes: Sequence[Any], *, at_once: int = 1) -> list[Any]:
    """Return the DataValue of each node, in order. Raise the library's errors."""
    out: list[Any] = []
    for start in range(0, len(nodes), at_once):
        asked = nodes[start : start + at_once]
        wanted = [ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value) for node in asked]
        parameters = ua.ReadParameters(0, ua.TimestampsToReturn.Both, wanted)
        results = list(await client.uaclient.session.read(parameters) or ())
        out += [*results, *(ua.DataValue() for _ in range(len(wanted) - len(results)))][: len(wanted)]
    return out


def _id(number: int) -> Any:
    return ua.NodeId(number, 0)


def _value(data_value: Any) -> Any:
    is_bad = data_value.StatusCode is not None and not data_value.StatusCode.is_good()
    return None if is_bad or data_value.Value is None else data_value.Value.Value


def _is_limit(value: Any) -> bool:
    return isinstance(value, int) and value > 0


def _state(value: Any) -> str | None:
    return ua.ServerState(value).name if isinstance(value, int) and value in set(ua.ServerState) else None


def _utc(value: Any) -> datetime | None:
    if not isinstance(value, datetime) or value.year <= 1601:
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value
