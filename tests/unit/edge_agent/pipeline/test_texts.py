"""A text is told when it changes; one that changes all the time is told now and then, with the changes counted."""

from __future__ import annotations

from cloud_sync.records import Event, EventKind
from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading, Scan, Tag, TextReading
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.texts import TextLog
from tests.support.tag_lines import START_NS, tag_line

RECIPE = Tag("press-3.recipe", "", "general")


def said(seconds: float, text: str) -> TextReading:
    return TextReading(RECIPE, text, START_NS + round(seconds * 1e9))


def told(*readings: TextReading) -> list[dict[str, object]]:
    log = TextLog(Recorder(is_clock_synced=lambda: True))
    events = [event for reading in readings for event in log.take(reading)]
    assert all(event.kind is EventKind.ANNOTATION and event.subject == RECIPE.name for event in events)
    return [{name: value for name, value in event.body.items() if name != "tag"} for event in events]


def test_the_first_text_and_each_change_are_told_once():
    changes = told(said(0, "M8"), said(1, "M8"), said(20, "M10"), said(40, "M10"), said(60, "M8"))
    assert changes == [{"text": "M8"}, {"text": "M10", "before": "M8"}, {"text": "M8", "before": "M10"}]


def test_a_text_that_changes_all_the_time_is_told_now_and_then_with_the_changes_between():
    changes = told(*(said(second, f"{second} s") for second in range(21)))
    assert changes == [
        {"text": "0 s"},
        {"text": "10 s", "before": "0 s", "changes_between": 9},
        {"text": "20 s", "before": "10 s", "changes_between": 9},
    ]


def test_a_text_that_came_back_meanwhile_still_tells_that_it_changed():
    assert told(said(0, "M8"), said(1, "M10"), said(2, "M8"), said(12, "M8")) == [
        {"text": "M8"},
        {"text": "M8", "before": "M8", "changes_between": 2},
    ]


def test_a_clock_that_was_set_back_holds_no_text_up():
    assert told(said(100, "M8"), said(0, "M10"))[1] == {"text": "M10", "before": "M8"}


def test_a_text_that_cannot_be_read_is_a_gap_that_ends_with_the_next_text():
    line = tag_line()
    bad = Reading(RECIPE, None, Quality.BAD, None, START_NS + 10**9, "exception 2")
    scans = (Scan("plc", (), (said(0, "M8"),)), Scan("plc", (bad,)), Scan("plc", (), (said(2, "M8"),)))
    events = [record for scan in scans for record in line.push(scan) if isinstance(record, Event)]
    assert [event.kind for event in events] == [EventKind.ANNOTATION, EventKind.GAP, EventKind.GAP]
    assert line.bad_tags == {}
    assert (line.readings_total, line.latest) == (3, {})
