"""Settings of a link whose bytes cost."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest

from edge_agent.daemon.assembly import policy_of
from edge_agent.delivery.central_connection import connection_of
from edge_agent.errors import ConfigurationError
from edge_agent.settings.load import load_settings

SITE = """\
[gateway]
id = "gw-1"
site = "plant"
[central]
url = "https://central.example.com"
{}
[[sources]]
type = "synthetic"
name = "shaft"
asset = "rig-1"
sample_rate_hz = 20480
channels = [{{ point = "de-x" }}]
"""


def load(tmp_path: Path, central: str):
    file = tmp_path / "edge.toml"
    file.write_text(SITE.format(central))
    return load_settings(file).central


def test_normal_link_is_used_as_its_own_settings_say(tmp_path: Path):
    central = load(tmp_path, "backoff_max_s = 7")
    assert central.sparing is None
    assert (central.longest_backoff_s, central.asked_every_s(3_600.0)) == (7.0, 3_600.0)
    assert not connection_of(central).use.is_sparing
    assert policy_of(central).in_flight == central.batches_in_flight > 1


def test_metered_profile_collects_keeps_connections_and_asks_seldom(tmp_path: Path):
    central = load(tmp_path, 'link_profile = "metered"')
    assert central.sparing is not None
    assert central.sparing.send_interval_s == 1_800.0
    assert (central.longest_backoff_s, central.asked_every_s(3_600.0), central.asked_every_s(0.0)) == (
        300.0,
        86_400.0,
        0,
    )
    use = connection_of(central).use
    assert (use.idle_s, use.mqtt_keepalive_s, use.is_sparing) == (3_600.0, 300, True)
    assert policy_of(central).in_flight == 1


def test_values_of_the_profile_can_be_given(tmp_path: Path):
    central = load(tmp_path, 'link_profile = "metered"\nmetered = { send_interval_s = 60 }\nbackoff_max_s = 500')
    assert central.sparing is not None
    assert (central.sparing.send_interval_s, central.sparing.poll_every_s) == (60.0, 86_400.0)
    assert central.longest_backoff_s == 500.0


def test_budget_and_quiet_hours(tmp_path: Path):
    central = load(
        tmp_path,
        'budget = { bytes_per_month = 100_000_000, month_starts_on = 12 }\n'
        '[[central.quiet_hours]]\nstart = "22:00"\nend = "06:00"\n',
    )  # fmt: skip
    assert central.budget is not None
    assert (central.budget.bytes_per_day, central.budget.calendar) == (None, "local")
    assert central.quiet_hours[0].span == (time(22), time(6))
    assert central.quiet_hours[0].allow == "events"


@pytest.mark.parametrize(
    ("central", "line", "said"),
    [
        ("budget = { bytes_per_day = 0 }", 6, "a budget of 0 would send no reading at all"),
        ("budget = { bytes_per_month = 0 }", 6, "remove the setting"),
        ("budget = { bytes_per_day = -5 }", 6, "a budget of -5"),
        ("budget = { bytes_per_day = 500 }", 6, "do not last for one connection"),
        ("budget = {}", 6, "needs bytes_per_day or bytes_per_month"),
        ("budget = { bytes_per_day = 50_000, month_starts_on = 31 }", 6, "28"),
        ("metered = { send_interval_s = 60 }", 4, 'has no use without link_profile = "metered"'),
        ('link_profile = "metered"\nmetered = { send_interval_s = 0 }', 7, "greater than 0"),
        ('quiet_hours = [{ start = "22:00", end = "22:00" }]', 6, "both 22:00"),
        ('quiet_hours = [{ start = "24:00", end = "06:00" }]', 6, "a time of day"),
        ('quiet_hours = [{ start = "22:00" }]', 6, "end: is missing"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, central: str, line: int, said: str):
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, central)
    assert f"edge.toml:{line}: " in caught.value.message
    assert said in caught.value.message
