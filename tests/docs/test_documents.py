"""What is written for people, held to what there is: commands, targets, settings, links, versions."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from cloud_sync.central.cli.main import app as central_app
from converters.cli import app as convert_app
from docs import feature_reference
from docs.configuration_reference import render
from edge_agent import __version__
from edge_agent.cli.main import app as agent_app
from edge_agent.dsp.catalog import CATALOG

REPOSITORY = Path(__file__).parents[2]
README = REPOSITORY / "README.md"
DECISIONS = REPOSITORY / "docs" / "decisions"
OURS = {"edge-agent": agent_app, "edge-convert": convert_app, "edge-central": central_app}
PROGRAM = r"(edge-(?:agent|convert|central))"
A_COMMAND = re.compile(rf"(?<![\w./-])(?:\.venv/bin/)?{PROGRAM} ([a-z][a-z-]*)\b([^`\n]*)")
IN_TEXT = re.compile(r"`([^`\n]+)`")
A_BLOCK = re.compile(r"```(?:sh|console)\n(.*?)```", re.DOTALL)
A_COMMENT = re.compile(r"^#.*$", re.MULTILINE)


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [REPOSITORY / line for line in listed.stdout.splitlines()]


DOCUMENTS = tracked("*.md", "config/*.toml", "systemd/*", "Dockerfile.arm64")


def shown(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def code_in(path: Path) -> str:
    """What a reader would type: code blocks and quoted words, and in our comments the same."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return "\n".join([*A_BLOCK.findall(text), *IN_TEXT.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL))])
    comments = "\n".join(A_COMMENT.findall(text))
    return "\n".join([*IN_TEXT.findall(comments), *re.findall(r"^# +(.*edge-\w+ .*--.*)$", comments, re.MULTILINE)])


def commands_in(path: Path) -> set[tuple[str, str]]:
    return {(name, command) for name, command, _ in A_COMMAND.findall(code_in(path))}


def existing() -> set[tuple[str, str]]:
    return {(name, command) for name, app in OURS.items() for command in get_command(app).commands}  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_a_document_names_only_commands_that_exist(path: Path) -> None:
    assert commands_in(path) <= existing()


def test_commands_are_found_in_the_readme() -> None:
    found = commands_in(README)
    assert {("edge-agent", "status"), ("edge-agent", "validate"), ("edge-agent", "run")} <= found


def test_every_command_of_the_agent_is_told_somewhere() -> None:
    told = set().union(*(commands_in(path) for path in DOCUMENTS))
    assert {item for item in existing() - told if item[0] == "edge-agent"} == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_a_document_gives_only_options_that_exist(path: Path) -> None:
    for name, command, rest in A_COMMAND.findall(code_in(path)):
        found = get_command(OURS[name]).commands[command]  # type: ignore[attr-defined]
        if hasattr(found, "commands") and (below := re.match(r" ([a-z-]+)", rest)):
            found = found.commands[below[1]]
        known = {option for parameter in found.params for option in parameter.opts}
        assert set(re.findall(r"(?<!\S)--[\w-]+", re.split(r" # |  \(", rest)[0])) <= known, (name, command)


def test_the_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        path: set(re.findall(r"(?:^|`)make ([a-z]+)", path.read_text(encoding="utf-8"), re.M)) for path in DOCUMENTS
    }
    assert {"demo", "test"} <= named[README]
    assert {shown(path): there - targets for path, there in named.items() if there - targets} == {}


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").split()) < 600


def test_the_settings_page_is_the_settings_own() -> None:
    written = (REPOSITORY / "docs" / "CONFIGURATION.md").read_text(encoding="utf-8")
    assert written == render(), "run `python -m docs.configuration_reference > docs/CONFIGURATION.md`"


def test_the_feature_reference_is_that_of_the_catalogue() -> None:
    written = (REPOSITORY / "docs/FEATURES.md").read_text()
    assert written == feature_reference.render(), "run `python -m docs.feature_reference > docs/FEATURES.md`"


def test_every_family_of_windows_has_its_picture() -> None:
    drawn = {path.stem for path in feature_reference.PICTURES.glob("*.png")}
    assert drawn == {name for name in CATALOG.families if CATALOG.family(name).example is not None}


@pytest.mark.parametrize("path", tracked("*.md"), ids=shown)
def test_a_link_leads_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=shown)
def test_a_document_knows_no_machine_of_ours(path: Path) -> None:
    assert re.findall(r"(?<![\w.-])/(?:work|root|home)(?![\w-])", path.read_text(encoding="utf-8")) == []


def test_the_changelog_speaks_of_this_version() -> None:
    newest = re.search(r"^## \[([^\]]+)\]", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__
    assert f'version = "{__version__}"' in (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")


def test_the_decisions_are_numbered_without_a_hole() -> None:
    names = sorted(path.name for path in DECISIONS.glob("0*.md"))
    assert [name[:4] for name in names] == [f"{number:04}" for number in range(1, len(names) + 1)]


def test_the_list_of_decisions_has_each_with_its_title() -> None:
    titles = [(path.name, path.read_text(encoding="utf-8").splitlines()[0]) for path in sorted(DECISIONS.glob("0*.md"))]
    listed = re.findall(
        r"^(\d+\. )\[(.+)\]\((.+)\)$", (DECISIONS / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [(name, f"# {number}{title}") for number, title, name in listed] == titles


def test_the_index_of_the_pages_names_every_page() -> None:
    index = (REPOSITORY / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in (REPOSITORY / "docs").glob("*.md")} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()
