"""skl2onnx converts the same pipelines by other means, so its graphs are a second opinion on ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from converters.graphs.converted import ConvertedModel
from converters.graphs.isolation_forest import convert_isolation_forest
from converters.graphs.random_forest import convert_random_forest
from converters.graphs.tree_ensemble import INPUT_NAME, ML_OPSET, OPSET, OUTPUT_NAME
from converters.proof.parity import parity_rows
from edge_agent.bundles.onnx_runtime import OnnxModel

WIDTH = 6
N_TREES = 25
"""An odd number: no vote of the random forest ends even."""

TOLERANCE = 1e-6
"""Scores are 0..1; 25 float32 leaf weights summed in two orders differ by 3e-7 at most here. One leaf amiss is 1e-4."""

CLEARANCE_STD = 2e-4
"""The stock graph holds the means in float32: 1,000 deviations from zero that moves a value by up to 3e-5 of one."""

ScoreFunction = Callable[[NDArray[np.float32]], NDArray[np.float64]]


@dataclass(frozen=True)
class Opinions:
    """One trained pipeline and the same score from three sides: ours, skl2onnx's graph, scikit-learn."""

    converted: ConvertedModel
    stock_graph: onnx.ModelProto
    ours: ScoreFunction
    stock: ScoreFunction
    source: ScoreFunction
    source_verdict: Callable[[NDArray[np.float32]], NDArray[np.bool_]]
    threshold: float


def training_rows(n: int = 600) -> NDArray[np.float64]:
    """Correlated columns with scales from 1e-3 to 1e4, some far from zero."""
    rng = np.random.default_rng(3)
    scales = 10.0 ** np.linspace(-3, 4, WIDTH)
    offsets = scales * np.array([0, 1, -1000, 3, 0, 1000])
    return rng.standard_normal((n, WIDTH)) @ rng.standard_normal((WIDTH, WIDTH)) * scales + offsets


def seeded_rows(n: int = 4_000) -> NDArray[np.float32]:
    """Around the training rows; every tenth row is an outlier."""
    rng = np.random.default_rng(7)
    rows = training_rows()
    spread = np.where(np.arange(n) % 10 == 0, 10.0, 1.0)[:, np.newaxis]
    noise = rng.standard_normal((n, WIDTH)) * rows.std(axis=0) * spread
    return np.asarray(rows[rng.integers(len(rows), size=n)] + noise, np.float32)


def isolation_forest() -> Opinions:
    forest = IsolationForest(n_estimators=N_TREES, contamination=0.1, random_state=0)
    pipeline = make_pipeline(StandardScaler(), forest).fit(training_rows())
    converted = convert_isolation_forest(pipeline[0], forest)
    graph, run = stock_conversion(pipeline, "scores", {})
    return Opinions(
        converted,
        graph,
        ours=our_scores(converted),
        stock=lambda rows: -(run(rows)[:, 0] + forest.offset_),  # it gives decision_function
        source=lambda rows: converted.source_score(rows.astype(np.float64)),
        source_verdict=lambda rows: pipeline.predict(rows.astype(np.float64)) == -1,
        threshold=-forest.offset_,
    )


def random_forest() -> Opinions:
    rows = training_rows()
    labels = (rows[:, 0] * rows[:, 1] > np.median(rows[:, 0] * rows[:, 1])).astype(int)
    forest = RandomForestClassifier(n_estimators=N_TREES, random_state=0)
    pipeline = make_pipeline(StandardScaler(), forest).fit(rows, labels)
    converted = convert_random_forest(pipeline[0], forest)
    graph, run = stock_conversion(pipeline, "probabilities", {id(forest): {"zipmap": False}})
    return Opinions(
        converted,
        graph,
        ours=our_scores(converted),
        stock=lambda rows: run(rows)[:, 1],
        source=lambda rows: converted.source_score(rows.astype(np.float64)),
        source_verdict=lambda rows: pipeline.predict(rows.astype(np.float64)) == 1,
        threshold=0.5,
    )


