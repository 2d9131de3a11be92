"""Each shipped bundle on one row: its own graph against the stock conversion of the same fitted model.

Constraints
- The source model is fitted again by its recipe's own steps and data; a stock answer that is not the shipped graph's
  ends the benchmark, so both sides are the same model.
- Graph against graph: both run bare in the same kind of session; the stock graph is asked for its score only.
- What stock tools cannot convert, or what is trained on data that are not here, is said and not measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Comparison, UnavailableError, benchmark, compare
from benchmarks.models import (
    DATA,
    ROOT,
    assert_same_score,
    bare_run,
    one_row,
    trained_isolation_forest,
    trained_random_forest,
)
from benchmarks.models_five import teach_skl2onnx_lightgbm

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

MODELS: Final = ROOT / "models_onnx"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A pipeline as fitted, rows it takes, and how the stock graph's output becomes the bundle's score.

    `stock_rows` are what the stock graph is fed where that is not the raw rows.
    """

    pipeline: Pipeline
    rows: NDArray[np.float64]
    output: str
    score: Callable[[NDArray[np.float32]], float]
    stock_rows: NDArray[np.float64] | None = None


def shipped_vs_stock(name: str, source: Source) -> Comparison:
    """Raises ValueError when the two sides are not the same model."""
    row = one_row(source.rows)
    ours = bare_run(shipped_graph(name), "score", row)
    stock_row = row if source.stock_rows is None else one_row(source.stock_rows)
    stock = bare_run(stock_graph(source, stock_row.shape[1]), source.output, stock_row)
    assert_same_score(ours()[0], source.score(stock()))
    return compare(ours=ours, baseline=stock)


def shipped_graph(name: str) -> bytes:
    """Of the champion."""
    version = str(json.loads((MODELS / name / "champion.json").read_text(encoding="utf-8"))["version"])
    return (MODELS / name / version / "model.onnx").read_bytes()


def stock_graph(source: Source, n_features: int) -> bytes:
    """skl2onnx's graph, in the operator sets of ours; LightGBM by onnxmltools inside it."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    from converters.graphs.tree_ensemble import INPUT_NAME, ML_OPSET, OPSET

    teach_skl2onnx_lightgbm()
    is_classifier = source.output == "probabilities"
    graph = to_onnx(
        source.pipeline,
        initial_types=[(INPUT_NAME, FloatTensorType([None, n_features]))],
        options={id(source.pipeline[-1]): {"zipmap": False}} if is_classifier else {},
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )
    return bytes(graph.SerializeToString())


def anomaly_forest(
    pipeline: Pipeline, rows: NDArray[np.float64], stock_rows: NDArray[np.float64] | None = None
) -> Source:
    """The stock graph gives decision_function."""
    offset = float(pipeline[-1].offset_)
    return Source(pipeline, rows, "scores", lambda out: -(float(out[0, 0]) + offset), stock_rows)


def classifier(pipeline: Pipeline, rows: NDArray[np.float64]) -> Source:
    """The stock graph gives both classes' probabilities."""
    return Source(pipeline, rows, "probabilities", lambda out: float(out[0, 1]))


def fitted(model: Any, rows: NDArray[np.float64], labels: NDArray[np.int64] | None = None) -> Pipeline:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), model).fit(rows, labels)


def ai4i_rows() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    from converters.training import ai4i

    table = ai4i.load_table(DATA)
    is_training = ai4i.split(table).training
    return table.inputs[is_training], table.failed[is_training]


@benchmark("models.shipped.vibration_anomaly_isolationforest.vs_stock", unit="us/row")
def bearing_forest() -> Comparison:
    pipeline, _, rows = trained_isolation_forest()
    return shipped_vs_stock("vibration_anomaly_isolationforest", anomaly_forest(pipeline, rows))


@benchmark("models.shipped.vibration_anomaly_oneclasssvm.vs_stock", unit="us/row")
def bearing_machine() -> Comparison:
    from sklearn.svm import OneClassSVM

    from converters.training import ims_one_class_svm

    _, _, rows = trained_isolation_forest()
    pipeline = fitted(OneClassSVM(**ims_one_class_svm.HYPERPARAMETERS), rows)
    return shipped_vs_stock(
        ims_one_class_svm.NAME, Source(pipeline, rows, "scores", lambda out: -float(np.ravel(out)[0]))
    )


