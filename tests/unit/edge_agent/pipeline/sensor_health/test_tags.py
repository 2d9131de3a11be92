"""Values that cannot be: gaps with their words, never rows."""

from __future__ import annotations

from dataclasses import replace

from cloud_sync.records import Event
from edge_agent.core.health import Ne107
from edge_agent.core.quality import Quality
from edge_agent.core.tags import KeepAlive
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.sensor_health.tags import check_of
from edge_agent.pipeline.tags import TagLine
from edge_agent.settings import TagSettings
from tests.support.blocks import rows_in
from tests.support.tag_lines import START_NS, TEMPERATURE, at

NAME = TEMPERATURE.name
DEGREES = replace(TEMPERATURE, unit="degC")


def line_with(**checks: object) -> TagLine:
    check = check_of(TagSettings.model_validate({"name": NAME, "unit": "degC", **checks}))
    return TagLine(
        "plc", deadbands={NAME: 0.0}, heartbeat_s=60.0, recorder=Recorder(is_clock_synced=lambda: True),
        checks={NAME: check} if check else {},
    )  # fmt: skip


def played(line: TagLine, values: list[float | None], *, step_s: float = 1.0) -> tuple[list[float], list[Event]]:
    records = [
        record for number, value in enumerate(values) for record in line.push(at(number * step_s, value, tag=DEGREES))
    ]
    return [row.value for row in rows_in(records)], [record for record in records if isinstance(record, Event)]


def test_a_broken_thermocouple_is_a_gap_with_its_value_and_range() -> None:
    line = line_with(valid_range=[-40, 250])
    rows, (begun, ended) = played(line, [71.5, 1254.0, 1254.0, 72.0])
    assert rows == [71.5, 72.0]
    assert (begun.body["cause"], begun.body["detail"]) == (
        "sensor_fault", "1254 degC is outside valid_range -40..250",
    )  # fmt: skip
    assert ended.body["end_us"] - ended.body["start_us"] == 2_000_000
    assert ended.body["count"] == 2


def test_while_a_value_is_outside_models_and_speeds_see_a_bad_reading() -> None:
    line = line_with(valid_range=[-40, 250])
    played(line, [71.5, 1254.0])
    assert line.latest[NAME].quality is Quality.BAD
    health = line.checks[NAME].health
    assert (health.ne107, health.state, health.since_ns) == (Ne107.FAILURE, "out_of_range", START_NS + 1_000_000_000)
    played(line, [71.5])
    assert line.checks[NAME].health.ne107 is Ne107.NORMAL


def test_the_ends_of_the_range_are_inside_and_infinities_are_not() -> None:
    rows, events = played(line_with(valid_range=[-40, 250]), [-40.0, 250.0, float("inf"), float("-inf")])
    assert rows == [-40.0, 250.0]
    assert len(events) == 1


def test_a_spike_is_withheld_and_a_step_that_stays_is_believed_after_a_second() -> None:
    spike, events = played(line_with(max_rate_per_s=5), [20.0, 80.0, 20.5, 21.0])
    assert spike == [20.0, 20.5, 21.0]
    assert "faster than max_rate_per_s 5" in events[0].body["detail"]
    step, events = played(line_with(max_rate_per_s=5), [20.0, 80.0, 80.5, 81.0])
    assert step == [20.0, 80.5, 81.0]
    assert [event.body["cause"] for event in events] == ["sensor_fault", "sensor_fault"]


def test_a_spike_of_three_fast_readings_is_still_one() -> None:
    rows, _ = played(line_with(max_rate_per_s=5), [20.0, 1254.0, 1254.0, 1254.0, 20.1], step_s=0.1)
    assert rows == [20.0, 20.1]


def test_values_that_flutter_between_two_levels_are_only_taken_on_the_old_one() -> None:
    rows, _ = played(line_with(max_rate_per_s=5), [20.0, 80.0] * 5)
    assert rows == [20.0]
    assert played(line_with(max_rate_per_s=5), [20.0, 200.0], step_s=60.0)[0] == [20.0, 200.0], "slow enough"


def test_a_stuck_value_is_a_gap_until_it_moves() -> None:
    line = line_with(stuck_after_s=3)
    rows, (begun, ended) = played(line, [1.5, 1.5, 1.5, 1.5, 1.5, 1.6])
    assert rows == [1.5, 1.6]
    assert begun.body["detail"] == "stuck at 1.5 degC: unchanged for stuck_after_s 3"
    assert ended.body["end_us"] - ended.body["start_us"] == 2_000_000


def test_a_keep_alive_confirms_a_jump_and_lets_a_stuck_value_be_found() -> None:
    jump = line_with(max_rate_per_s=5)
    played(jump, [20.0, 80.0])
    records = jump.push(KeepAlive("plc", START_NS + 3_000_000_000, frozenset({NAME})))
    assert [row.value for row in rows_in(records)] == [80.0]
    stuck = line_with(stuck_after_s=30)
    played(stuck, [20.0])
    (gap,) = stuck.push(KeepAlive("plc", START_NS + 31_000_000_000, frozenset({NAME})))
    assert isinstance(gap, Event)
    assert gap.body["detail"].startswith("stuck at 20 degC")
    assert stuck.push(KeepAlive("plc", START_NS + 61_000_000_000, frozenset({NAME}))) == []


def test_what_the_device_calls_bad_stays_the_devices_word() -> None:
    line = line_with(valid_range=[-40, 250], stuck_after_s=10)
    _, events = played(line, [300.0, None, None, 20.0])
    assert [(event.body["cause"], event.body["detail"]) for event in events[1:]] == [
        ("sensor_fault", "300 degC is outside valid_range -40..250"),
        ("bad_quality", "exception 2"),
        ("bad_quality", "exception 2"),
    ]


def test_without_a_setting_nothing_is_checked() -> None:
    assert check_of(TagSettings.model_validate({"name": NAME, "unit": "degC"})) is None
