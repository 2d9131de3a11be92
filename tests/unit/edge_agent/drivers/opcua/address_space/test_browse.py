"""Nodes found by name at a server that cuts its answers, keeps few continuation points, and has circles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from asyncua import ua

from edge_agent.drivers.opcua.address_space.browse import ROOT, Browser
from edge_agent.drivers.opcua.node_address import UnknownNamespaceError, parse_browse_path

pytestmark = pytest.mark.asyncio
URIS = ("http://opcfoundation.org/UA/", "urn:server", "urn:plant")


def node_id(path: str) -> Any:
    return ROOT if path == "" else ua.NodeId(path, 2)


class FakeServer:
    """Serves a tree of names below Root: capitals are objects, small letters variables. A name after > is a node above.

    An answer holds `cut` references for a node; so many `points` are kept for what is left, and `per_call` nodes are
    taken in a call.
    """

    def __init__(self, tree: Mapping[str, Any], *, cut: int = 1_000, points: int = 1, per_call: int = 1_000) -> None:
        self._tree = tree
        self._cut, self._points, self._per_call = cut, points, per_call
        self.kept: dict[bytes, list[Any]] = {}
        self.calls = 0
        self.uaclient = SimpleNamespace(session=self)

    async def browse(self, parameters: ua.BrowseParameters) -> list[ua.BrowseResult]:
        self.calls += 1
        if len(parameters.NodesToBrowse) > self._per_call:
            raise ua.uaerrors.BadTooManyOperations
        return [self._result(self._references(each.NodeId)) for each in parameters.NodesToBrowse]

    async def browse_next(self, parameters: ua.BrowseNextParameters) -> list[ua.BrowseResult]:
        left = [self.kept.pop(point) for point in parameters.ContinuationPoints]
        if parameters.ReleaseContinuationPoints:
            return [ua.BrowseResult() for _ in left]
        return [self._result(references) for references in left]

    def _result(self, references: Sequence[Any]) -> ua.BrowseResult:
        if len(references) <= self._cut:
            return ua.BrowseResult(References=list(references))
        if len(self.kept) == self._points:
            return ua.BrowseResult(StatusCode=ua.StatusCode(ua.StatusCodes.BadNoContinuationPoints))
        point = f"{self.calls}.{len(references)}".encode()
        self.kept[point] = list(references[self._cut :])
        return ua.BrowseResult(ContinuationPoint=point, References=list(references[: self._cut]))

    def _references(self, node: Any) -> list[Any]:
        path = "" if node == ROOT else str(node.Identifier)
        below: Any = self._tree
        for name in path.split("|") if path else ():
            below = below[name]
        return [self._reference(path, name) for name in below or ()]

    def _reference(self, path: str, name: str) -> Any:
        shown, _, above = name.partition(">")
        target = above if above else f"{path}|{shown}".strip("|")
        kind = ua.NodeClass.Object if shown[0].isupper() else ua.NodeClass.Variable
        name_and_index = ua.QualifiedName(shown, 0 if shown in ("Objects", "Types") else 2)
        return ua.ReferenceDescription(NodeId=node_id(target), BrowseName=name_and_index, NodeClass=kind)


PLANT = {
    "Objects": {
        "Press": {"Left": {"temp": None, "force": None}, "Right": {"temp": None, "Up>Objects|Press": None}},
        "Pump": {f"t{n}": None for n in range(7)},
    },
    "Types": {"Deep": {"temp": None}},
}


async def found(server: FakeServer, path: str, **more: Any) -> list[str]:
    browser = Browser(server, URIS, **more)  # type: ignore[arg-type]
    return [node.path for node in await browser.find(parse_browse_path(path))]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Objects/Press/Left/temp", ["0:Objects/2:Press/2:Left/2:temp"]),
        ("Objects/2:Press/*/temp", ["0:Objects/2:Press/2:Left/2:temp", "0:Objects/2:Press/2:Right/2:temp"]),
        ("0:Objects/nsu=urn:plant;Press/L?ft/f*", ["0:Objects/2:Press/2:Left/2:force"]),
        ("Objects/1:Press/Left/temp", []),
        ("Objects/**/force", ["0:Objects/2:Press/2:Left/2:force"]),
        ("**/Right/**", ["0:Objects/2:Press/2:Right", "0:Objects/2:Press/2:Right/2:temp"]),
    ],
)
async def test_names_wildcards_and_any_depth(path, expected) -> None:
    paths = await found(FakeServer(PLANT), path)
    assert [each for each in paths if "Up" not in each] == expected


async def test_a_circle_ends() -> None:
    paths = await found(FakeServer(PLANT), "Objects/**")
    assert len(paths) == len(set(paths)) == 15


async def test_what_an_answer_leaves_out_is_fetched_also_with_one_continuation_point() -> None:
    server = FakeServer(PLANT, cut=2, points=1)
    assert len(await found(server, "Objects/Pump/*")) == 7
    assert len(await found(FakeServer(PLANT, cut=1, points=1), "**/temp")) == 3
    assert server.kept == {}


async def test_a_server_that_takes_few_nodes_in_a_call_is_asked_in_parts() -> None:
    assert len(await found(FakeServer(PLANT, per_call=1), "**/temp")) == 3
    assert len(await found(FakeServer(PLANT, per_call=1), "**/temp", max_per_call=1)) == 3


async def test_a_browse_ends_at_its_bounds_and_says_so() -> None:
    server = FakeServer(PLANT, cut=2)
    browser = Browser(server, URIS, max_nodes=5)  # type: ignore[arg-type]
    await browser.find(parse_browse_path("**"))
    assert browser.is_cut
    assert server.kept == {}, "what is not fetched is released"
    await browser.find(parse_browse_path("Objects/Press"))
    assert not browser.is_cut
    deep = Browser(FakeServer(PLANT), URIS, max_depth=2)  # type: ignore[arg-type]
    await deep.find(parse_browse_path("**/temp"))
    assert deep.is_cut


async def test_children_are_asked_for_once() -> None:
    server = FakeServer(PLANT)
    browser = Browser(server, URIS)  # type: ignore[arg-type]
    await browser.find(parse_browse_path("Objects/Press/Left/temp"))
    calls = server.calls
    await browser.find(parse_browse_path("Objects/Press/Left/force"))
    assert server.calls == calls


async def test_a_path_that_is_found_finds_its_node_again() -> None:
    tree = {"Objects": {"A/b*": {"x?": None, "x1": None}, "A&": {"nsu=u;x": None}}}
    browser = Browser(FakeServer(tree), URIS)  # type: ignore[arg-type]
    for node in await browser.find(parse_browse_path("Objects/**")):
        (again,) = await browser.find(parse_browse_path(node.path))
        assert again == node


async def test_a_namespace_the_server_does_not_have_is_an_error() -> None:
    with pytest.raises(UnknownNamespaceError, match="urn:other"):
        await found(FakeServer(PLANT), "Objects/nsu=urn:other;Press")