@benchmark("models.shipped.xjtu_anomaly_isolation_forest.vs_stock", unit="us/row")
def two_axis_forest() -> Comparison:
    from sklearn.ensemble import IsolationForest

    from converters.training import femto_two_axes

    lives = femto_two_axes.load_runs(DATA)
    rows = np.concatenate([life.features[life.is_training] for life in lives])
    pipeline = fitted(IsolationForest(**femto_two_axes.HYPERPARAMETERS, n_jobs=1), rows)
    return shipped_vs_stock(femto_two_axes.NAME, anomaly_forest(pipeline, rows))


@benchmark("models.shipped.anomaly_detector_refined_v2.vs_stock", unit="us/row")
def tag_forest() -> Comparison:
    """The stock graph is of the forest alone, fed rows that are scaled already: it has no scaler of two columns."""
    from sklearn.ensemble import IsolationForest
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    from converters.training import tag_anomaly
    from converters.training.lag_frame import columns_of, lag_frame
    from converters.training.synthetic_sensors import synthetic_sensors

    frame = lag_frame(synthetic_sensors(), n_lags=tag_anomaly.N_LAGS)
    rows = columns_of(frame[frame["position"] < tag_anomaly.N_TRAINING], tag_anomaly.FEATURES)
    columns = list(tag_anomaly.SCALED)
    scaled = rows.copy()
    scaled[:, columns] = MinMaxScaler().fit_transform(rows[:, columns])
    pipeline = make_pipeline(IsolationForest(**tag_anomaly.HYPERPARAMETERS, n_jobs=1)).fit(scaled)
    return shipped_vs_stock(tag_anomaly.NAME, anomaly_forest(pipeline, rows, scaled))


@benchmark("models.shipped.RandomForest_MIMII_Audio_Benchmark.vs_stock", unit="us/row")
def sound_forest() -> Comparison:
    from sklearn.pipeline import make_pipeline

    from converters.training import mimii_audio

    clips = mimii_audio.load_clips(DATA)
    heard = [index for machine in mimii_audio.teaching_machines(clips) for index in clips.of(machine)]
    rows, labels = clips.rows(heard)
    return shipped_vs_stock(mimii_audio.NAME, classifier(make_pipeline(*mimii_audio.fit(rows, labels)), rows))


@benchmark("models.shipped.ai4i_classifier_randomforest_baseline.vs_stock", unit="us/row")
def failure_forest() -> Comparison:
    pipeline, _, rows = trained_random_forest()
    return shipped_vs_stock("ai4i_classifier_randomforest_baseline", classifier(pipeline, rows))


@benchmark("models.shipped.ai4i_classifier_lightgbm_baseline.vs_stock", unit="us/row")
def failure_lightgbm() -> Comparison:
    from lightgbm import LGBMClassifier

    from converters.training import ai4i_challengers

    rows, failed = ai4i_rows()
    model = LGBMClassifier(**ai4i_challengers.LIGHTGBM_HYPERPARAMETERS, **ai4i_challengers.LIGHTGBM_REPRODUCIBLE)
    return shipped_vs_stock(ai4i_challengers.LIGHTGBM_NAME, classifier(fitted(model, rows, failed), rows))


@benchmark("models.shipped.ai4i_classifier_svc_baseline.vs_stock", unit="us/row")
def failure_svc() -> Comparison:
    """Fitted without probabilities, its stock graph calls the margins so, the second class's first."""
    from sklearn.svm import SVC

    from converters.training import ai4i_challengers

    rows, failed = ai4i_rows()
    pipeline = fitted(SVC(**ai4i_challengers.SVC_HYPERPARAMETERS), rows, failed)
    source = Source(pipeline, rows, "probabilities", lambda out: float(out[0, 0]))
    return shipped_vs_stock(ai4i_challengers.SVC_NAME, source)


@benchmark("models.shipped.pump_randomforest_baseline.vs_stock", unit="us/row")
def pump_forest() -> Comparison:
    raise UnavailableError("the pump's table has no stated licence and is not in the repository")


@benchmark("models.shipped.lightgbm_forecaster_challenger.vs_stock", unit="us/row")
def forecaster() -> Comparison:
    raise UnavailableError("its score is a residual of shifted lags; stock converters know the bare regressor only")


@benchmark("models.shipped.prophet_forecaster_enhanced_sensor-001.vs_stock", unit="us/row")
def prophet() -> Comparison:
    raise UnavailableError("no stock converter takes Prophet")