def our_scores(converted: ConvertedModel) -> ScoreFunction:
    model = OnnxModel(converted.onnx, input_name=INPUT_NAME, output_name=OUTPUT_NAME, n_features=WIDTH)
    return lambda rows: model.score(rows).astype(np.float64)


def stock_conversion(
    pipeline: Pipeline, output: str, options: dict[int, dict[str, bool]]
) -> tuple[onnx.ModelProto, ScoreFunction]:
    graph = to_onnx(
        pipeline,
        initial_types=[(INPUT_NAME, FloatTensorType([None, WIDTH]))],
        options=options,
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )
    import onnxruntime as ort

    one_thread = ort.SessionOptions()
    one_thread.intra_op_num_threads = 1
    session = ort.InferenceSession(graph.SerializeToString(), one_thread, providers=["CPUExecutionProvider"])
    return graph, lambda rows: session.run([output], {INPUT_NAME: rows})[0].astype(np.float64)


@pytest.fixture(scope="module", params=[isolation_forest, random_forest], ids=lambda make: make.__name__)
def opinions(request: pytest.FixtureRequest) -> Opinions:
    return request.param()


def rows_clear_of_splits(converted: ConvertedModel) -> NDArray[np.float32]:
    """The seeded rows whose values all keep CLEARANCE_STD away from every split."""
    rows = seeded_rows()
    std = training_rows().std(axis=0)
    is_clear = np.ones(len(rows), np.bool_)
    for column in range(WIDTH):
        splits = converted.split_values[converted.split_features == column].astype(np.float64)
        distance = np.abs(rows[:, column, np.newaxis].astype(np.float64) - splits).min(axis=1)
        is_clear &= distance > CLEARANCE_STD * std[column]
    return rows[is_clear]


def test_our_graph_gives_the_stock_graphs_score_and_verdict(opinions: Opinions) -> None:
    rows = rows_clear_of_splits(opinions.converted)
    assert len(rows) > 0.8 * len(seeded_rows())
    ours, stock = opinions.ours(rows), opinions.stock(rows)
    np.testing.assert_allclose(ours, stock, rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(ours > opinions.threshold, stock > opinions.threshold)


def test_our_verdict_is_scikit_learns_for_every_row(opinions: Opinions) -> None:
    rows = seeded_rows()
    verdicts = opinions.ours(rows) > opinions.threshold
    assert 0 < verdicts.sum() < len(rows)
    np.testing.assert_array_equal(verdicts, opinions.source_verdict(rows))


def test_beside_a_split_our_graph_follows_scikit_learn_and_the_stock_graph_does_not(opinions: Opinions) -> None:
    """The reason for a converter of our own; when the stock graph passes here too, think again."""
    rows = parity_rows(opinions.converted, training_rows())[: 3 * len(opinions.converted.split_values)]
    source = opinions.source(rows)
    assert np.abs(opinions.ours(rows) - source).max() < TOLERANCE
    np.testing.assert_array_equal(opinions.ours(rows) > opinions.threshold, opinions.source_verdict(rows))
    assert np.abs(opinions.stock(rows) - source).max() > 1_000 * TOLERANCE


def test_isolation_forest_takes_four_nodes_where_the_stock_graph_takes_twenty_for_each_tree() -> None:
    forest = isolation_forest()
    ours = node_types(onnx.load_from_string(forest.converted.onnx))
    assert ours == ["TreeEnsembleRegressor", "Reshape", "Mul", "Exp"]
    assert len(node_types(forest.stock_graph)) > 20 * N_TREES


def test_random_forest_does_without_the_stock_graphs_scaler() -> None:
    forest = random_forest()
    assert node_types(onnx.load_from_string(forest.converted.onnx)) == ["TreeEnsembleRegressor", "Reshape"]
    assert node_types(forest.stock_graph) == ["Scaler", "TreeEnsembleClassifier"]


def node_types(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]
