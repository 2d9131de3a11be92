"""The three models over one tag: trained alike each time, on frames the edge computes too."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import pytest

from converters.graphs.lightgbm_forecaster import convert_forecaster, robust_scale
from converters.graphs.scaling import Scaling
from converters.graphs.tree_ensemble import INPUT_NAME, OUTPUT_NAME
from converters.training import lightgbm_challenger, prophet_forecaster, tag_anomaly
from converters.training.lag_frame import columns_of, lag_frame
from converters.training.synthetic_sensors import OUTLIER_EVERY, synthetic_sensor, synthetic_sensors, with_fault
from converters.training.tag_evaluation import alarm_readings
from edge_agent.bundles.onnx_runtime import OnnxModel
from edge_agent.bundles.store import BundleStore
from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import build_extractor, feature_ids
from edge_agent.dsp.families.tag_history import NAME, histories
from tests.support.places import SHIPPED_MODELS

NOWHERE = Path("no-data-needed")
MODELS = SHIPPED_MODELS


def test_sensors_are_as_described_and_a_longer_series_begins_as_the_shorter_one():
    sensors = synthetic_sensors()
    assert [sensor.sensor_id for sensor in sensors[::7]] == ["sensor-001", "sensor-008", "sensor-015"]
    assert {(sensor.sensor_type, sensor.unit) for sensor in sensors} >= {("pressure", "kPa"), ("voltage", "V")}
    for sensor in sensors:
        usual = np.arange(len(sensor.values)) % OUTLIER_EVERY != OUTLIER_EVERY - 1
        assert np.ptp(sensor.values[usual]) < 10
        assert (sensor.values[~usual] < sensor.values[usual].min()).all()
        assert ((sensor.qualities >= 0) & (sensor.qualities <= 1)).all()
    np.testing.assert_array_equal(synthetic_sensor(3, 900).values[:600], sensors[2].values)


@pytest.mark.parametrize("fault", ["step", "drift", "stuck", "spike"])
def test_a_fault_changes_nothing_before_it(fault):
    healthy = synthetic_sensor(1)
    faulty = with_fault(healthy, fault, 300)
    np.testing.assert_array_equal(faulty.values[:300], healthy.values[:300])
    assert (faulty.values[300:] != healthy.values[300:]).any()


def test_the_edge_computes_the_platforms_lag_frame_from_the_first_reading_on():
    sensor = synthetic_sensor(4, 40)
    names = ("value_lag_1", "value_lag_2", "value_lag_5", "value", "quality")
    spec = FeatureSpec(NAME, feature_ids(NAME, *names), parameters={"n_lags": 5, "step_s": 300.0})
    values, is_usable = build_extractor(spec).extract(histories(sensor.values, sensor.qualities, n_lags=5)[np.newaxis])
    assert is_usable.all()
    np.testing.assert_array_equal(values[0], columns_of(lag_frame([sensor], n_lags=5), names).astype(np.float32))


def test_lags_of_one_sensor_never_come_from_another():
    frame = lag_frame([synthetic_sensor(1, 10), synthetic_sensor(2, 10)], n_lags=3)
    assert frame.loc[frame["position"] == 0, "value_lag_3"].tolist() == [
        synthetic_sensor(1, 1).values[0], synthetic_sensor(2, 1).values[0],
    ]  # fmt: skip


@pytest.mark.parametrize("recipe", [prophet_forecaster, lightgbm_challenger])
def test_a_forecaster_is_trained_to_the_bytes_that_are_shipped(recipe):
    content = recipe.build(NOWHERE)
    shipped = MODELS / recipe.NAME / recipe.VERSION
    assert content.manifest.metrics["test_mae"] < content.manifest.metrics["test_mae_of_last_value"]
    assert content.manifest.metrics["found_share_step"] == 1.0
    assert content.manifest.parity.verdict_flips == 0
    assert len(content.model) == (shipped / "model.onnx").stat().st_size


@pytest.mark.parametrize("name", [module.NAME for module in (tag_anomaly, prophet_forecaster, lightgbm_challenger)])
def test_a_shipped_bundle_over_one_tag_is_champion_and_proven(name: str):
    champion = BundleStore(MODELS).load_champion(name)
    assert champion.golden.windows >= 40
    assert 0 < champion.golden.anomalous_windows < champion.golden.windows


def test_a_forecasters_score_is_the_distance_from_the_row_before_in_scales():
    rng = np.random.default_rng(0)
    values, qualities = 1_000.0 + rng.standard_normal(300), rng.random(300)
    trained_on, features = ("quality", "value_lag_1", "value"), ("value", "value_lag_1", "value_lag_2", "quality_lag_1")
    inputs = np.stack([qualities[1:-1], values[:-2], values[1:-1]], axis=1).astype(np.float32).astype(np.float64)
    model = lightgbm.LGBMRegressor(n_estimators=20, verbosity=-1, n_jobs=1).fit(inputs, values[2:])
    converted = convert_forecaster(Scaling(3), model, trained_on=trained_on, features=features, scale=0.5)
    came = (values[2:] + 2.0).astype(np.float32)
    rows = np.stack([came, inputs[:, 2], inputs[:, 1], inputs[:, 0]], axis=1).astype(np.float32)
    graph = OnnxModel(converted.onnx, input_name=INPUT_NAME, output_name=OUTPUT_NAME, n_features=4)
    expected = np.abs(came - model.booster_.predict(inputs)) / 0.5
    np.testing.assert_allclose(graph.score(rows), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(converted.source_score(rows.astype(float)), expected, rtol=1e-12)


def test_a_forecaster_that_lacks_a_feature_or_a_scale_is_refused():
    model = lightgbm.LGBMRegressor(n_estimators=1, min_child_samples=1, verbosity=-1, n_jobs=1)
    model.fit(np.arange(20.0)[:, np.newaxis], np.arange(20.0))
    with pytest.raises(ValueError, match="value_lag_1"):
        convert_forecaster(Scaling(1), model, trained_on=("value",), features=("value",), scale=1.0)
    with pytest.raises(ValueError, match="above 0"):
        convert_forecaster(Scaling(1), model, trained_on=("value",), features=("value", "value_lag_1"), scale=0.0)


def test_the_robust_scale_is_the_deviation_of_normal_residuals_and_ignores_outliers():
    residuals = 3.0 * np.random.default_rng(0).standard_normal(20_000)
    assert robust_scale(residuals) == pytest.approx(3.0, rel=0.02)
    residuals[::50] = 1e6
    assert robust_scale(residuals) == pytest.approx(3.0, rel=0.05)


def test_an_alarm_needs_three_of_five():
    scores = np.array([0, 2, 0, 2, 0, 2, 2, np.nan, 0, 0])
    assert alarm_readings(scores, 1.0).tolist() == [False] * 5 + [True] * 3 + [False] * 2
