"""Report by exception: deadbands, heartbeats, bad values."""

from __future__ import annotations

from cloud_sync.columns import RowColumns
from cloud_sync.records import Event
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.quality import Quality
from edge_agent.core.tags import KeepAlive, Reading, Scan, Tag
from edge_agent.pipeline.tags import TagLine
from tests.support.blocks import rows_in
from tests.support.tag_lines import START_NS, TEMPERATURE, at, tag_line


def reported(line: TagLine, *scans: Scan) -> list[float]:
    return [row.value for scan in scans for row in rows_in(line.push(scan))]


def test_a_change_inside_the_deadband_is_not_reported() -> None:
    assert reported(tag_line(deadband=0.5), at(0, 300.0), at(1, 300.4), at(2, 300.6)) == [300.0, 300.6]


def test_an_unchanged_value_is_reported_again_at_the_heartbeat() -> None:
    assert reported(tag_line(), at(0, 1.0), at(30, 1.0), at(60, 1.0), at(61, 1.0)) == [1.0, 1.0]


def test_a_change_of_quality_is_news() -> None:
    line = tag_line(deadband=10.0)
    records = [r for s in (at(0, 1.0), at(1, 1.0, quality=Quality.UNCERTAIN)) for r in line.push(s)]
    assert [row.quality for row in rows_in(records)] == [1.0, 0.4]


def test_a_bad_value_is_a_gap_with_the_protocols_word_and_never_a_row() -> None:
    line = tag_line()
    records = [r for s in (at(0, 1.0), at(1, None), at(2, None), at(3, 2.0)) for r in line.push(s)]
    gaps = [record for record in records if isinstance(record, Event)]
    assert [row.value for row in rows_in(records)] == [1.0, 2.0]
    assert [gap.body["detail"] for gap in gaps] == ["exception 2", "exception 2"]
    assert gaps[1].body["start_us"] == gaps[0].body["start_us"]
    assert gaps[1].body["end_us"] - gaps[1].body["start_us"] == 2_000_000
    assert line.gaps_total == 1


def test_the_news_of_a_scan_are_one_record() -> None:
    line = tag_line()
    names = [f"press-3.t{n}" for n in range(50)]
    readings = [Reading(Tag(name, "K", "temperature"), 1.0, Quality.GOOD, None, START_NS) for name in names]
    (report,) = line.push(Scan("plc", tuple(readings)))
    assert isinstance(report, RowColumns)
    assert [row.series.sensor_id for row in report.rows()] == names
    assert line.push(Scan("plc", tuple(readings))) == [], "nothing is news"


def told(seconds: float, value: float, *, source_s: float | None, quality: Quality = Quality.GOOD) -> Scan:
    """A scan received at `seconds` whose source says another time."""
    source_ns = None if source_s is None else START_NS + round(source_s * 1e9)
    return Scan("plc", (Reading(TEMPERATURE, value, quality, source_ns, START_NS + round(seconds * 1e9)),))


def times(line: TagLine, *items: Scan | KeepAlive) -> list[tuple[float, float]]:
    """The rows as (value, seconds after the start)."""
    rows = [row for item in items for row in rows_in(line.push(item))]
    return [(row.value, round((row.time_us - START_NS // 1000) / 1e6, 6)) for row in rows]


def test_a_value_whose_time_stands_before_the_newest_row_has_that_of_its_receipt() -> None:
    assert times(tag_line(), told(10, 1.0, source_s=10), told(11, 2.0, source_s=9)) == [(1.0, 10), (2.0, 11)]


def test_a_value_without_a_later_time_is_the_microsecond_after_the_newest_row() -> None:
    rows = times(tag_line(), told(10, 1.0, source_s=12), told(11, 2.0, source_s=11), told(11.5, 3.0, source_s=None))
    assert rows == [(1.0, 12), (2.0, 12.000001), (3.0, 12.000002)]


def test_a_heartbeat_does_not_keep_back_the_value_that_happened_before_it() -> None:
    line = tag_line()
    rows = times(line, told(0, 1.0, source_s=0), keep_alive(60), told(60.5, 2.0, source_s=59.9))
    assert rows == [(1.0, 0), (1.0, 60), (2.0, 60.5)]


def test_a_status_that_changes_alone_is_a_row() -> None:
    line = tag_line(deadband=10.0)
    assert times(line, told(0, 1.0, source_s=0), told(5, 1.0, source_s=0, quality=Quality.UNCERTAIN)) == [
        (1.0, 0), (1.0, 5),
    ]  # fmt: skip


def test_a_refused_tag_is_one_gap_although_the_driver_says_it_twice() -> None:
    line = tag_line()
    bad = line.push(at(0, None))
    said_again = line.push(Gap("press-3.temperature", GapCause.DEVICE_REJECTED, START_NS, START_NS, "exception 2"))
    assert len(bad) == 1
    assert said_again == []


def keep_alive(seconds: float) -> KeepAlive:
    return KeepAlive("plc", START_NS + round(seconds * 1e9), frozenset({TEMPERATURE.name}))


def test_a_keep_alive_keeps_the_value_fresh_and_brings_the_heartbeat() -> None:
    line = tag_line()
    assert reported(line, at(0, 1.5)) == [1.5]
    assert line.push(keep_alive(30)) == []
    assert line.latest[TEMPERATURE.name].received_time_ns == START_NS + 30_000_000_000
    assert [(row.value, row.time_us) for row in rows_in(line.push(keep_alive(60)))] == [
        (1.5, START_NS // 1000 + 60_000_000)
    ]


def test_a_keep_alive_confirms_no_value_that_is_bad_or_never_came() -> None:
    line = tag_line()
    assert line.push(keep_alive(0)) == []
    line.push(at(1, None))
    assert line.push(keep_alive(100)) == []
    assert line.latest[TEMPERATURE.name].received_time_ns == START_NS + 1_000_000_000
