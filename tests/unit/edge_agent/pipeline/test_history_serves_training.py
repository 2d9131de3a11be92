"""What is scored live, reading by reading, is what training scored over whole series; and lags keep to a slow rule."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cloud_sync.columns import Record
from converters.graphs.prophet_graph import convert_prophet
from converters.training import lightgbm_challenger, prophet_forecaster, tag_anomaly
from converters.training.lag_frame import columns_of, lag_frame
from converters.training.synthetic_sensors import STEP_S, SensorSeries, synthetic_sensor, synthetic_sensors, with_fault
from edge_agent.bundles.store import BundleStore
from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading, Tag
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.snapshot import SnapshotLine
from edge_agent.rollout.startup import scoring_model
from edge_agent.settings import TagModelSettings
from tests.support.places import SHIPPED_MODELS
from tests.unit.edge_agent.pipeline.test_tag_inputs import beat, history_line

MODELS = SHIPPED_MODELS
TAG = Tag("sensor-001.temperature", "C", "temperature")


def fully_trusted(series: SensorSeries) -> SensorSeries:
    """Live qualities are 1.0, 0.4 or none; the sensors' own have three decimals."""
    return SensorSeries(
        series.sensor_id, series.sensor_type, series.unit, series.times_s, series.values, np.ones(len(series.values))
    )


def live_scores(name: str, series: SensorSeries) -> list[float | None]:
    """One beat per reading through the shipped champion."""
    model = scoring_model(BundleStore(MODELS).load_champion(name))
    settings = TagModelSettings(
        name="watch", asset="sensor-001", model=name, inputs={"value": TAG.name}, interval_s=float(STEP_S)
    )
    line = SnapshotLine(settings, model, Recorder(is_clock_synced=lambda: True))
    scores = []
    for time_s, value in zip(series.times_s.tolist(), series.values.tolist(), strict=True):
        now_ns = time_s * 10**9
        line.score({TAG.name: Reading(TAG, value, Quality.GOOD, None, now_ns)}, now_ns)
        scores.append(line.channel.last_score)
    return scores


def by_prophet(series: SensorSeries) -> NDArray[np.float64]:
    model = prophet_forecaster.fit(series, prophet_forecaster.N_TRAINING)
    return convert_prophet(model).source_score(prophet_forecaster.rows_of(series))


def by_lightgbm(series: SensorSeries) -> NDArray[np.float64]:
    converted, _ = lightgbm_challenger.fit(synthetic_sensor(1), lightgbm_challenger.N_TRAINING)
    return converted.source_score(lightgbm_challenger.rows_of(series))


def by_forest(series: SensorSeries) -> NDArray[np.float64]:
    frame = lag_frame(synthetic_sensors(), n_lags=tag_anomaly.N_LAGS)
    rows = columns_of(frame[frame["position"] < tag_anomaly.N_TRAINING], tag_anomaly.FEATURES)
    converted, _ = tag_anomaly.fit(rows)
    return converted.source_score(columns_of(lag_frame([series], n_lags=tag_anomaly.N_LAGS), tag_anomaly.FEATURES))


@pytest.mark.parametrize(
    ("name", "trained", "refused"),
    [
        (prophet_forecaster.NAME, by_prophet, 0),
        (lightgbm_challenger.NAME, by_lightgbm, lightgbm_challenger.N_LAGS + 1),
        (tag_anomaly.NAME, by_forest, 0),
    ],
)
def test_live_scores_are_those_of_the_source_over_the_whole_series(
    name: str, trained: Callable[[SensorSeries], NDArray[np.float64]], refused: int
) -> None:
    series = fully_trusted(with_fault(synthetic_sensor(1), "step", 540))
    live = live_scores(name, series)
    assert live[:refused] == [None] * refused
    np.testing.assert_allclose(np.array(live[refused:], float), trained(series)[refused:], rtol=2e-5, atol=2e-5)


def slowly(readings: list[float | None], *, n_lags: int, max_gap_steps: int) -> list[list[float]]:
    """Rows (lags, value, quality) by the rule in words, from everything read so far, at every reading."""
    rows = []
    for now in range(len(readings)):
        if readings[now] is None:
            continue
        kept: list[float] = []
        missing = 0
        for value in readings[: now + 1]:
            missing = missing + 1 if value is None else missing
            if value is not None:
                kept = [*kept, value] if missing <= max_gap_steps else [value]
                missing = 0
        newest_first = kept[::-1] + [kept[0]] * n_lags
        rows.append([*newest_first[1 : n_lags + 1], newest_first[0], 1.0])
    return rows


def taken(line: SnapshotLine, readings: list[float | None]) -> list[Record]:
    return [record for step, value in enumerate(readings) for record in beat(line, step, value)]


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 999).map(float)), max_size=25), st.integers(min_value=0, max_value=3)
)
def test_a_history_is_what_the_rule_says_whatever_is_missing(readings: list[float | None], max_gap_steps: int) -> None:
    line, rows = history_line(max_gap_steps=max_gap_steps)
    taken(line, readings)
    assert rows.seen == slowly(readings, n_lags=2, max_gap_steps=max_gap_steps)
