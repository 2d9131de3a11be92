"""Messages as readings: what scale and offset make of them, and integers that a double cannot hold."""

from __future__ import annotations

from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading
from edge_agent.drivers.mqtt.readings import TagReadings
from edge_agent.drivers.mqtt.settings import MqttSettings

NOW_NS = 1_700_000_000_000_000_000


def reading_of(payload: bytes, *, scale: float = 1.0) -> Reading:
    tag = {"name": "press-3.flow", "unit": "", "topic": "flow", "scale": scale}
    place = {"type": "mqtt", "name": "floor", "host": "broker", "allow_plaintext": True, "tags": [tag]}
    (reading,), _ = TagReadings(MqttSettings.model_validate(place)).take(
        "flow", payload, is_retained=False, now_ns=NOW_NS
    )
    return reading


def test_a_number_that_scaling_makes_infinite_is_bad_and_no_value() -> None:
    reading = reading_of(b"1e300", scale=1e300)
    assert (reading.value, reading.quality) == (None, Quality.BAD)
    assert "scale" in reading.status


def test_an_integer_beyond_a_double_is_uncertain_with_its_digits() -> None:
    for payload in (b"9007199254740993", b'"9007199254740993"'):
        reading = reading_of(payload)
        assert reading.quality is Quality.UNCERTAIN
        assert "9007199254740993" in reading.status
