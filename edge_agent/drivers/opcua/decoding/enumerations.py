"""The words of numbers that are enumerations: asked of the server once per connection, for `status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from asyncua import Client, ua

from edge_agent.drivers.opcua.server_limits import CallSize, ServerLimits, read

Words = Mapping[int, str]
"""What a number means, by the number."""

_INTEGERS: Final = frozenset({*range(2, 10), ua.ObjectIds.Integer, ua.ObjectIds.UInteger})
_PLAIN: Final = frozenset({*range(1, 29), ua.ObjectIds.Duration, ua.ObjectIds.UtcTime})
"""Types of the specification itself that have no words."""
_PROPERTIES: Final = ("EnumStrings", "EnumValues")


async def words_of(client: Client, node_ids: Mapping[int, Any], limits: ServerLimits) -> dict[int, Words]:
    """Return the words of those nodes, by handle, that have any; none where the server does not say them."""
    try:
        return await _Asking(client, limits).words(node_ids)
    except (ua.UaStatusCodeError, TimeoutError):
        return {}  # a server that does not let itself be browsed is read all the same


class _Asking:
    def __init__(self, client: Client, limits: ServerLimits) -> None:
        self._client = client
        self._reads = CallSize(limits.nodes_per_read)
        self._browses = CallSize(limits.nodes_per_browse)

    async def words(self, node_ids: Mapping[int, Any]) -> dict[int, Words]:
        """Return the words by handle: of the node's data type, or its own."""
        data_types = await self._values(list(node_ids.values()), ua.AttributeIds.DataType)
        types = {handle: of for handle, of in zip(node_ids, data_types, strict=True) if isinstance(of, ua.NodeId)}
        own = {handle: node_ids[handle] for handle, of in types.items() if _is_one_of(of, _INTEGERS)}
        named = {handle: of for handle, of in types.items() if not _is_one_of(of, _PLAIN)}
        found = await self._of_types(list(dict.fromkeys(named.values())))
        found |= await self._of_properties(list(own.values()))
        return {handle: words for handle, node in (own | named).items() if (words := found.get(node))}

    async def _of_types(self, types: Sequence[Any]) -> dict[Any, Words]:
        """Return the words of data types: by their definition, or by their properties where servers are older."""
        definitions = await self._values(types, ua.AttributeIds.DataTypeDefinition)
        found = {
            of: {field.Value: field.Name or "" for field in definition.Fields or ()}
            for of, definition in zip(types, definitions, strict=True)
            if isinstance(definition, ua.EnumDefinition)
        }
        rest = [of for of, definition in zip(types, definitions, strict=True) if definition is None]
        return {**found, **await self._of_properties(rest)}

    async def _of_properties(self, nodes: Sequence[Any]) -> dict[Any, Words]:
        """Return the words that nodes have as properties EnumStrings or EnumValues."""
        properties = {
            reference.NodeId: node
            for node, result in zip(nodes, await self._browses.each(nodes, self._properties), strict=True)
            for reference in result.References or ()
            if reference.BrowseName.Name in _PROPERTIES and reference.BrowseName.NamespaceIndex == 0
        }
        values = await self._values(list(properties), ua.AttributeIds.Value)
        return {node: _words(value) for node, value in zip(properties.values(), values, strict=True)}

    async def _values(self, nodes: Sequence[Any], attribute: ua.AttributeIds) -> list[Any]:
        """Return an attribute of each node; None where a node has none, or does not let it be read."""
        requests = [ua.ReadValueId(NodeId=node, AttributeId=attribute) for node in nodes]
        return [_good(result) for result in await read(self._client, self._reads, requests)]

    async def _properties(self, nodes: Sequence[Any]) -> Sequence[Any]:
        """Return the references of nodes to their properties; so few that no server cuts them."""
        described = [
            ua.BrowseDescription(
                NodeId=node,
                BrowseDirection=ua.BrowseDirection.Forward,
                ReferenceTypeId=ua.NodeId(ua.ObjectIds.HasProperty),
                IncludeSubtypes=True,
                NodeClassMask=ua.NodeClass.Variable,
                ResultMask=ua.BrowseResultMask.All,
            )
            for node in nodes
        ]
        parameters = ua.BrowseParameters(NodesToBrowse=described)
        answered: Sequence[Any] = await self._client.uaclient.session.browse(parameters) or ()
        return answered


def _good(result: Any) -> Any:
    is_good = result.StatusCode is None or result.StatusCode.is_good()
    return result.Value.Value if is_good and result.Value is not None else None


def _words(value: object) -> Words:
    words: dict[int, str] = {}
    for place, each in enumerate(value if isinstance(value, list) else ()):
        if isinstance(each, ua.LocalizedText):
            words[place] = each.Text or ""
        elif isinstance(each, ua.EnumValueType):
            words[each.Value] = each.DisplayName.Text or ""
    return words


def _is_one_of(data_type: ua.NodeId, numbers: frozenset[int]) -> bool:
    return data_type.NamespaceIndex == 0 and data_type.Identifier in numbers
