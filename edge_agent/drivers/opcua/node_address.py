"""How a node is written in a site's file: a node id by index or URI of its namespace, or a browse path. Pure.

Node ids are OPC UA's own text (OPC 10000-6, 5.1.12): "ns=2;s=Press3.Temperature", "nsu=urn:maker:press;i=1042". What
stands here needs no connection, so that `validate` finds each mistake; the index of a URI is looked up at each connect.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

INDEX_MAX: Final = 65_535
NUMERIC_MAX: Final = 2**32 - 1
STRING_MAX: Final = 4_096  # characters of a string, bytes of an opaque one (OPC 10000-3, 8.2.4)
ANY_DEPTH: Final = "**"

_FORM: Final = 'write it as "ns=2;s=Name", "ns=2;i=1042", "nsu=urn:maker:press;s=Name", g= for a GUID or b= for base64'
_GUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_DIGITS: Final = re.compile(r"[0-9]{1,10}")

Identifier = int | str | uuid.UUID | bytes


class UnknownNamespaceError(ValueError):
    """The server has no namespace of this URI; the text lists those it has."""


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A node id as written. `namespace` is an index, or the URI whose index the server says."""

    namespace: int | str
    identifier: Identifier


@dataclass(frozen=True, slots=True)
class PathStep:
    """One level of a browse path: a pattern of browse names. `namespace` is an index, a URI, or None for any.

    The pattern's wildcards are * and ?; `is_any_depth` stands for no level or any number of them.
    """

    namespace: int | str | None
    pattern: str
    is_any_depth: bool = False

    def takes(self, namespace: int, name: str, *, wanted: int | None) -> bool:
        """Return whether a browse name is meant; `wanted` is the index that `namespace` has at this server."""
        return (self.namespace is None or namespace == wanted) and fnmatchcase(name, self.pattern)


def parse_node_id(text: str) -> NodeAddress:
    """Return the address. Raise ValueError in words for what is no node id, or one that no server can have."""
    namespace, rest = _namespace_of(text)
    if rest.startswith("svr="):
        raise ValueError(f'"{text}": svr= names a node of another server; make that server a source of its own')
    kind, equals, written = rest.partition("=")
    if not equals or kind not in _IDENTIFIERS:
        raise ValueError(f'"{text}" is not a node id: {_FORM}')
    try:
        return NodeAddress(namespace, _IDENTIFIERS[kind](written))
    except ValueError as exc:
        raise ValueError(f'"{text}": {exc}') from exc


def parse_browse_path(text: str) -> tuple[PathStep, ...]:
    """Return the levels below the Root folder. Raise ValueError in words.

    "Objects/2:Machine/*/Temperature": names with the index of their namespace, or "nsu=URI;" before the name, or
    neither for any namespace. & before a character takes it as it is: &/ &* &? &&.
    """
    rest = text.removeprefix("/")
    steps: list[PathStep] = []
    while True:
        try:
            step, rest, is_last = _step_of(rest)
        except ValueError as exc:
            raise ValueError(f'browse_path "{text}": {exc}') from exc
        steps.append(step)
        if is_last:
            return tuple(steps)


def index_of(namespace: int | str, namespaces: Sequence[str]) -> int:
    """Return the index in a server's NamespaceArray. Raise UnknownNamespaceError for a URI it does not have."""
    if isinstance(namespace, int):
        return namespace
    if namespace in namespaces:
        return list(namespaces).index(namespace)
    known = ", ".join(f'"{uri}"' for uri in namespaces) or "none"
    raise UnknownNamespaceError(f'the server has no namespace "{namespace}"; it has {known}')


def escaped_name(name: str) -> str:
    """Return a browse name as a browse path takes it literally."""
    return re.sub(r"([&/*?\[\]:]|^nsu=)", lambda found: f"&{found[0]}", name)


def _namespace_of(text: str) -> tuple[int | str, str]:
    """Return the namespace and what follows it."""
    if text.startswith("nsu="):
        return _uri_of(text)
    if not text.startswith("ns="):
        return 0, text
    index, semicolon, rest = text.removeprefix("ns=").partition(";")
    if not semicolon:
        raise ValueError(f'"{text}" is not a node id: {_FORM}')
    return _index(index), rest


def _uri_of(text: str) -> tuple[str, str]:
    uri, semicolon, rest = text.removeprefix("nsu=").partition(";")
    if not semicolon or not uri:
        raise ValueError(f'"{text}": after nsu= come a URI and a semicolon, as in "nsu=urn:maker:press;s=Name"')
    return uri.replace("%3B", ";").replace("%3b", ";").replace("%25", "%"), rest


def _index(text: str) -> int:
    if not _DIGITS.fullmatch(text) or int(text) > INDEX_MAX:
        raise ValueError(f'the index of a namespace is a number from 0 to {INDEX_MAX}, not "{text}"')
    return int(text)


def _numeric(text: str) -> int:
    if not _DIGITS.fullmatch(text) or int(text) > NUMERIC_MAX:
        raise ValueError(f'after i= comes a number from 0 to {NUMERIC_MAX}, not "{text}"')
    return int(text)


def _string(text: str) -> str:
    if not 0 < len(text) <= STRING_MAX:
        raise ValueError(f"after s= comes a name of 1 to {STRING_MAX} characters")
    return text


def _guid(text: str) -> uuid.UUID:
    if not _GUID.fullmatch(text):
        raise ValueError(f'after g= comes a GUID as in g=09087e75-8e5e-499b-954f-f2a9603db28a, not "{text}"')
    return uuid.UUID(text)


def _opaque(text: str) -> bytes:
    try:
        identifier = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ValueError(f'after b= comes base64 as in b=M/RbKBsRVkePCePcx24oRA==, not "{text}"') from exc
    if not 0 < len(identifier) <= STRING_MAX:
        raise ValueError(f"after b= come 1 to {STRING_MAX} bytes, as base64")
    return identifier


_IDENTIFIERS: Final[dict[str, Callable[[str], Identifier]]] = {"i": _numeric, "s": _string, "g": _guid, "b": _opaque}


def _step_of(text: str) -> tuple[PathStep, str, bool]:
    """Return the first level, what follows it, and whether it is the last one."""
    namespace: int | str | None = None
    if text.startswith("nsu="):
        namespace, text = _uri_of(text)
    elif found := re.match(r"([0-9]+):", text):
        namespace, text = _index(found[1]), text[found.end() :]
    pattern, end = "", 0
    while end < len(text) and text[end] != "/":
        is_escape = text[end] == "&"
        if is_escape and end + 1 == len(text):
            raise ValueError("& takes the character after it as it is; there is none")
        end += is_escape
        pattern += _literal(text[end]) if is_escape or text[end] == "[" else text[end]
        end += 1
    if not pattern:
        raise ValueError('a name is missing, as in "Objects/2:Machine/2:Temperature"')
    is_any_depth = pattern == ANY_DEPTH
    if is_any_depth and namespace is not None:
        raise ValueError("** is of any namespace; write it alone")
    return PathStep(namespace, pattern, is_any_depth), text[end + 1 :], end >= len(text)


def _literal(character: str) -> str:
    return f"[{character}]" if character in "*?[" else character
