"""The pages about sources: lines that are there to be copied are a valid site, and every probe has its section."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_agent.cli.probe import probe_app
from edge_agent.settings.load import load_settings

DOCS = Path(__file__).parents[2] / "docs"
SITE = '[gateway]\nid = "gw-1"\nsite = "plant"\n[central]\nurl = "https://central.example.com"\n'
WHOLE = {"COMMISSIONING.md", "MQTT_SOURCE.md", "OPCUA.md"}
BLOCKS = [
    (page, block)
    for page in sorted(WHOLE)
    for block in re.findall(r"^```toml\n(\[\[sources\]\]\n.*?)^```", (DOCS / page).read_text("utf-8"), re.M | re.S)
]
SHAPE = (
    "**What you need**",
    "```sh",
    "**What it prints**",
    "**Lines for the site's file**",
    "**What usually goes wrong**",
)


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[page for page, _ in BLOCKS])
def test_lines_to_copy_are_a_valid_site(page: str, block: str, tmp_path: Path) -> None:
    (file := tmp_path / "edge.toml").write_text(SITE + block, encoding="utf-8")
    assert len(load_settings(file).sources) == 1, page


def test_each_probe_has_a_section_of_the_same_shape() -> None:
    sections = re.split(r"^## ", (DOCS / "COMMISSIONING.md").read_text("utf-8"), flags=re.M)[1:]
    for command in probe_app.registered_commands:
        (section,) = (text for text in sections if f"```sh\nedge-agent probe {command.name}" in text)
        places = [section.find(part) for part in SHAPE]
        assert -1 not in places, command.name
        assert places == sorted(places), command.name
