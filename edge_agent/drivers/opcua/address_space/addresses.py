"""Where the configured nodes are in the server that is connected: their node ids, looked up at each connect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from asyncua import Client, ua

from edge_agent.drivers.opcua.address_space.browse import MAX_DEPTH, MAX_NODES, Browser
from edge_agent.drivers.opcua.node_address import (
    NodeAddress,
    UnknownNamespaceError,
    index_of,
    parse_browse_path,
    parse_node_id,
)
from edge_agent.drivers.opcua.server_limits import ServerLimits
from edge_agent.drivers.opcua.settings import OpcUaNodeSettings

_NAMED: Final = 5  # candidates in a refusal


class _NotFoundError(Exception):
    """Why a configured node is not in the server, in words."""


async def resolve(
    client: Client, nodes: Iterable[tuple[int, OpcUaNodeSettings]], limits: ServerLimits
) -> tuple[dict[int, Any], dict[int, str]]:
    """Return the node ids by handle, and why there is none for the others. Takes (handle, node)."""
    found: dict[int, Any] = {}
    refused: dict[int, str] = {}
    wanted = dict(nodes)
    namespaces = await _namespaces(client) if any(_needs_namespaces(node) for node in wanted.values()) else ()
    browser = Browser(client, namespaces, max_per_call=limits.nodes_per_browse)
    for handle, node in wanted.items():
        try:
            found[handle] = await _found(browser, node, namespaces)
        except _NotFoundError as exc:
            refused[handle] = str(exc)
    return found, refused


async def _found(browser: Browser, node: OpcUaNodeSettings, namespaces: Sequence[str]) -> ua.NodeId:
    """Return the node's id. Raise _NotFoundError."""
    try:
        if node.node_id is not None:
            return node_id_of(parse_node_id(node.node_id), namespaces)
        nodes = await browser.find(parse_browse_path(node.browse_path or ""))
    except UnknownNamespaceError as exc:
        raise _NotFoundError(str(exc)) from exc
    except ua.UaStatusCodeError as exc:
        raise _NotFoundError(f"the server does not let itself be browsed ({exc}); give its node_id") from exc
    variables = [each for each in nodes if each.is_variable]
    if browser.is_cut:
        bounds = f"{MAX_NODES} nodes or {MAX_DEPTH} levels"
        raise _NotFoundError(f"there are more than {bounds} to look at; write more of the path, or give the node_id")
    if not variables:
        kind = "the path leads to no variable, but to an object" if nodes else "no node matches the path"
        raise _NotFoundError(kind)
    if len(variables) > 1:
        first = ", ".join(each.path for each in variables[:_NAMED])
        more = "" if len(variables) <= _NAMED else f" and {len(variables) - _NAMED} more"
        raise _NotFoundError(f"{len(variables)} nodes match: {first}{more}; one tag is one node")
    return variables[0].node_id


def _needs_namespaces(node: OpcUaNodeSettings) -> bool:
    return "nsu=" in node.address


def node_id_of(address: NodeAddress, namespaces: Sequence[str]) -> ua.NodeId:
    """Return the library's node id. Raise UnknownNamespaceError for a URI that is not among the server's."""
    return ua.NodeId(address.identifier, index_of(address.namespace, namespaces))


async def _namespaces(client: Client) -> Sequence[str]:
    """Return the server's NamespaceArray as it is now."""
    return [str(uri) for uri in await client.get_namespace_array() or ()]
