"""Where the configured nodes are in the server that is connected: their node ids, looked up at each connect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from asyncua import Client, ua

from edge_agent.drivers.opcua.settings import OpcUaNodeSettings


async def resolve(
    client: Client, nodes: Iterable[tuple[int, OpcUaNodeSettings]]
) -> tuple[dict[int, Any], dict[int, str]]:
    """Return the node ids by handle, and why there is none for the others. Takes (handle, node)."""
    found: dict[int, Any] = {}
    refused: dict[int, str] = {}
    for handle, node in nodes:
        try:
            found[handle] = ua.NodeId.from_string(node.node_id)
        except ua.UaError as exc:
            refused[handle] = f"not a node id: {exc}"
    return found, refused
