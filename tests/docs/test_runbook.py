"""docs/RUNBOOK.md against the program: each quoted message can be said, and each problem that can be raised has a row.

The program's sentences are the texts in its code; what is filled in is unknown here. A row quotes a sentence, with
`...` and words in capitals for what is filled in.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from edge_agent.cli import why_down

REPOSITORY = Path(__file__).parents[2]
RUNBOOK = (REPOSITORY / "docs" / "RUNBOOK.md").read_text(encoding="utf-8")
FILLED = "\0"
A_GAP = re.compile(
    r"\.\.\.| \(process N\)|\bN rows\b|\b(?:FILE|LINE|NAME|VERSION|RISK|TAG|FAMILY|FEATURE|PART|CLASS|WHO|N|X|Y|D)\b"
)
"""What a row leaves open."""
SAID_BY_STATUS = re.compile(r"^(?:DOWN|MISCONFIGURED|DEGRADED|central): ")
SHORTEST = 8
A_PROBLEM = {"problem", "_problem", "SourceProblem"}
NOT_OURS = {"Start request repeated too quickly", "MISCONFIGURED: FILE:LINE: ...", "central: ..."}
"""Systemd's own words, and rows that stand for any message of their kind."""


def trees() -> Iterator[ast.Module]:
    for package in ("edge_agent", "cloud_sync"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            yield ast.parse(path.read_text(encoding="utf-8"))


def text_of(node: ast.AST | None) -> str | None:
    """The sentence of a text in the code, with a mark for each value that is filled in; None for something else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "" for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return FILLED + noun_of(node.value)
    return None


def noun_of(value: ast.AST) -> str:
    """What `counted(number, "record")` puts behind most numbers."""
    match value:
        case ast.Call(func=ast.Name("counted"), args=[_, ast.Constant(str(noun))]):
            return f" {noun}s"
    return ""


@cache
def sentences() -> frozenset[str]:
    found = (text_of(node) for tree in trees() for node in ast.walk(tree))
    return frozenset(" ".join(text.split()) for text in found if text)


@cache
def rows() -> list[str]:
    """The messages that are explained: of the items with a meaning below them, and of the first column of tables."""
    page = RUNBOOK.split("## CENTRAL: each state")[0]
    items = re.findall(r"^- (.+?)\n  - means: ", re.sub(r"\n  (?! *- )", " ", page), re.MULTILINE)
    cells = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| ")]
    return [quoted for message in items + cells for quoted in re.findall(r"`([^`]+)`", message)]


def fragments(row: str) -> list[str]:
    """What of a quoted message stands in it word by word."""
    parts = [part for gap in A_GAP.split(SAID_BY_STATUS.sub("", row)) for part in re.split(r": |; ", gap)]
    return [part.strip(" :;,()%") for part in parts if len(part.strip(" :;,()%")) > 2]


@pytest.mark.parametrize("row", rows())
def test_what_a_row_quotes_can_be_said(row: str) -> None:
    if row in NOT_OURS:
        return
    said = sentences()
    wanted = fragments(row)
    assert wanted, "nothing in it is a message"
    assert [part for part in wanted if not any(part in sentence for sentence in said)] == []


def problems() -> set[str]:
    """Each sentence that becomes a problem of the status."""
    found = {what for what, _ in (*why_down._ENDED.values(), *why_down._EXIT_STATUS.values())}
    modules = (
        path
        for package in ("status", "installation", "delivery", "drivers")
        for path in (REPOSITORY / "edge_agent" / package).rglob("*.py")
    )
    for path in [*modules, REPOSITORY / "edge_agent/cli/why_down.py"]:
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                found |= {text for text in raised_in(function) if text and len(text.replace(FILLED, "")) > 12}
    return found


def raised_in(function: ast.FunctionDef) -> Iterator[str | None]:
    assigned: dict[str, list[str | None]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            assigned.setdefault(node.targets[0].id, []).append(text_of(node.value))
    whats = [n.args[0] for n in ast.walk(function) if isinstance(n, ast.Call) and is_problem(n) and n.args]
    if re.search(r"_problems?$", function.name):
        whats += [n.elts[0] for n in ast.walk(function) if isinstance(n, ast.Tuple) and len(n.elts) == 2]
    for what in whats:
        yield from assigned.get(what.id, ()) if isinstance(what, ast.Name) else [text_of(what)]


def is_problem(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in A_PROBLEM


def covers(row: str, sentence: str) -> bool:
    """Whether the row quotes what is longest of this sentence word by word, or how that begins."""
    longest = max((part.strip(" :;,()%") for part in sentence.split(FILLED)), key=len)
    return longest in row or any(longest.startswith(part) for part in fragments(row) if len(part) >= SHORTEST)


@pytest.mark.parametrize("sentence", sorted(problems()), ids=lambda text: text.replace(FILLED, "_")[:60])
def test_every_problem_has_a_row(sentence: str) -> None:
    assert any(covers(row, sentence) for row in rows())


def test_the_problems_are_found() -> None:
    found = problems()
    assert len(found) > 20
    assert any(text.startswith("the outbox takes nothing") for text in found)
    assert any("died" in text for text in found)
