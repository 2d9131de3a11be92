"""Values that a device kept while it was away."""

from __future__ import annotations

import pytest

from cloud_sync.records import Event
from edge_agent.core.health import OK
from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading, Scan
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.sensor_health.tags import TagCheck
from edge_agent.pipeline.tags import TagLine
from edge_agent.settings import TagSettings
from tests.support.blocks import rows_in
from tests.support.tag_lines import START_NS, TEMPERATURE, at, tag_line


def times(line: TagLine, *scans: Scan) -> list[tuple[float, float]]:
    """The rows as (value, seconds after the start)."""
    rows = [row for scan in scans for row in rows_in(line.push(scan))]
    return [(row.value, round((row.time_us - START_NS // 1000) / 1e6, 6)) for row in rows]


def ns(seconds: float | None) -> int | None:
    return None if seconds is None else START_NS + round(seconds * 1e9)


def kept(seconds: float, *values: tuple[float | None, float | None]) -> Scan:
    """One message, received at `seconds`, of values with the times they were measured at."""
    return Scan("plc", tuple(
        Reading(TEMPERATURE, value, Quality.BAD if value is None else Quality.GOOD, ns(measured), ns(seconds) or 0,
                "quality 0" if value is None else "", is_historical=True)
        for value, measured in values
    ))  # fmt: skip


def the_gap(line: TagLine, scan: Scan) -> Event:
    (gap,) = line.push(scan)
    assert isinstance(gap, Event)
    return gap


def test_they_are_rows_of_their_own_times_and_not_how_the_tag_is_now() -> None:
    line = tag_line()
    assert times(line, kept(20, (3.0, 5), (3.0, 6))) == [(3.0, 5), (3.0, 6)]
    assert line.latest == {}
    assert times(line, at(20, 7.0), kept(22, (4.0, 21))) == [(7.0, 20), (4.0, 21)]
    assert line.latest[TEMPERATURE.name].value == 7.0
    assert times(line, at(22, 4.0)) == [(4.0, 22)], "news, although the kept value was the same"


def test_one_whose_time_is_not_known_is_a_row_of_its_receipt() -> None:
    line = tag_line()
    assert times(line, kept(20, (3.0, None), (4.0, None))) == [(3.0, 20), (4.0, 20.000001)]


def test_those_from_before_the_newest_row_are_one_gap_with_their_number() -> None:
    line = tag_line()
    line.push(at(10, 1.0))
    gap = the_gap(line, kept(20, (3.0, 5), (4.0, 6), (5.0, 7)))
    assert (gap.body["cause"], gap.body["count"]) == ("discontinuity", 3)
    assert gap.body["end_us"] - gap.body["start_us"] == 2_000_000
    assert "too late" in gap.body["detail"]
    assert line.gaps_total == 1


@pytest.mark.parametrize("before_s", [4, 90_000])
def test_one_that_comes_too_late_is_no_clock_that_was_set_back(before_s: float) -> None:
    recorder = Recorder(is_clock_synced=lambda: True)
    line = TagLine("plc", deadbands={}, heartbeat_s=60.0, recorder=recorder)
    line.push(at(before_s + 10, 1.0))
    gap = the_gap(line, kept(before_s + 20, (3.0, 10)))
    assert (gap.body["cause"], gap.body["count"]) == ("discontinuity", 1)
    assert recorder.take_events() == []
    assert recorder.clock.since_ns is None
    assert times(line, at(before_s + 21, 2.0)) == [(2.0, before_s + 21)]


def test_bad_ones_are_a_gap_and_the_tag_is_not_bad_now() -> None:
    line = tag_line()
    line.push(at(10, 1.0))
    gap = the_gap(line, kept(20, (None, 12), (None, 13)))
    assert (gap.body["cause"], gap.body["detail"], gap.body["count"]) == ("bad_quality", "quality 0", 2)
    assert line.bad_tags == {}
    assert line.latest[TEMPERATURE.name].value == 1.0


def test_they_are_held_to_the_range_and_disturb_no_check_of_the_newest() -> None:
    settings = TagSettings(name=TEMPERATURE.name, unit="degC", valid_range=(-40, 250), max_rate_per_s=1.0)
    line = tag_line(checks={TEMPERATURE.name: TagCheck(settings)})
    assert times(line, at(10, 20.0), kept(12, (90.0, 11))) == [(20.0, 10), (90.0, 11)]
    gap = the_gap(line, kept(12, (1254.0, 11.5)))
    assert (gap.body["cause"], gap.body["detail"]) == ("sensor_fault", "1254 degC is outside valid_range -40..250")
    assert times(line, at(13, 20.5)) == [(20.5, 13)], "no jump from 90"
    assert line.checks[TEMPERATURE.name].health is OK
