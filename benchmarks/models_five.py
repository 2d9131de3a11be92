"""The five standard models on one row of 22 features: one merged graph against stock graphs, and against scikit-learn.

Constraints
- Each is a StandardScaler and one model, 100 trees where there are trees, fitted on 2,900 seeded rows of mixed scales.
- Ours runs as the agent runs it, checks included; the stock graphs run bare and are asked for their score only.
- LightGBM's stock conversion is that of onnxmltools, inside skl2onnx's pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Comparison, benchmark, compare
from benchmarks.models import assert_same_score, bare_run, one_row, our_model

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from converters.graphs.converted import ConvertedModel

WIDTH: Final = 22
ROWS: Final = 2_900
LIGHTGBM: Final = "lightgbm"
STOCK_SCORES: Final = {
    "isolation_forest": "scores",
    "one_class_svm": "scores",
    "random_forest": "probabilities",
    "svc": "probabilities",
    LIGHTGBM: "probabilities",
}
"""Outputs of skl2onnx's graphs; for an SVC without probabilities it calls the margins so."""


@dataclass(frozen=True, slots=True, eq=False)
class Five:
    """By kind: the pipelines as fitted and as converted; and the rows they were fitted on."""

    pipelines: dict[str, Pipeline]
    converted: dict[str, ConvertedModel]
    rows: NDArray[np.float64]


@benchmark("models.five.vs_stock", unit="us/row")
def five_vs_stock() -> Comparison:
    """One merged graph through the agent's runtime against five stock graphs, one after the other."""
    from converters.graphs.merged import merge

    five = trained_five()
    row = one_row(five.rows)
    merged = merge(five.converted).open()
    stock = [stock_run(kind, row) for kind in five.pipelines]
    for kind, scores in zip(merged.names, merged.score(row), strict=True):
        assert_same_score(scores[0], five.converted[kind].source_score(row.astype(np.float64))[0])
    return compare(ours=lambda: merged.score(row), baseline=lambda: [run() for run in stock])


@benchmark("models.five.vs_sklearn", unit="us/row")
def five_vs_sklearn() -> Comparison:
    """The same merged graph against the five pipelines as they were fitted."""
    from converters.graphs.merged import merge

    five = trained_five()
    row = one_row(five.rows)
    merged, sources = merge(five.converted).open(), [source_run(kind, row) for kind in five.pipelines]
    return compare(ours=lambda: merged.score(row), baseline=lambda: [run() for run in sources])


@benchmark("models.one_class_svm.vs_stock", unit="us/row")
def one_class_svm_vs_stock() -> Comparison:
    return one_vs_stock("one_class_svm")


@benchmark("models.random_forest.vs_stock", unit="us/row")
def random_forest_vs_stock() -> Comparison:
    """The stock graph is a tree operator too, behind a scaler of float32."""
    return one_vs_stock("random_forest")


@benchmark("models.svc.vs_stock", unit="us/row")
def svc_vs_stock() -> Comparison:
    return one_vs_stock("svc")


@benchmark("models.lightgbm.vs_stock", unit="us/row")
def lightgbm_vs_stock() -> Comparison:
    return one_vs_stock(LIGHTGBM)


@benchmark("models.lightgbm.vs_sklearn", unit="us/row")
def lightgbm_vs_sklearn() -> Comparison:
    """Against StandardScaler and LGBMClassifier.predict_proba."""
    five = trained_five()
    row = one_row(five.rows)
    model = our_model(five.converted[LIGHTGBM].onnx, WIDTH)
    return compare(ours=lambda: model.score(row), baseline=source_run(LIGHTGBM, row))


def one_vs_stock(kind: str) -> Comparison:
    """Through the agent's runtime, against a bare run of the stock graph."""
    five = trained_five()
    row = one_row(five.rows)
    model = our_model(five.converted[kind].onnx, WIDTH)
    assert_same_score(model.score(row)[0], five.converted[kind].source_score(row.astype(np.float64))[0])
    return compare(ours=lambda: model.score(row), baseline=stock_run(kind, row))


@cache
def trained_five() -> Five:
    """Fitted and converted once for all benchmarks here."""
    from lightgbm import LGBMClassifier
    from sklearn.ensemble import IsolationForest, RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC, OneClassSVM

    from converters.kinds import convert

    rows, labels = seeded_rows()
    models = {
        "isolation_forest": IsolationForest(n_estimators=100, random_state=0, n_jobs=1),
        "one_class_svm": OneClassSVM(nu=0.05),
        "random_forest": RandomForestClassifier(n_estimators=100, random_state=0, n_jobs=1),
        "svc": SVC(),
        LIGHTGBM: LGBMClassifier(n_estimators=100, num_leaves=31, n_jobs=1, verbose=-1),
    }
    pipelines = {kind: make_pipeline(StandardScaler(), model).fit(rows, labels) for kind, model in models.items()}
    names = [f"feature_{index}" for index in range(WIDTH)]
    return Five(pipelines, {kind: convert(fitted, feature_names=names) for kind, fitted in pipelines.items()}, rows)


def seeded_rows() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Correlated columns with scales from 0.01 to 1,000; the label is a curved surface through them."""
    rng = np.random.default_rng(22)
    latent = rng.standard_normal((ROWS, WIDTH)) @ rng.standard_normal((WIDTH, WIDTH)) / np.sqrt(WIDTH)
    latent += 0.3 * rng.standard_normal(latent.shape)
    scales = 10.0 ** rng.uniform(-2, 3, WIDTH)
    labels = (latent[:, 0] * latent[:, 1] + latent[:, 2] > 0.4).astype(np.int64)
    return (latent + rng.uniform(-3, 3, WIDTH)) * scales, labels


def stock_run(kind: str, row: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
    return bare_run(stock_graph(kind), STOCK_SCORES[kind], row)


@cache
def stock_graph(kind: str) -> bytes:
    """skl2onnx's graph of the pipeline, in the operator sets of ours."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    from converters.graphs.tree_ensemble import INPUT_NAME, ML_OPSET, OPSET

    if kind == LIGHTGBM:
        teach_skl2onnx_lightgbm()
    pipeline = trained_five().pipelines[kind]
    is_classifier = STOCK_SCORES[kind] == "probabilities"
    graph = to_onnx(
        pipeline,
        initial_types=[(INPUT_NAME, FloatTensorType([None, WIDTH]))],
        options={id(pipeline[-1]): {"zipmap": False}} if is_classifier else {},
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )
    return bytes(graph.SerializeToString())


def teach_skl2onnx_lightgbm() -> None:
    """As both projects document it."""
    from lightgbm import LGBMClassifier
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    update_registered_converter(
        LGBMClassifier,
        "LightGbmLGBMClassifier",
        calculate_linear_classifier_output_shapes,
        convert_lightgbm,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )


def source_run(kind: str, row: NDArray[np.float32]) -> Callable[[], object]:
    """What one calls to get a score from the pipeline as fitted."""
    pipeline, rows = trained_five().pipelines[kind], row.astype(np.float64)
    if kind in ("random_forest", LIGHTGBM):
        return lambda: pipeline.predict_proba(rows)
    return lambda: pipeline.decision_function(rows)
