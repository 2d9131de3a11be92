"""Paths and modules that a page names exist; the packages and the libraries' doors are those of pyproject.toml."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ARCHITECTURE = (REPOSITORY / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
    "contracts"
]
ROOTS = "edge_agent|cloud_sync|converters|benchmarks|tests|docs|config|systemd|models_onnx"
A_PATH = re.compile(rf"(?<![\w/.*-])((?:{ROOTS})/[\w./-]*\w)(?![\w*/<])")
A_MODULE = re.compile(r"`(?:python -m )?((?:edge_agent|cloud_sync|converters|benchmarks|docs|tests)(?:\.[a-z_]\w*)+)")
A_FILE = re.compile(r"`([a-z_]+\.py)`")
A_FILE_OF_THE_PAGE = re.compile(r"^`([a-z_]+\.py)`:$", re.MULTILINE)
"""A file that a worked example makes: its name, and below it what is in it."""
PLACEHOLDERS = {"NAME", "NNNN-title.md"}
LONGEST = 160
GENERATED = {"docs/CONFIGURATION.md", "docs/FEATURES.md", "models_onnx/README.md"}
"""Their rows are one sentence of the code each."""


def tracked(*patterns: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


PAGES = tracked("*.md")
FILES = {Path(path).name for path in tracked("*.py")}


def is_there(page: str, path: str) -> bool:
    return (REPOSITORY / path).exists() or (REPOSITORY / page).parent.joinpath(path).exists()


def is_module(name: str) -> bool:
    """Whether it is a module, a package, or something in one."""
    path = REPOSITORY.joinpath(*name.split("."))
    return any(each.is_dir() or each.with_suffix(".py").exists() for each in (path, path.parent))


@pytest.mark.parametrize("page", PAGES)
def test_the_paths_that_a_page_names_exist(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    paths = {path for path in A_PATH.findall(text) if not PLACEHOLDERS & set(Path(path).parts)}
    assert {path for path in paths if not is_there(page, path)} == set()
    assert {name for name in A_MODULE.findall(text) if not is_module(name)} == set()
    assert set(A_FILE.findall(text)) - FILES - set(A_FILE_OF_THE_PAGE.findall(text)) == set()


@pytest.mark.parametrize("page", [page for page in PAGES if page not in GENERATED])
def test_the_lines_of_a_page_fit(page: str) -> None:
    lines = (REPOSITORY / page).read_text(encoding="utf-8").splitlines()
    assert [number for number, line in enumerate(lines, 1) if len(line) > LONGEST] == []


def test_the_architecture_names_every_package() -> None:
    packages = [
        path
        for root in ("edge_agent", "cloud_sync", "converters")
        for path in (REPOSITORY / root).glob("*/__init__.py")
    ]
    named = {f"{path.parent.relative_to(REPOSITORY)}" for path in packages}
    assert {name for name in named if f"| `{name}`" not in ARCHITECTURE and f", `{name}`" not in ARCHITECTURE} == set()


def test_the_architecture_names_the_door_of_each_foreign_library() -> None:
    doors = next(contract for contract in CONTRACTS if contract["name"] == "each foreign library has one door")
    section = ARCHITECTURE.split("## The doors")[1].split("\n## ")[0]
    rows = [row.split(" | ") for row in section.splitlines() if row.startswith("| ")]
    told = {library: where for names, where in rows for library in re.findall(r"\w+", names)}
    assert set(doors["forbidden_modules"]) - set(told) == set()


def test_what_a_change_needs_is_told_for_many_changes() -> None:
    table = ARCHITECTURE.split("## I want to change X: look in Y")[1].split("\n## ")[0]
    rows = [row for row in table.splitlines() if row.startswith("| ")][1:]
    assert len(rows) >= 25
    assert [row for row in rows if not A_PATH.search(row) and "pyproject.toml" not in row] == []


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_a_link_into_a_page_names_a_heading_of_it(page: str) -> None:
    path = REPOSITORY / page
    links = re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", path.read_text(encoding="utf-8"))
    assert [(to, heading) for to, heading in links if heading not in anchors(path.parent / to if to else path)] == []
