from __future__ import annotations

from cloud_sync.records import Series
from edge_agent.core.quality import Quality
from edge_agent.pipeline.recorder import Recorder

SERIES = Series("press-3.torque", "manufacturing", "Nm")
NOON_NS = 1_700_000_000_000_000_000
HOUR_NS = 3_600_000_000_000


def recorder() -> Recorder:
    return Recorder(is_clock_synced=lambda: True)


def test_times_are_rounded_to_microseconds_before_they_are_keys() -> None:
    row = recorder().row(SERIES, NOON_NS + 1_600, 1.0, Quality.GOOD)
    assert row is not None
    assert row.time_us == NOON_NS // 1000 + 2


def test_a_clock_set_back_is_one_gap_told_when_it_begins_and_when_it_is_over() -> None:
    box = recorder()
    assert box.row(SERIES, NOON_NS, 1.0, Quality.GOOD) is not None
    assert box.row(SERIES, NOON_NS - HOUR_NS, 1.0, Quality.GOOD) is None
    assert box.row(SERIES, NOON_NS - HOUR_NS + 1_000_000, 1.0, Quality.GOOD) is None
    (begun,) = box.take_events()
    assert begun.body["cause"] == "clock_set_back"
    assert "3600 s behind" in begun.body["detail"]
    assert box.clock.since_ns is not None
    assert box.row(SERIES, NOON_NS + HOUR_NS, 1.0, Quality.GOOD) is not None
    (ended,) = box.take_events()
    assert ended.body["end_us"] - ended.body["start_us"] == 2 * HOUR_NS // 1000
    assert box.clock.since_ns is None
    assert box.late_total == 2


def test_two_readings_of_one_instant_are_no_step_of_the_clock() -> None:
    box = recorder()
    box.row(SERIES, NOON_NS, 1.0, Quality.GOOD)
    assert box.row(SERIES, NOON_NS, 2.0, Quality.GOOD) is None
    assert box.take_events() == []


def test_a_sensor_that_is_not_late_does_not_end_the_step_of_the_others() -> None:
    box, other = recorder(), Series("press-3.speed", "manufacturing", "rpm")
    box.row(SERIES, NOON_NS, 1.0, Quality.GOOD)
    for i in range(3):
        box.row(SERIES, NOON_NS - HOUR_NS + i, 1.0, Quality.GOOD)
        assert box.row(other, NOON_NS - HOUR_NS + i * 1_000, 1.0, Quality.GOOD) is not None
    assert len(box.take_events()) == 1
