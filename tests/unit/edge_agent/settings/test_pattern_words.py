"""Patterns of the settings in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.errors import ConfigurationError
from edge_agent.settings import Settings
from edge_agent.settings.load import load_settings
from edge_agent.settings.pattern_words import IN_WORDS

SITE = """\
[gateway]
id = "gw-1"
site = "plant"
[central]
url = "https://central.example.com"
[[sources]]
type = "synthetic"
name = "shaft"
asset = "rig-1"
sample_rate_hz = 20480
channels = [{ point = "de-x" }]
"""


def patterns_of(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for part in schema.values():
            yield from patterns_of(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from patterns_of(part)


def test_every_pattern_of_the_settings_has_words_and_no_other() -> None:
    assert set(patterns_of(Settings.model_json_schema())) == set(IN_WORDS)


@pytest.mark.parametrize(
    ("right", "wrong", "line", "said"),
    [
        ('id = "gw-1"', 'id = "Gateway 1!"', 2, "a name of small letters"),
        ('url = "https://central.example.com"', 'url = "central.example.com"', 5, "begins with https://"),
        ('site = "plant"', 'site = "plant"\nstate_dir = 5', 4, "a path, in quotes (it is 5)"),
        ("sample_rate_hz = 20480", 'sample_rate_hz = "20 kHz"', 10, "a number alone, without quotes"),
        ('point = "de-x"', 'point = "de x"', 11, "a name of small letters"),
    ],
)
def test_a_text_of_the_wrong_shape_is_told_what_should_stand_there(
    tmp_path: Path, right: str, wrong: str, line: int, said: str
) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(SITE.replace(right, wrong), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load_settings(path)
    assert said in refused.value.message
    assert "^" not in refused.value.message
    assert refused.value.message.startswith(f"{path}:{line}: ")
