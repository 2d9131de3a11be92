"""Zones and fault lines: what lasts is told, what passes is not."""

from __future__ import annotations

import pytest

from edge_agent.dsp.machines.bearing import FaultLine
from edge_agent.dsp.machines.severity import Zone
from edge_agent.pipeline.condition.trackers import FaultLineTracker, ZoneTracker
from edge_agent.reference_tables.read import read_machine_groups

GROUP = read_machine_groups()["20816-3.group-2.rigid"]  # 1.4, 2.8, 4.5 mm/s


def changes(tracker: ZoneTracker, velocities: list[float]) -> list[str | None]:
    return [change and change.value for change in (tracker.push(v, at) for at, v in enumerate(velocities))]


def test_a_zone_is_entered_when_three_reports_in_a_row_say_so() -> None:
    tracker = ZoneTracker(GROUP, reports=3)
    assert changes(tracker, [1.0, 3.0, 3.0, 1.0, 3.0, 3.0, 3.0]) == [None] * 6 + ["raised"]
    assert (tracker.zone, tracker.is_alarm, tracker.since_ns) == (Zone.C, True, 6)


def test_a_start_up_that_passes_through_every_zone_raises_nothing() -> None:
    assert changes(ZoneTracker(GROUP, reports=4), [9.0, 5.0, 3.0, 1.5, 1.0, 1.0]) == [None] * 6


def test_reports_in_several_bad_zones_agree_on_the_mildest() -> None:
    tracker = ZoneTracker(GROUP, reports=3)
    assert changes(tracker, [9.0, 5.0, 3.0]) == [None, None, "raised"]
    assert tracker.zone is Zone.C


def test_a_worse_zone_is_told_again_and_leaving_both_clears() -> None:
    tracker = ZoneTracker(GROUP, reports=2)
    told = changes(tracker, [3.0, 3.0, 5.0, 5.0, 3.0, 3.0, 2.0, 2.0])
    assert told == [None, "raised", None, "raised", None, "raised", None, "cleared"]
    assert tracker.zone is Zone.B


def test_a_value_that_hops_over_the_limit_keeps_the_zone() -> None:
    tracker = ZoneTracker(GROUP, reports=3)
    assert changes(tracker, [3.0, 3.0, 3.0] + [2.7, 2.9] * 5) == [None, None, "raised"] + [None] * 10


def test_b_is_no_alarm_and_the_newest_zone_is_known_at_once() -> None:
    tracker = ZoneTracker(GROUP, reports=3)
    assert changes(tracker, [2.0] * 5) == [None] * 5
    assert (tracker.newest, tracker.zone, tracker.is_alarm) == (Zone.B, Zone.B, False)


@pytest.mark.parametrize(("velocity", "words"), [(9.0, "zone D (from 4.5 mm/s"), (3.0, "zone C (from 2.8 mm/s")])
def test_a_zone_in_words_names_the_limit_that_was_passed(velocity: float, words: str) -> None:
    tracker = ZoneTracker(GROUP, reports=1)
    tracker.push(velocity, 0)
    assert words in tracker.in_words()
    assert GROUP.name in tracker.in_words()


def line(windows: int = 3) -> FaultLineTracker:
    return FaultLineTracker(FaultLine.BPFO, 7.09, alarm_db=10.0, windows=windows)


def pushed(tracker: FaultLineTracker, levels: list[float]) -> list[str | None]:
    return [change and change.value for change in (tracker.push(db, 33.33, 100 + at) for at, db in enumerate(levels))]


def test_a_line_stands_once_so_many_windows_in_a_row_show_it_and_since_the_first_of_them() -> None:
    tracker = line()
    assert pushed(tracker, [12, 4, 12, 10, 30]) == [None] * 4 + ["raised"]
    assert tracker.since_ns == 102


def test_a_line_is_gone_once_so_many_in_a_row_do_not_show_it() -> None:
    tracker = line()
    assert pushed(tracker, [12, 12, 12, 4, 4, 12, 4, 4, 4]) == [None, None, "raised"] + [None] * 5 + ["cleared"]
    assert not tracker.is_standing


def test_a_line_in_words_names_the_part_the_frequency_and_the_height() -> None:
    tracker = line()
    pushed(tracker, [25, 26, 27])
    assert tracker.in_words() == "outer race: BPFO 236 Hz stands 26 dB above its background"
