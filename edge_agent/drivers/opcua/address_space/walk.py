"""A server's variables below the Objects folder, with their values and units, within bounds. Browses and reads only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from asyncua import Client, ua

from edge_agent.drivers.opcua.address_space.browse import Browser
from edge_agent.drivers.opcua.node_address import parse_browse_path
from edge_agent.drivers.opcua.server_facts import ServerFacts, read_values

MOST_VISITED: Final = 10_000
_AT_ONCE: Final = 50
_NUMBERS: Final = frozenset(
    {"Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double"}
)
_UNITS: Final = "EngineeringUnits"
_PROPERTIES: Final = frozenset(
    {
        _UNITS, "EURange", "InstrumentRange", "Definition", "ValuePrecision", "TrueState", "FalseState", "EnumStrings",
        "EnumValues", "InputArguments", "OutputArguments", "NodeVersion", "Icon", "Title", "AxisScaleType",
        "OptionSetValues", "ValueAsText", "DictionaryFragment", "Size",
    }
)  # fmt: skip
"""What the standard hangs below variables and objects (OPC 10000-5, 10000-8): it describes, nobody measures it."""
_ESCAPED: Final = re.compile(r"&(.)")
_LEVEL: Final = re.compile(r"\d+:((?:&.|[^&/])*)(?:/|$)")


@dataclass(slots=True)
class Variable:
    """One variable; `names` lead to it from Objects, `data` is its newest DataValue."""

    node_id: Any
    names: tuple[str, ...]
    unit: str = ""
    data: Any = None

    @property
    def data_type(self) -> str:
        """Return the type of its value; "Double", "Double[3]", or nothing when there is no value."""
        variant = None if self.data is None else self.data.Value
        if variant is None or variant.Value is None or not hasattr(variant.VariantType, "name"):
            return ""
        size = f"[{len(variant.Value)}]" if isinstance(variant.Value, list) else ""
        return f"{variant.VariantType.name}{size}"

    @property
    def is_number(self) -> bool:
        """Return whether its value is one number, or a yes and no: what a tag can be."""
        return self.data_type in _NUMBERS


@dataclass(slots=True)
class Walk:
    """What was found. `cut`: why there may be more, or nothing."""

    variables: list[Variable] = field(default_factory=list)
    cut: str = ""


async def walk(client: Client, facts: ServerFacts, *, glob: str, depth: int, most: int) -> Walk:
    """Find variables whose path, or last name, matches `glob`, and read them. Raise the library's errors.

    At most `most` of them, `depth` levels below Objects.
    """
    per_call = facts.limits.get("max_nodes_per_browse")
    browser = Browser(client, facts.namespaces, max_per_call=per_call, max_nodes=MOST_VISITED, max_depth=depth + 1)
    nodes = await browser.find(parse_browse_path("**"), ua.NodeId(ua.ObjectIds.ObjectsFolder))
    variables: list[Variable] = []
    units: dict[tuple[str, ...], Any] = {}
    for node in nodes:
        names = names_of(node.path)
        if names[-1] == _UNITS:
            units[names[:-1]] = node.node_id
        elif node.is_variable and node.node_id.NamespaceIndex != 0 and names[-1] not in _PROPERTIES:
            variables += [Variable(node.node_id, names)] if len(names) <= depth and _is_wanted(names, glob) else []
    cut = f"there may be more below {depth} levels, or beyond {MOST_VISITED} nodes: --depth" if browser.is_cut else ""
    if len(variables) > most:
        cut = f"{len(variables)} variables, {most} are shown: narrow them with --browse, or raise --limit"
        del variables[most:]
    await _read(client, variables, units, facts.limits.get("max_nodes_per_read", _AT_ONCE))
    return Walk(variables, cut)


def names_of(path: str) -> tuple[str, ...]:
    """Return the names of a browse path as the browser writes it, "2:Dev/2:Temp", without indexes and escapes."""
    return tuple(_ESCAPED.sub(r"\1", name) for name in _LEVEL.findall(path))


def node_id_text(node_id: Any, namespaces: Sequence[str]) -> str:
    """Return a node id for a site's file, by the URI of its namespace: its index may be another one tomorrow."""
    index = node_id.NamespaceIndex
    identifier = str(node_id.to_string()).removeprefix(f"ns={index};")
    if index == 0:
        return identifier
    if index >= len(namespaces) or not namespaces[index]:
        return f"ns={index};{identifier}"
    return f"nsu={namespaces[index].replace('%', '%25').replace(';', '%3B')};{identifier}"


def _is_wanted(names: tuple[str, ...], glob: str) -> bool:
    return fnmatchcase("/".join(names), glob) or fnmatchcase(names[-1], glob)


async def _read(
    client: Client, variables: Sequence[Variable], units: dict[tuple[str, ...], Any], read_limit: int
) -> None:
    at_once = min(read_limit, _AT_ONCE)
    values = await read_values(client, [variable.node_id for variable in variables], at_once=at_once)
    for variable, data in zip(variables, values, strict=True):
        variable.data = data
    described = [variable for variable in variables if variable.names in units]
    answers = await read_values(client, [units[variable.names] for variable in described], at_once=at_once)
    for variable, data in zip(described, answers, strict=True):
        variable.unit = _unit(data)


def _unit(data: Any) -> str:
    """Return the unit's name as the server shows it; nothing when it says none."""
    information = data.Value.Value if data.Value is not None else None
    name = getattr(getattr(information, "DisplayName", None), "Text", None)
    return str(name or "")
