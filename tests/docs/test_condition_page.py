"""The examples of docs/CONDITION.md are what a site's file may say."""

from __future__ import annotations

import re
from pathlib import Path

from edge_agent.pipeline.condition.plan import check_rows, indicators_of
from edge_agent.settings import WaveformSettings
from edge_agent.settings.load import load_settings

PAGE = Path(__file__).parents[2] / "docs" / "CONDITION.md"
HEAD = '[gateway]\nid = "gw-1"\nsite = "lab"\n[central]\nurl = "https://central.test"\n'


def test_its_examples_in_order_make_one_configuration_that_can_be_computed(tmp_path: Path) -> None:
    snippets = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(snippets) == 3
    file = tmp_path / "edge.toml"
    file.write_text(HEAD + "".join(snippets), encoding="utf-8")
    settings = load_settings(file)
    (source,) = [s for s in settings.sources if isinstance(s, WaveformSettings)]
    indicators = indicators_of(source, settings.tables)
    assert [indicator.label for indicator in indicators] == ["velocity", "envelope", "envelope", "orders"]
    check_rows(source, indicators)
