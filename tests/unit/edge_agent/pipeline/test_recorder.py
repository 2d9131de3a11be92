from __future__ import annotations

import math

import pytest

from cloud_sync.records import Row, Series
from edge_agent.core.quality import UNSYNCED_CLOCK_CAP, Quality
from edge_agent.pipeline.recorder import Recorder

SERIES = Series("press-3.torque", "manufacturing", "Nm")
OTHER = Series("press-3.speed", "manufacturing", "rpm")
NOON_NS = 1_700_000_000_000_000_000
HOUR_NS = 3_600_000_000_000


def recorder() -> Recorder:
    return Recorder(is_clock_synced=lambda: True)


def recorded(box: Recorder, series: Series, time_ns: int, value: float = 1.0) -> list[Row]:
    """The rows that one reading of good quality leads to: one or none."""
    rows = box.rows()
    is_added = rows.add(series, time_ns, value, Quality.GOOD)
    found = [row for columns in rows.taken() for row in columns.rows()]
    assert len(found) == is_added
    return found


def test_times_are_rounded_to_microseconds_before_they_are_keys() -> None:
    (row,) = recorded(recorder(), SERIES, NOON_NS + 1_600)
    assert row == Row(SERIES, NOON_NS // 1000 + 2, 1.0, 1.0)


def test_rows_that_arise_together_are_one_record_in_their_order() -> None:
    box = recorder()
    rows = box.rows()
    for n in range(3):
        rows.add(OTHER, NOON_NS + n * 1_000, float(n), Quality.GOOD)
        rows.add(SERIES, NOON_NS + n * 1_000, -float(n), Quality.UNCERTAIN)
    (columns,) = rows.taken()
    expected = [
        row
        for n in range(3)
        for row in (
            Row(OTHER, NOON_NS // 1000 + n, float(n), 1.0),
            Row(SERIES, NOON_NS // 1000 + n, -float(n), 0.4),
        )
    ]
    assert list(columns.rows()) == expected


def test_records_share_one_table_of_series_until_there_is_another() -> None:
    box = recorder()
    taken = []
    for series in (SERIES, SERIES, OTHER, SERIES):
        rows = box.rows()
        rows.add(series, NOON_NS + len(taken) * 1_000, 1.0, Quality.GOOD)
        taken += rows.taken()
    first, second, third, last = (columns.series for columns in taken)
    assert first is second
    assert third is last
    assert last == (SERIES, OTHER)


def test_a_value_that_is_not_finite_is_never_a_row() -> None:
    rows = recorder().rows()
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match=r"press-3\.torque: .* is not a value"):
            rows.add(SERIES, NOON_NS, value, Quality.GOOD)
    assert rows.taken() == []


def test_an_unsynchronised_clock_caps_the_quality_and_raises_none() -> None:
    rows = Recorder(is_clock_synced=lambda: False).rows()
    rows.add(SERIES, NOON_NS, 1.0, Quality.GOOD)
    rows.add(OTHER, NOON_NS, 1.0, Quality.UNCERTAIN)
    (columns,) = rows.taken()
    assert columns.quality.tolist() == [UNSYNCED_CLOCK_CAP, 0.4]


def test_two_series_of_one_sensor_share_its_last_time() -> None:
    box, imperial = recorder(), Series(SERIES.sensor_id, "manufacturing", "lbf ft")
    assert recorded(box, SERIES, NOON_NS)
    assert not recorded(box, imperial, NOON_NS)
    assert recorded(box, imperial, NOON_NS + 1_000)


def test_a_clock_set_back_is_one_gap_told_when_it_begins_and_when_it_is_over() -> None:
    box = recorder()
    assert recorded(box, SERIES, NOON_NS)
    assert not recorded(box, SERIES, NOON_NS - HOUR_NS)
    assert not recorded(box, SERIES, NOON_NS - HOUR_NS + 1_000_000)
    (begun,) = box.take_events()
    assert begun.body["cause"] == "clock_set_back"
    assert "3600 s behind" in begun.body["detail"]
    assert box.clock.since_ns is not None
    assert recorded(box, SERIES, NOON_NS + HOUR_NS)
    (ended,) = box.take_events()
    assert ended.body["end_us"] - ended.body["start_us"] == 2 * HOUR_NS // 1000
    assert box.clock.since_ns is None
    assert box.late_total == 2


def test_a_clock_that_stood_in_2099_holds_up_nothing_once_it_is_right() -> None:
    is_synced = False
    box = Recorder(is_clock_synced=lambda: is_synced)
    assert recorded(box, SERIES, NOON_NS)
    assert recorded(box, SERIES, NOON_NS + 73 * 365 * 24 * HOUR_NS)
    assert not recorded(box, SERIES, NOON_NS + HOUR_NS)
    (begun,) = box.take_events()
    assert begun.body["cause"] == "clock_set_back"
    is_synced = True
    assert recorded(box, SERIES, NOON_NS + 2 * HOUR_NS)
    (ended,) = box.take_events()
    assert ended.body["end_us"] - ended.body["start_us"] == HOUR_NS // 1000
    assert box.clock.since_ns is None
    assert not recorded(box, SERIES, NOON_NS + 2 * HOUR_NS)


def test_a_right_clock_that_was_an_hour_ahead_is_waited_for() -> None:
    box = recorder()
    assert recorded(box, SERIES, NOON_NS + HOUR_NS)
    assert not recorded(box, SERIES, NOON_NS)


def test_rows_that_are_withheld_name_the_source_whose_times_are_behind() -> None:
    box, series = recorder(), Series("press-3.torque", "manufacturing", "Nm", {"source": "press-plc"})
    recorded(box, series, NOON_NS)
    recorded(box, series, NOON_NS - HOUR_NS)
    (begun,) = box.take_events()
    assert begun.body["detail"].startswith("press-plc: its times are 3600 s behind the newest row of press-3.torque")


def test_the_free_time_is_the_first_that_is_later_than_the_newest_row() -> None:
    box = recorder()
    assert box.free_time_ns(SERIES, NOON_NS, NOON_NS) == NOON_NS
    recorded(box, SERIES, NOON_NS)
    assert box.free_time_ns(SERIES, NOON_NS - 5_000, NOON_NS + 7_000) == NOON_NS + 7_000
    assert box.free_time_ns(SERIES, NOON_NS + 400, NOON_NS) == NOON_NS + 1_000
    assert box.free_time_ns(OTHER, NOON_NS, NOON_NS) == NOON_NS


def test_no_time_is_free_behind_a_row_that_is_more_than_a_day_ahead() -> None:
    box = recorder()
    recorded(box, SERIES, NOON_NS + 25 * HOUR_NS)
    assert box.free_time_ns(SERIES, NOON_NS, NOON_NS) == NOON_NS


def test_two_readings_of_one_instant_are_no_step_of_the_clock() -> None:
    box = recorder()
    recorded(box, SERIES, NOON_NS)
    assert not recorded(box, SERIES, NOON_NS, 2.0)
    assert box.take_events() == []


def test_a_sensor_that_is_not_late_does_not_end_the_step_of_the_others() -> None:
    box, other = recorder(), OTHER
    recorded(box, SERIES, NOON_NS)
    for i in range(3):
        recorded(box, SERIES, NOON_NS - HOUR_NS + i)
        assert recorded(box, other, NOON_NS - HOUR_NS + i * 1_000)
    assert len(box.take_events()) == 1


def test_a_sensor_that_never_was_behind_does_not_end_the_step_of_the_others() -> None:
    """A waveform goes on by its own sample clock while the wall clock is an hour behind."""
    box, waveform = recorder(), OTHER
    recorded(box, SERIES, NOON_NS)
    for i in range(3):
        recorded(box, SERIES, NOON_NS - HOUR_NS + i)
        assert recorded(box, waveform, NOON_NS + (i + 1) * 1_000)
    assert len(box.take_events()) == 1
    assert recorded(box, SERIES, NOON_NS + HOUR_NS)
    (ended,) = box.take_events()
    assert ended.body["end_us"] == (NOON_NS + HOUR_NS) // 1000
