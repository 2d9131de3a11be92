"""Mistakes in how a machine's state is known, each named with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.errors import ConfigurationError
from edge_agent.settings.load import load_settings
from tests.unit.edge_agent.settings.test_gateway import GOOD, TAG_MODEL

STATE = '\n[[operating_states]]\nasset = "pump-7"\n'


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (STATE, "give running_tag or running_source, one of them"),
        (STATE + 'running_source = "pump"\n', "running_source needs running_above"),
        (STATE + 'running_source = "plc"\nrunning_above = 1.0\n', "is no source of samples on it"),
        (STATE + 'running_tag = "press-3.speed"\n', "running_tag is 'press-3.speed', which no source reads"),
        (STATE.replace("pump-7", "fan-9") + 'running_tag = "press-3.temperature"\n', "has this asset"),
        (STATE + 'running_tag = "press-3.temperature"\nstopped_below = 2.0\n', "must not be above running_above"),
        (2 * (STATE + 'running_tag = "press-3.temperature"\n'), "there are two"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, given: str, words: str) -> None:
    site = tmp_path / "edge.toml"
    site.write_text(GOOD + TAG_MODEL + given, encoding="utf-8")
    with pytest.raises(ConfigurationError) as found:
        load_settings(site)
    assert words in found.value.message


def test_a_text_does_not_say_whether_a_machine_runs(tmp_path: Path) -> None:
    site = tmp_path / "edge.toml"
    text = GOOD.replace("address = 4", 'address = 4\ndata_type = "string"\nlength = 4')
    site.write_text(text + STATE + 'running_tag = "press-3.temperature"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="which is text, no number"):
        load_settings(site)


def test_a_machine_is_known_by_a_tag_or_by_its_signal(tmp_path: Path) -> None:
    site = tmp_path / "edge.toml"
    by_signal = STATE + 'running_source = "pump"\nrunning_above = 0.05\nstart_up_s = 30\n'
    by_tag = '\n[[operating_states]]\nasset = "press-3"\nrunning_tag = "press-3.temperature"\n'
    site.write_text(GOOD + TAG_MODEL + by_signal + by_tag, encoding="utf-8")
    signal, tag = load_settings(site).operating_states
    assert signal.stops_at == pytest.approx(0.04)
    assert tag.stops_at == tag.running_above == 0.0
