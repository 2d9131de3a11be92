"""What a waveform line reports, when it alarms, and what becomes of gaps."""

from __future__ import annotations

import numpy as np

from cloud_sync.columns import Record, RowColumns
from cloud_sync.records import Event, EventKind
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.samples import SampleBlock, read_only
from edge_agent.core.scores import Verdict
from edge_agent.pipeline.model import ScoringModel
from tests.support.blocks import rows_in
from tests.support.mean_model import RATE_HZ, WINDOW
from tests.support.waveform_lines import START_NS, WINDOW_NS, events, feed, line_of, rows


def test_every_window_is_scored_but_only_intervals_are_reported(model: ScoringModel) -> None:
    line = line_of(model, interval_s=1.0)
    records = feed(line, [(0.1 * (i % 3), 0.0) for i in range(21)])
    assert line.channels[0].scored_total == 21
    assert len(rows(records, "rig-1.x.mean")) == 2


def test_an_interval_reports_the_mean_and_the_highest_score(model: ScoringModel) -> None:
    line = line_of(model)
    records = [*feed(line, [(0.1, 0.0), (0.2, 0.0), (0.4, 0.0)]), *line.flush()]
    (mean,) = rows(records, "rig-1.x.mean")
    (highest,) = rows(records, "rig-1.x.score_max")
    assert np.isclose(mean.value, (0.1 + 0.2 + 0.4) / 3)
    assert np.isclose(highest.value, 0.4)
    assert mean.time_us == (START_NS + 3 * WINDOW_NS) // 1000
    assert mean.series.unit == "g"


def test_an_alarm_is_an_event_at_once_with_its_explanation(model: ScoringModel) -> None:
    records = feed(line_of(model, interval_s=60.0), [(0.9, 0.0)] * 3)
    (alarm,) = events(records, EventKind.ALARM)
    assert alarm.subject == "rig-1.x"
    assert alarm.body["state"] == "raised"
    assert alarm.body["pushed_by"][0]["feature"] == "mean"
    assert np.isclose(alarm.body["pushed_by"][0]["z"], 9.0)
    assert rows(records, "rig-1.x.score"), "the numbers behind a verdict change are reported with it"


def test_a_report_of_a_channel_is_one_record_of_all_its_quantities_at_one_instant(model: ScoringModel) -> None:
    line = line_of(model)
    for point, report in zip("xy", [*feed(line, [(0.1, 0.2)]), *line.flush()], strict=True):
        assert isinstance(report, RowColumns)
        sensors = [row.series.sensor_id for row in report.rows()]
        assert sensors == [f"rig-1.{point}.{name}" for name in ("mean", "score", "score_max")]
        assert len(set(report.time_us.tolist())) == 1


def test_while_an_alarm_stands_reports_are_dense(model: ScoringModel) -> None:
    line = line_of(model, interval_s=60.0)
    records = feed(line, [(0.9, 0.0)] * 13)
    assert len(rows(records, "rig-1.x.score")) == 1 + 5
    assert rows(records, "rig-1.y.score") == []


def test_samples_that_are_not_finite_are_a_gap_told_once_and_closed_once(model: ScoringModel) -> None:
    line = line_of(model)
    records = feed(line, [(0.1, 0.1), (np.nan, 0.1), (np.inf, 0.1), (0.1, 0.1)])
    begun, ended = events(records, EventKind.GAP)
    assert begun.subject == ended.subject == "rig-1.x"
    assert begun.body["cause"] == "sensor_fault"
    assert ended.body["count"] == 2
    assert ended.body["end_us"] > begun.body["end_us"]
    assert line.channels[0].scored_total == 2
    assert line.channels[1].scored_total == 4


def test_an_unusable_window_has_an_unknown_verdict_and_no_row(model: ScoringModel) -> None:
    line = line_of(model)
    records = [*feed(line, [(np.nan, 0.1)]), *line.flush()]
    assert line.channels[0].last_verdict is Verdict.UNKNOWN
    assert rows(records, "rig-1.x.mean") == []
    assert len(rows(records, "rig-1.y.mean")) == 1


def test_a_driver_gap_leaves_as_an_event_but_the_seam_of_a_replay_does_not(model: ScoringModel) -> None:
    line = line_of(model)
    lost = line.push(Gap("rig", GapCause.DEVICE_LOST, START_NS, START_NS + 5_000, "unplugged"))
    seam = line.push(Gap("rig", GapCause.END_OF_RECORDING, START_NS, START_NS))
    assert [event.body["detail"] for event in events(lost, EventKind.GAP)] == ["unplugged"]
    assert seam == []


def test_an_unsynchronised_clock_caps_the_quality(model: ScoringModel) -> None:
    line = line_of(model, is_synced=False)
    records = [*feed(line, [(0.1, 0.1)]), *line.flush()]
    assert {row.quality for row in rows_in(records)} == {0.5}


def test_keys_of_one_sensor_only_go_forward_when_the_clock_steps_back(model: ScoringModel) -> None:
    line = line_of(model, interval_s=0.01)
    first = feed(line, [(0.1, 0.0)] * 3)
    again = [*feed(line, [(0.2, 0.0)] * 3), *line.flush()]  # the same stamps once more
    keys = [row.key for row in rows_in([*first, *again])]
    assert len(keys) == len(set(keys))


def test_the_jump_after_a_lost_device_is_the_same_gap(model: ScoringModel) -> None:
    line = line_of(model)
    lost = line.push(Gap("rig", GapCause.DEVICE_LOST, START_NS, START_NS + 9_000, "unplugged"))
    jump = line.push(Gap("rig", GapCause.DISCONTINUITY, START_NS + 1_000, START_NS + 9_000))
    later = line.push(Gap("rig", GapCause.DISCONTINUITY, START_NS + 50_000, START_NS + 60_000))
    assert (len(lost), len(jump), len(later)) == (1, 0, 1)


def test_a_model_that_takes_nothing_is_one_gap_from_the_first_to_the_last_refused_block(model: ScoringModel) -> None:
    line = line_of(model)
    wrong = [
        SampleBlock("rig", i, START_NS + i * WINDOW_NS, 2 * RATE_HZ, "g", read_only(np.zeros((2, WINDOW), np.float32)))
        for i in range(5)
    ]
    told = [record for block in wrong for record in line.push(block)]
    assert len(told) == 1
    assert line.refusal.since_ns == START_NS
    (ended,) = line.flush()
    assert isinstance(ended, Event)
    assert ended.body["cause"] == "model_refused"
    assert ended.body["end_us"] > ended.body["start_us"]


def test_reports_go_on_at_their_interval_after_the_clock_was_set_back(model: ScoringModel) -> None:
    line = line_of(model, interval_s=0.2)
    feed(line, [(0.1, 0.0)] * 6)
    hour_ns = 3_600_000_000_000
    records: list[Record] = []
    for i in range(6, 12):
        samples = read_only(np.full((2, WINDOW), 0.1, np.float32))
        records += line.push(SampleBlock("rig", i, START_NS - hour_ns + i * WINDOW_NS, RATE_HZ, "g", samples))
    assert line._recorder.late_total > 6, "they are withheld, each interval's again"
    (told,) = line._recorder.take_events()
    assert told.body["cause"] == "clock_set_back"
