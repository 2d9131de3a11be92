"""What the settings know of a source's sensors."""

from __future__ import annotations

from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading, Tag
from edge_agent.pipeline.sensor_health.expected import ExpectedSignal, checks_of
from edge_agent.settings import WaveformSettings
from edge_agent.settings.source_kinds import built_in_kinds

SECOND_NS = 1_000_000_000
SPEED = Tag("fan-2.speed", "1/min", "general")


def source(**more: object) -> WaveformSettings:
    given = {"type": "synthetic", "name": "rig", "asset": "rig-1", "channels": [{"point": "x"}], **more}
    settings = built_in_kinds()["synthetic"].model_validate(given)
    assert isinstance(settings, WaveformSettings)
    return settings


def test_speeds_are_those_of_the_indicators_and_a_stale_tag_says_none() -> None:
    indicators = [
        {"family": "orders", "shaft_hz": 25.0},
        {"family": "envelope", "shaft_tag": SPEED.name, "shaft_tag_scale": 1 / 60, "max_age_s": 10},
        {"family": "velocity"},
    ]
    reading = Reading(SPEED, 3000.0, Quality.GOOD, None, SECOND_NS)
    now = [2 * SECOND_NS]
    expected = ExpectedSignal(source(indicators=indicators), lambda: {SPEED.name: reading}, lambda: now[0])
    assert expected()[0].shaft_hz == (25.0, 50.0)
    now[0] = 60 * SECOND_NS
    assert expected()[0].shaft_hz == (25.0, 50.0), "a PLC that is lost does not make a motor's line hum"


def test_while_a_tag_has_told_no_speed_yet_a_line_of_the_mains_may_be_the_shafts() -> None:
    indicators = [{"family": "envelope", "shaft_tag": SPEED.name, "shaft_tag_scale": 1 / 60, "max_age_s": 10}]
    readings: dict[str, Reading] = {}
    expected = ExpectedSignal(source(indicators=indicators), lambda: readings, lambda: 2 * SECOND_NS)
    assert expected()[0].shaft_hz == (50.0, 60.0)
    readings[SPEED.name] = Reading(SPEED, 1800.0, Quality.GOOD, None, SECOND_NS)
    assert expected()[0].shaft_hz == (30.0,)


def test_what_is_looked_for_is_as_configured() -> None:
    assert checks_of(source()) == {"not_finite", "flat", "clipped", "saturated", "light_clipping", "mains_hum"}
    assert checks_of(source(sensor_checks=["flat"])) == {"not_finite", "flat"}
    said = source(sensor_checks=[], channels=[{"point": "x", "full_scale": 50.0, "mean_range": [-0.1, 0.1]}])
    assert checks_of(said) == {"not_finite", "saturated", "light_clipping", "bias"}
    assert said.channels[0].mean_range == (-0.1, 0.1)
