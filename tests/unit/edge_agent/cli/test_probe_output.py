"""What all probes have in common: one form for failures, and lines that a site's file takes as they are."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
import typer

from edge_agent.cli.probe_output import answer, checked, for_the_file, site_lines
from edge_agent.drivers.mqtt.settings import MqttSettings
from edge_agent.errors import ConfigurationError, EdgeError, TransientDriverError


def fails() -> dict[str, Any]:
    raise TransientDriverError("probe: nothing listens there", hint="is it on?")


def refuses() -> dict[str, Any]:
    raise ConfigurationError("host: missing", hint="see --help")


def test_a_failure_is_one_object_and_names_no_source_that_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught:
        answer(fails, str, as_json=True)
    assert caught.value.exit_code == 1
    assert json.loads(capsys.readouterr().out) == {"error": "nothing listens there", "hint": "is it on?"}


@pytest.mark.parametrize("probe", [fails, refuses])
def test_for_a_person_each_failure_is_said_at_the_root_and_exits_alike(probe: Any) -> None:
    with pytest.raises(EdgeError) as caught:
        answer(probe, str, as_json=False)
    assert type(caught.value) is EdgeError  # exit code 1; a ConfigurationError would be 3
    assert not caught.value.message.startswith("probe")


def test_wrong_options_are_all_said_in_the_words_of_validate() -> None:
    with pytest.raises(ConfigurationError) as caught:
        checked(MqttSettings, {"type": "mqtt", "name": "probe", "port": 99_999, "tags": []})
    assert "host: " in caught.value.message
    assert "port: " in caught.value.message
    assert "probe." not in caught.value.message


def test_the_lines_for_the_file_come_last_below_a_comment_and_are_toml() -> None:
    toml = site_lines({"type": "mqtt", "name": 'hall "2"'}, "tags", [{"name": "a", "unit": "°C"}])
    lines = for_the_file(toml, "give units")
    assert "give units" in lines[1]
    assert tomllib.loads("\n".join(lines))["sources"][0]["tags"] == [{"name": "a", "unit": "°C"}]
