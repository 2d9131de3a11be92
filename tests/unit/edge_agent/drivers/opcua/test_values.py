"""A server's data values as readings: words, and times while this gateway's own clock is not known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from asyncua import ua

from edge_agent.core.clock import FakeClock
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.drivers.opcua.values import Values

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
