"""Nodes found by the names on the way to them: browsed level by level, within bounds, and only read.

Constraints
- A server's answers may be cut: what a continuation point stands for is fetched, or the point is released.
- At most `max_nodes` nodes are looked at and `max_depth` levels; `is_cut` says that there was more.
- `**` does not go into the Server object: what it holds is the server's, not the plant's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncua import Client, ua

from edge_agent.drivers.opcua.node_address import PathStep, escaped_name, index_of
from edge_agent.drivers.opcua.server_limits import CallSize

MAX_NODES: Final = 10_000
MAX_DEPTH: Final = 16
NODES_PER_CALL: Final = 100
REFERENCES_PER_NODE: Final = 1_000  # in one answer; the others follow by a continuation point

ROOT: Final = ua.NodeId(ua.ObjectIds.RootFolder)
_SERVER: Final = ua.NodeId(ua.ObjectIds.Server)
_SHOWN: Final = ua.NodeClass.Object | ua.NodeClass.Variable


@dataclass(frozen=True, slots=True)
class FoundNode:
    """A node and the names on the way to it: `path` is a browse path that finds it again."""

    node_id: Any
    path: str
    is_variable: bool


class Browser:
    """Looks for nodes at one connected server; each node's children are asked for once.

    `max_per_call` is the server's MaxNodesPerBrowse; None when it states none.
    """

    def __init__(
        self,
        client: Client,
        namespaces: Sequence[str],
        *,
        max_per_call: int | None = None,
        max_nodes: int = MAX_NODES,
        max_depth: int = MAX_DEPTH,
    ) -> None:
        self._client = client
        self._namespaces = namespaces
        self._size = CallSize(min(max_per_call or NODES_PER_CALL, NODES_PER_CALL))
        self._max_nodes = max_nodes
        self._max_depth = max_depth
        self._children: dict[Any, list[Any]] = {}
        self._n_seen = 0
        self.is_cut = False

    async def find(self, steps: Sequence[PathStep], start: Any = ROOT) -> list[FoundNode]:
        """Return the nodes below `start` that a browse path matches, in the server's order.

        Raise UnknownNamespaceError, and the library's errors.
        """
        wanted = [_wanted(step, self._namespaces) for step in steps]
        if self.is_cut:
            self._children.clear()  # they are not all
        self._n_seen, self.is_cut = 0, False
        found: dict[Any, FoundNode] = {}
        seen: set[tuple[Any, int]] = set()
        level = [(FoundNode(start, "", is_variable=False), frozenset({0}))]
        for _ in range(self._max_depth + 1):
            level = [(node, _with_none_of(open_steps, steps)) for node, open_steps in level]
            for node, open_steps in level:
                if len(steps) in open_steps and node.path:
                    found.setdefault(node.node_id, node)
            level = [(node, left) for node, open_steps in level if (left := open_steps - {len(steps)})]
            if not level:
                return list(found.values())
            await self._ask([node.node_id for node, _ in level])
            reached = [each for node, open_steps in level for each in self._below(node, open_steps, steps, wanted)]
            level = [(child, fresh) for child, steps_at in reached if (fresh := _fresh(child, steps_at, seen))]
        self.is_cut = True
        return list(found.values())

    def _below(
        self, node: FoundNode, open_steps: frozenset[int], steps: Sequence[PathStep], wanted: Sequence[int | None]
    ) -> list[tuple[FoundNode, set[int]]]:
        """Return the children that a path may go on to, and the steps that come next there."""
        out = []
        for reference in self._children.get(node.node_id, ()):
            name, node_id = reference.BrowseName, reference.NodeId
            reached: set[int] = set()
            for at in open_steps:
                if steps[at].is_any_depth:
                    reached |= set() if node_id == _SERVER else {at}
                elif steps[at].takes(name.NamespaceIndex, name.Name or "", wanted=wanted[at]):
                    reached.add(at + 1)
            if reached:
                written = f"{name.NamespaceIndex}:{escaped_name(name.Name or '')}"
                path = f"{node.path}/{written}" if node.path else written
                out.append((FoundNode(node_id, path, reference.NodeClass == ua.NodeClass.Variable), reached))
        return out

    async def _ask(self, node_ids: Sequence[Any]) -> None:
        """Ask for the children of nodes that were not asked for before."""
        fresh = list(dict.fromkeys(node_id for node_id in node_ids if node_id not in self._children))
        while fresh and not self.is_cut:
            part, fresh = fresh[:NODES_PER_CALL], fresh[NODES_PER_CALL:]
            crowded = await self._take(part, await self._size.each(part, self._browse))
            for node_id in crowded:  # the server keeps few continuation points at a time
                await self._take([node_id], await self._browse([node_id]))

    async def _take(self, node_ids: Sequence[Any], results: Sequence[Any]) -> list[Any]:
        """Keep the nodes' children; return the nodes for whose children the server had no continuation point left."""
        crowded = []
        for node_id, result in zip(node_ids, results, strict=True):
            if result.StatusCode.value == ua.StatusCodes.BadNoContinuationPoints and len(node_ids) > 1:
                crowded.append(node_id)
            else:
                self._children[node_id] = await self._references(result)
        return crowded

    async def _browse(self, node_ids: Sequence[Any]) -> Sequence[Any]:
        parameters = ua.BrowseParameters(
            View=ua.ViewDescription(),
            RequestedMaxReferencesPerNode=REFERENCES_PER_NODE,
            NodesToBrowse=[
                ua.BrowseDescription(
                    NodeId=node_id,
                    BrowseDirection=ua.BrowseDirection.Forward,
                    ReferenceTypeId=ua.NodeId(ua.ObjectIds.HierarchicalReferences),
                    IncludeSubtypes=True,
                    NodeClassMask=_SHOWN,
                    ResultMask=ua.BrowseResultMask.All,
                )
                for node_id in node_ids
            ],
        )
        answered: Sequence[Any] = await self._client.uaclient.session.browse(parameters) or ()
        return answered

    async def _references(self, result: Any) -> list[Any]:
        """Return all of a node's references, fetching what the answer left out; none of a node that may not be seen."""
        references: list[Any] = []
        while True:
            references += self._taken(result.References or ())
            point = result.ContinuationPoint
            if not point:
                return references
            (result,) = await self._client.uaclient.session.browse_next(
                ua.BrowseNextParameters(ReleaseContinuationPoints=self.is_cut, ContinuationPoints=[point])
            ) or (ua.BrowseResult(),)
            if self.is_cut:
                return references

    def _taken(self, references: Sequence[Any]) -> Sequence[Any]:
        left = self._max_nodes - self._n_seen
        self.is_cut = self.is_cut or len(references) > left
        self._n_seen += min(left, len(references))
        return references[:left]


def _wanted(step: PathStep, namespaces: Sequence[str]) -> int | None:
    """Return the index that a step's namespace has at this server."""
    return None if step.namespace is None else index_of(step.namespace, namespaces)


def _fresh(child: FoundNode, steps_at: set[int], seen: set[tuple[Any, int]]) -> frozenset[int]:
    """Return the steps with which a node was not reached before; nodes may be reached in circles."""
    fresh = frozenset(step for step in steps_at if (child.node_id, step) not in seen)
    seen.update((child.node_id, step) for step in fresh)
    return fresh


def _with_none_of(open_steps: frozenset[int], steps: Sequence[PathStep]) -> frozenset[int]:
    """Return the steps that may come next when each ** may also stand for no level."""
    out = set(open_steps)
    for at in sorted(open_steps):
        while at < len(steps) and steps[at].is_any_depth:
            at += 1
            out.add(at)
    return frozenset(out)
