"""Models over one tag: what their line keeps, when it forgets, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cloud_sync.columns import Record
from cloud_sync.records import Event
from edge_agent.core.features import FeatureSpec
from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading, Tag
from edge_agent.dsp.catalog import build_extractor, feature_ids
from edge_agent.errors import ConfigurationError
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.snapshot import SnapshotLine
from edge_agent.pipeline.tag_inputs import inputs_wanted
from edge_agent.settings import AlarmSettings, TagModelSettings

START_NS = 1_767_571_200_000_000_000  # Monday 2026-01-05 00:00 UTC
STEP_S = 300.0
TAG = Tag("press-3.temperature", "C", "temperature")
LAGS = ("value_lag_1", "value_lag_2", "value", "quality")


class Rows:
    """Keeps what it is asked to score, one beat a row; the score is the first feature. An explanation asks for more."""

    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def __call__(self, values: np.ndarray) -> np.ndarray:
        if len(values) == 1:
            self.seen += [[round(float(x), 3) for x in row] for row in values]
        return values[:, 0]


def line_over(
    family: str, names: tuple[str, ...], parameters: dict[str, Any], **settings: Any
) -> tuple[SnapshotLine, Rows]:
    spec = FeatureSpec(family, feature_ids(family, *names), parameters=parameters)
    rows = Rows()
    model = ScoringModel(
        name="one-tag", version="1.0.0", threshold=100.0, spec=spec, extract=build_extractor(spec).extract,
        score=rows, baseline_mean=np.zeros(len(names)), baseline_std=np.ones(len(names)),
    )  # fmt: skip
    given = {"name": "watch", "asset": "press-3", "model": "one-tag", "inputs": {"value": TAG.name}, **settings}
    line = SnapshotLine(TagModelSettings.model_validate(given), model, Recorder(is_clock_synced=lambda: True))
    return line, rows


def history_line(*, start: str = "first_value", **settings: Any) -> tuple[SnapshotLine, Rows]:
    parameters = {"n_lags": 2, "start": start, "step_s": STEP_S}
    return line_over("tag_history", LAGS, parameters, **{"interval_s": STEP_S, **settings})


def beat(line: SnapshotLine, step: float, value: float | None, quality: Quality = Quality.GOOD) -> list[Record]:
    """One beat at which the tag has just been read."""
    now_ns = START_NS + round(step * STEP_S * 1e9)
    quality = Quality.BAD if value is None else quality
    return line.score({TAG.name: Reading(TAG, value, quality, None, now_ns, "exception 2")}, now_ns)


def told(records: list[Record]) -> list[str]:
    return [str(record.body.get("detail")) for record in records if isinstance(record, Event)]


def test_a_history_grows_reading_by_reading_and_moves_on():
    line, rows = history_line()
    for step, value in enumerate([10.0, 11.0, 12.0, 13.0]):
        beat(line, step, value)
    assert rows.seen == [[10, 10, 10, 1], [10, 10, 11, 1], [11, 10, 12, 1], [12, 11, 13, 1]]


def test_an_uncertain_reading_enters_with_its_lower_quality():
    line, rows = history_line()
    beat(line, 0, 10.0, Quality.UNCERTAIN)
    assert rows.seen == [[10, 10, 10, 0.4]]


def test_one_missing_reading_is_passed_over_and_a_longer_gap_begins_the_history_again():
    line, rows = history_line(max_gap_steps=1)
    for step, value in ((0, 10.0), (1, 11.0), (2, None), (3, 13.0), (4, None), (5, None), (6, 16.0), (7, 17.0)):
        beat(line, step, value)
    assert rows.seen[2:] == [[11, 10, 13, 1], [16, 16, 16, 1], [16, 16, 17, 1]]


def test_without_leave_for_gaps_every_missing_reading_begins_the_history_again():
    line, rows = history_line(max_gap_steps=0)
    for step, value in ((0, 10.0), (1, 11.0), (3, 13.0)):
        beat(line, step, value)
    assert rows.seen[-1] == [13, 13, 13, 1]


def test_a_missing_reading_is_a_gap_told_when_it_begins_and_when_it_ends():
    line, _ = history_line()
    beat(line, 0, 10.0)
    assert told(beat(line, 1, None)) == ["press-3.temperature is bad: exception 2"]
    assert told(beat(line, 2, None)) == []
    assert told(beat(line, 3, 13.0)) == ["press-3.temperature is bad: exception 2"]


def test_a_model_that_needs_a_whole_history_is_refused_until_it_is_there():
    line, rows = history_line(start="whole")
    assert told(beat(line, 0, 10.0)) == ["press-3.temperature has a history of 1 of 3 readings"]
    beat(line, 1, 11.0)
    assert line.refused_total == 2
    assert line.refusal.since_ns == START_NS
    beat(line, 2, 12.0)
    assert line.refusal.since_ns is None
    assert rows.seen == [[11, 10, 12, 1]]


def test_a_clock_that_was_set_back_begins_the_history_again():
    line, rows = history_line()
    for step, value in ((5, 10.0), (6, 11.0), (2, 12.0)):
        beat(line, step, value)
    assert rows.seen[-1] == [12, 12, 12, 1]


def test_a_beat_that_catches_up_is_no_step_of_its_own():
    line, rows = history_line()
    for step, value in ((0, 10.0), (1, 11.0), (1.01, 11.5), (2, 12.0)):
        beat(line, step, value)
    assert rows.seen[-2:] == [[10, 10, 11.5, 1], [11.5, 10, 12, 1]]


def test_another_step_than_the_models_is_refused_with_the_right_one():
    with pytest.raises(ConfigurationError, match="interval_s is 1, but one-tag was trained on readings 300 s apart"):
        history_line(interval_s=1.0)


@pytest.mark.parametrize("inputs", [{}, {"value": "a.b", "other": "a.c"}, {"temperature": "a.b"}])
def test_a_model_over_one_tag_wants_exactly_its_value(inputs: dict[str, str]):
    with pytest.raises(ConfigurationError, match="exactly the input 'value'"):
        history_line(inputs=inputs)


def forecast_line() -> tuple[SnapshotLine, Rows]:
    return line_over("tag_forecast", ("value", "day_number", "second_of_day"), {}, max_age_s=1_000.0)


def test_a_forecast_is_made_for_the_instant_of_the_reading_not_of_the_beat():
    line, rows = forecast_line()
    read_ns = START_NS + 3_599_900_000_000
    line.score({TAG.name: Reading(TAG, 21.5, Quality.GOOD, None, read_ns)}, read_ns + 200_000_000_000)
    assert rows.seen == [[21.5, 20_458, 3_599]]


def test_time_is_never_what_pushed_a_forecasts_score():
    line, _ = forecast_line()
    beat(line, 0, 500.0)
    assert [entry["feature"] for entry in line.channel.explanation] == ["value"]


def test_a_value_beyond_float32_is_refused_in_words():
    line, _ = forecast_line()
    assert told(beat(line, 0, 1e300)) == ["press-3.temperature has a value that is beyond float32"]


def test_a_lasting_high_value_raises_the_alarm():
    line, _ = line_over("tag_forecast", ("value", "day_number", "second_of_day"), {}, alarm=AlarmSettings(
        over_windows=5, enter_fraction=0.6))  # fmt: skip
    states = [told_states(beat(line, step, value)) for step, value in enumerate([20.0] * 5 + [500.0] * 3)]
    assert states == [[]] * 7 + [["raised"]]


def told_states(records: list[Record]) -> list[str]:
    return [str(record.body["state"]) for record in records if isinstance(record, Event)]


def test_a_model_over_one_tag_wants_one_input_and_a_snapshot_its_features():
    assert inputs_wanted(history_line()[0].model) == ("value",)
    spec = FeatureSpec("tag_snapshot", feature_ids("tag_history", "value", "quality"))
    model = ScoringModel(
        name="table", version="1.0.0", threshold=1.0, spec=spec, extract=build_extractor(spec).extract,
        score=Rows(), baseline_mean=np.zeros(2), baseline_std=np.ones(2),
    )  # fmt: skip
    assert inputs_wanted(model) == ("value", "quality")
