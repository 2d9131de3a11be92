"""A converted forest takes every float32 row to the very leaves scikit-learn takes it to."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.ensemble._iforest import _average_path_length
from sklearn.preprocessing import StandardScaler

from converters.errors import UnsupportedModelError
from converters.graphs.converted import ConvertedModel
from converters.graphs.isolation_forest import convert_isolation_forest, expected_path_length
from converters.graphs.random_forest import convert_random_forest
from converters.graphs.tree_ensemble import INPUT_NAME, OUTPUT_NAME, AsCompared, as_float32, folded_thresholds
from converters.proof.parity import MIN_ROWS, measure, parity_rows
from edge_agent.bundles.onnx_runtime import OnnxModel
from edge_agent.errors import BundleError


def rows_of_mixed_scales(n: int = 600, width: int = 6) -> NDArray[np.float64]:
    """Correlated columns with scales from 1e-3 to 1e4 and offsets of a thousand scales, as sensors have."""
    rng = np.random.default_rng(3)
    scales = 10.0 ** np.linspace(-3, 4, width)
    offsets = scales * np.array([0, 1, -1000, 3, 0, 1000])[:width]
    return rng.standard_normal((n, width)) @ rng.standard_normal((width, width)) * scales + offsets


def fitted_isolation_forest(rows: NDArray[np.float64], **options: object) -> ConvertedModel:
    scaler = StandardScaler().fit(rows)
    forest = IsolationForest(n_estimators=20, random_state=0, **options).fit(scaler.transform(rows))
    return convert_isolation_forest(scaler, forest)


def fitted_random_forest(rows: NDArray[np.float64]) -> ConvertedModel:
    labels = (rows[:, 0] * rows[:, 1] > np.median(rows[:, 0] * rows[:, 1])).astype(int)
    scaler = StandardScaler().fit(rows)
    forest = RandomForestClassifier(n_estimators=20, random_state=0).fit(scaler.transform(rows), labels)
    return convert_random_forest(scaler, forest)


def runtime_scores(converted: ConvertedModel, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    model = OnnxModel(converted.onnx, input_name=INPUT_NAME, output_name=OUTPUT_NAME, n_features=rows.shape[1])
    return model.score(rows)


@pytest.mark.parametrize("fit", [fitted_isolation_forest, fitted_random_forest])
def test_graph_agrees_with_its_source_on_and_beside_every_split(fit) -> None:  # type: ignore[no-untyped-def]
    rows = rows_of_mixed_scales()
    figures = measure(fit(rows), rows, threshold=0.4567)
    assert figures.rows >= MIN_ROWS
    assert figures.verdict_flips == 0
    assert figures.max_abs_difference < 1e-6


def test_graph_agrees_when_trees_see_a_part_of_the_columns() -> None:
    rows = rows_of_mixed_scales()
    figures = measure(fitted_isolation_forest(rows, max_features=0.5), rows, threshold=0.4567)
    assert figures.max_abs_difference < 1e-6


def test_an_even_split_of_the_trees_is_normal_on_both_sides() -> None:
    rows = rows_of_mixed_scales()
    converted = fitted_random_forest(rows)
    assert converted.own_threshold is not None
    tried = parity_rows(converted, rows)
    source = converted.source_score(tried.astype(np.float64))
    ties = tried[source == 0.5]
    assert len(ties) > 100
    assert (runtime_scores(converted, ties) > 0.5).any()  # float32's sum of twentieths: why 0.5 itself will not do
    assert not (runtime_scores(converted, ties) > converted.own_threshold).any()
    figures = measure(converted, rows, threshold=converted.own_threshold)
    assert (figures.verdict_flips, figures.flips_in_band) == (0, 0)


def test_a_threshold_on_a_score_that_trees_take_is_refused() -> None:
    rows = rows_of_mixed_scales()
    with pytest.raises(BundleError, match="verdicts flip") as refusal:
        measure(fitted_random_forest(rows), rows, threshold=0.5)
    assert "move it between two of them" in refusal.value.hint


def test_anomaly_score_is_higher_for_outliers() -> None:
    rows = rows_of_mixed_scales()
    converted = fitted_isolation_forest(rows)
    centre = rows.mean(axis=0, keepdims=True).astype(np.float32)
    far = (rows.mean(axis=0) + 20 * rows.std(axis=0)).astype(np.float32)[np.newaxis]
    assert runtime_scores(converted, centre)[0] < 0.5 < runtime_scores(converted, far)[0]


def test_parity_rows_stand_on_every_split_and_on_both_neighbours() -> None:
    rows = rows_of_mixed_scales()
    converted = fitted_isolation_forest(rows)
    tried = parity_rows(converted, rows)
    for column in range(rows.shape[1]):
        splits = converted.split_values[converted.split_features == column]
        below, above = np.nextafter(splits, np.float32(-np.inf)), np.nextafter(splits, np.float32(np.inf))
        assert np.isin(np.concatenate([below, splits, above]), tried[:, column]).all()


def test_parity_refuses_a_graph_that_is_not_its_source() -> None:
    rows = rows_of_mixed_scales()
    converted = fitted_isolation_forest(rows)
    other = ConvertedModel(
        converted.onnx, lambda x: converted.source_score(x) + 1e-4, converted.split_features, converted.split_values
    )
    with pytest.raises(BundleError, match="differs from its source"):
        measure(other, rows, threshold=0.4567)


@pytest.mark.parametrize("as_compared", [as_float32, lambda values: values], ids=["float32", "float64"])
def test_folded_threshold_is_the_largest_float32_that_goes_left(as_compared: AsCompared) -> None:
    rng = np.random.default_rng(0)
    n = 5_000
    thresholds = rng.standard_normal(n) * 10.0 ** rng.uniform(-6, 2, n)
    scales = 10.0 ** rng.uniform(-5, 5, n)
    means = rng.standard_normal(n) * 10.0 ** rng.uniform(-5, 5, n)

    def scaled(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return (x - means) / scales

    def goes_left(x: NDArray[np.float32]) -> NDArray[np.bool_]:
        return np.asarray(as_compared(scaled(x.astype(np.float64))) <= thresholds)

    folded = folded_thresholds(thresholds, scaled, as_compared=as_compared)
    assert goes_left(folded).all()
    assert not goes_left(np.nextafter(folded, np.float32(np.inf))).any()


def test_split_that_no_value_passes_is_minus_infinity() -> None:
    folded = folded_thresholds(np.array([-1.0]), lambda x: np.maximum(x, 0.0))
    assert folded[0] == -np.inf


def test_expected_path_length_is_scikit_learns() -> None:
    counts = np.arange(1, 3000)
    np.testing.assert_allclose(expected_path_length(counts), _average_path_length(counts), rtol=1e-14)


def test_classes_other_than_zero_and_one_are_refused() -> None:
    rows = rows_of_mixed_scales(100)
    scaler = StandardScaler().fit(rows)
    forest = RandomForestClassifier(n_estimators=2).fit(scaler.transform(rows), np.arange(100) % 3)
    with pytest.raises(UnsupportedModelError, match="the anomalous one must be named"):
        convert_random_forest(scaler, forest)


def test_constant_column_does_no_harm() -> None:
    rows = rows_of_mixed_scales()
    rows[:, 2] = 7.5
    assert measure(fitted_isolation_forest(rows), rows, threshold=0.4567).max_abs_difference < 1e-6


def test_same_model_gives_the_same_bytes() -> None:
    rows = rows_of_mixed_scales(200)
    assert fitted_random_forest(rows).onnx == fitted_random_forest(rows).onnx
