"""A server's data values as readings: words, and times while this gateway's own clock is not known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from asyncua import ua

from edge_agent.core.clock import FakeClock
from edge_agent.core.quality import Quality, exact_digits
from edge_agent.drivers.opcua.decoding.values import Values
from edge_agent.drivers.opcua.settings import OpcUaSettings

SETTINGS = OpcUaSettings.model_validate({
    "type": "opcua", "name": "plc", "endpoint": "opc.tcp://h:4840", "allow_plaintext": True,
    "nodes": [
        {"name": "p.t", "unit": "", "node_id": "i=1"},
        {"name": "p.mode", "unit": "", "node_id": "i=2", "scale": 10},
    ],
})  # fmt: skip


class UnknownClock(FakeClock):
    """Nobody knows how far it is off."""

    def of_utc(self, utc_ns: int) -> int | None:
        return None


def value(number: float, at: datetime | None = None) -> ua.DataValue:
    return ua.DataValue(ua.Variant(number), SourceTimestamp=at)


def test_a_time_that_cannot_be_put_on_our_clock_is_not_used_and_its_skew_is_shown() -> None:
    values, clock = Values(SETTINGS, UnknownClock()), FakeClock()
    for n in range(4):
        clock.advance(1.0)
        at = datetime.fromtimestamp(clock.now_ns() / 1e9, UTC) + timedelta(hours=2)
        reading = values.reading(0, value(float(n), at), clock.now_ns())
        assert reading.source_time_ns is None
    assert values.times.skew.seconds() == 7_200.0


def test_the_word_is_of_the_number_before_it_is_scaled() -> None:
    values = Values(SETTINGS, FakeClock())
    values.words[1] = {2: "auto"}
    readings = [values.reading(1, ua.DataValue(ua.Variant(raw, ua.VariantType.Int32)), 5) for raw in (2, 3)]
    assert [(reading.value, reading.word) for reading in readings] == [(20.0, "auto"), (30.0, "")]


def test_a_bad_status_has_neither_number_nor_word() -> None:
    values = Values(SETTINGS, FakeClock())
    values.words[1] = {2: "auto"}
    bad = ua.DataValue(ua.Variant(2, ua.VariantType.Int32), ua.StatusCode(ua.StatusCodes.BadSensorFailure))
    reading = values.reading(1, bad, 5)
    assert (reading.value, reading.word, reading.status) == (None, "", "0x808C0000 BadSensorFailure")


def moving(*numbers: object) -> list[tuple[float | None, Quality, str]]:
    """Give values of a node with scale 10 whose source's time moves; return what is read."""
    values, clock, found = Values(SETTINGS, FakeClock()), FakeClock(), []
    values.words[1] = {2: "auto"}
    for number in numbers:
        clock.advance(1.0)
        at = datetime.fromtimestamp(clock.now_ns() / 1e9, UTC)
        data_value = ua.DataValue(ua.Variant(number), SourceTimestamp=at, ServerTimestamp=at)
        reading = values.reading(1, data_value, clock.now_ns())
        assert reading.source_time_ns == clock.now_ns()
        found.append((reading.value, reading.quality, f"{reading.status} {reading.word}".strip()))
    return found


@pytest.mark.parametrize(
    ("number", "value", "quality", "said"),
    [
        (2.5, 25.0, Quality.GOOD, "0x00000000 Good"),
        (2, 20.0, Quality.GOOD, "0x00000000 Good auto"),
        (True, 10.0, Quality.GOOD, "0x00000000 Good"),
        (2**53, 2**53 * 10.0, Quality.GOOD, "0x00000000 Good"),
        (
            2**53 + 1,
            2**53 * 10.0,
            Quality.UNCERTAIN,
            f"0x00000000 Good; {exact_digits(2**53 + 1)}",
        ),
        (1e308, None, Quality.BAD, "0x00000000 Good, but the value is 1e+308, not a finite number"),
        (float("nan"), None, Quality.BAD, "0x00000000 Good, but the value is nan, not a finite number"),
        (
            "12",
            None,
            Quality.BAD,
            (
                '0x00000000 Good, but the value is a String "12", not a number'
                ": parse = true at its node takes the number in it"
            ),
        ),
    ],
)
def test_a_value_is_the_same_whether_or_not_one_came_before_it(number, value, quality, said) -> None:
    (first,) = moving(number)
    assert first == moving(1.0, number)[1] == (value, quality, said)
