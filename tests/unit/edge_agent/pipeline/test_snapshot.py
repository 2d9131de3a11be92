"""What a tag model scores, refuses and learns, and how it changes its version with its history kept."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cloud_sync.records import Event
from edge_agent.bundles.store import BundleStore
from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading, Tag
from edge_agent.errors import BundleError
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.scored_line import Observer, ScoredWindows, unobserved
from edge_agent.pipeline.snapshot import SnapshotLine
from edge_agent.rollout.hot_swap import check_fit, counts_of, standing_channels, swap_model
from edge_agent.rollout.startup import scoring_model
from edge_agent.settings import AlarmSettings, TagModelSettings
from tests.support.blocks import rows_in
from tests.support.mean_model import mean_model
from tests.support.places import SHIPPED_MODELS
from tests.support.tag_lines import at, tag_line

MODELS = SHIPPED_MODELS
NAME = "anomaly_detector_refined_v2"
STEP_NS = 300_000_000_000
START_NS = 1_700_000_000_000_000_000
TAG = Tag("press-3.temperature", "K", "temperature")


@pytest.fixture(scope="module")
def history_model() -> ScoringModel:
    return scoring_model(BundleStore(MODELS).load_champion(NAME))


@pytest.fixture
def line(history_model: ScoringModel) -> SnapshotLine:
    return drift_line(history_model)


def drift_line(model: ScoringModel) -> SnapshotLine:
    settings = TagModelSettings(
        name="drift", asset="press-3", model=NAME, inputs={"value": TAG.name}, interval_s=300.0, max_age_s=10.0
    )
    return SnapshotLine(settings, model, Recorder(is_clock_synced=lambda: True))


def beat(line: SnapshotLine, number: int) -> float | None:
    """The score at the given step, or None while there is none."""
    now_ns = START_NS + number * STEP_NS
    reading = Reading(TAG, 20.0 + 60.0 * (number * 7 % 5) / 5, Quality.GOOD, None, now_ns)
    line.score({TAG.name: reading}, now_ns)
    return line.channel.last_score


def newer(model: ScoringModel) -> ScoringModel:
    return dataclasses.replace(model, version="2.0.0")


def test_a_swap_costs_no_beat_of_a_history(line: SnapshotLine, history_model: ScoringModel) -> None:
    alone = drift_line(history_model)
    expected = [beat(alone, number) for number in range(12)]
    got = [beat(line, number) for number in range(8)]
    check_fit([line], newer(history_model))
    assert swap_model([line], newer(history_model)) == []
    got += [beat(line, number) for number in range(8, 12)]
    assert got == expected
    fresh = drift_line(history_model)
    assert [beat(fresh, number) for number in range(8, 12)] != expected[8:], "the history counts"
    assert line.model.version == "2.0.0"


def test_the_rows_after_it_name_the_new_version(line: SnapshotLine, history_model: ScoringModel) -> None:
    for number in range(6):
        beat(line, number)
    line.swap(newer(history_model))
    now_ns = START_NS + 6 * STEP_NS
    (row,) = rows_in(line.score({TAG.name: Reading(TAG, 50.0, Quality.GOOD, None, now_ns)}, now_ns))
    assert row.series.metadata["model_version"] == "2.0.0"


def test_inputs_that_the_settings_do_not_give_are_named(line: SnapshotLine) -> None:
    other = mean_model(family="tag_snapshot", names=("mean", "torque"))
    tags_only = dataclasses.replace(other, spec=dataclasses.replace(other.spec, window_samples=0))
    with pytest.raises(BundleError, match=r"wants the inputs mean, torque; tag_models 'drift' gives value"):
        check_fit([line], tags_only)


def test_a_model_over_samples_does_not_fit(line: SnapshotLine) -> None:
    with pytest.raises(BundleError, match="scores samples, and drift has tags"):
        check_fit([line], mean_model())


def test_another_step_than_the_settings_interval_does_not_fit(line: SnapshotLine, history_model: ScoringModel) -> None:
    spec = dataclasses.replace(history_model.spec, parameters={**history_model.spec.parameters, "step_s": 60.0})
    with pytest.raises(BundleError, match="60 s apart"):
        check_fit([line], dataclasses.replace(history_model, spec=spec))


def test_its_counts_are_those_of_its_snapshots_unless_an_alarm_stands(line: SnapshotLine) -> None:
    for number in range(8):
        beat(line, number)
    assert counts_of([line], frozenset()).scored == 8
    assert counts_of([line], frozenset({("drift", 0)})).scored == 0
    assert standing_channels([line]) == (frozenset({("drift", 0)}) if line.channel.alarm.is_standing else frozenset())


def snapshot_line(observe: Observer = unobserved) -> SnapshotLine:
    settings = TagModelSettings(
        name="risk", asset="press-3", model="mean-model", inputs={"mean": "press-3.temperature"}, max_age_s=5.0,
        alarm=AlarmSettings(over_windows=2),
    )  # fmt: skip
    model = mean_model(family="tag_snapshot")
    return SnapshotLine(settings, model, Recorder(is_clock_synced=lambda: True), observe=observe)


def test_a_snapshot_scores_the_newest_values() -> None:
    line, tags = snapshot_line(), tag_line()
    tags.push(at(0, 0.25))
    (row,) = rows_in(line.score(tags.latest, START_NS + 1_000_000_000))
    assert row.series.sensor_id == "press-3.risk.score"
    assert np.isclose(row.value, 0.25)


def test_a_snapshot_is_refused_by_name_while_a_tag_is_missing_bad_or_stale() -> None:
    line, tags = snapshot_line(), tag_line()
    (missing,) = line.score(tags.latest, START_NS)
    assert isinstance(missing, Event)
    assert "press-3.temperature has not been read yet" in missing.body["detail"]
    tags.push(at(0, 0.1))
    assert rows_in(line.score(tags.latest, START_NS + 1))
    (stale,) = line.score(tags.latest, START_NS + 6_000_000_000)
    assert isinstance(stale, Event)
    assert "stale" in stale.body["detail"]
    tags.push(at(7, None))
    assert line.score(tags.latest, START_NS + 7_000_000_000) == [], "the refusal is reported once"
    assert line.refused_total == 3
    assert line.channel.last_score is None


def test_two_anomalous_snapshots_raise_the_alarm_on_the_asset() -> None:
    line, tags = snapshot_line(), tag_line()
    tags.push(at(0, 0.9))
    records = [r for i in (1, 2) for r in line.score(tags.latest, START_NS + i)]
    (alarm,) = [record for record in records if isinstance(record, Event)]
    assert alarm.subject == "press-3"
    assert alarm.body["state"] == "raised"


def scored(line: SnapshotLine, value: float) -> list[Event]:
    """The events of one snapshot of a tag with this value, just read."""
    (reading,) = at(0, value).readings
    return [record for record in line.score({reading.tag.name: reading}, START_NS) if isinstance(record, Event)]


def test_a_row_the_model_will_not_take_is_a_gap_and_stops_nobody() -> None:
    def broken(values: np.ndarray) -> np.ndarray:
        raise BundleError("the model gave a score that is not finite")

    line = snapshot_line()
    line.swap(dataclasses.replace(line.model, score=broken))
    (gap,) = scored(line, 0.1)
    assert (gap.body["cause"], gap.body["detail"]) == ("model_refused", "the model gave a score that is not finite")
    assert line.model_refused_total == line.refused_total == 1
    line.swap(mean_model(family="tag_snapshot"))
    (ended,) = scored(line, 0.1)
    assert ended.body["cause"] == "model_refused"
    assert line.channel.scored_total == 1


def test_a_snapshot_line_shows_what_it_scored() -> None:
    seen: list[ScoredWindows] = []
    scored(snapshot_line(observe=seen.append), 0.25)
    (observed,) = seen
    assert observed.values.shape == (1, 1, 1)
    assert observed.scores.tolist() == [[0.25]]
