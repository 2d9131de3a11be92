"""The shipped models on one window: our graphs against skl2onnx's and against scikit-learn.

Constraints
- Trained here as the shipped ones are: same recordings, same rows, same hyperparameters (100 trees).
- Both sides of a comparison with ONNX Runtime get the same options: one thread that does not spin.
- The stock graph is asked for its score only; computing its label as well would cost it more.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Comparison, benchmark, compare
from edge_agent.bundles.onnx_runtime import OnnxModel

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from converters.graphs.converted import ConvertedModel

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
LOAD_ROUNDS = 5
"""Fewer than elsewhere: the stock graph takes a second or more, and the sides are far apart."""


@benchmark("models.isolation_forest.vs_stock", unit="us/window")
def isolation_forest_vs_stock() -> Comparison:
    """As the agent scores a window, its checks of the values included, against a bare run of the stock graph."""
    pipeline, converted, rows = trained_isolation_forest()
    row = one_row(rows)
    model = our_model(converted.onnx, rows.shape[1])
    stock = bare_run(stock_isolation_forest(pipeline, rows.shape[1]), "scores", row)
    assert_same_score(model.score(row)[0], -(stock()[0, 0] + pipeline[-1].offset_))  # it gives decision_function
    return compare(ours=lambda: model.score(row), baseline=stock)


@benchmark("models.isolation_forest.graph.vs_stock", unit="us/window")
def isolation_forest_graph_vs_stock() -> Comparison:
    """The graphs alone: the same bare run on both sides, without the agent's checks."""
    pipeline, converted, rows = trained_isolation_forest()
    row = one_row(rows)
    return compare(
        ours=bare_run(converted.onnx, "score", row),
        baseline=bare_run(stock_isolation_forest(pipeline, rows.shape[1]), "scores", row),
    )


@benchmark("models.isolation_forest.load.vs_stock", unit="ms wall")
def isolation_forest_load_vs_stock() -> Comparison:
    """File to a session that can run, in a process of its own each time; importing the runtime is not counted."""
    pipeline, converted, rows = trained_isolation_forest()
    graphs = (converted.onnx, stock_isolation_forest(pipeline, rows.shape[1]))
    times: tuple[list[float], list[float]] = ([], [])
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("ours.onnx", "stock.onnx")]
        for path, graph in zip(paths, graphs, strict=True):
            path.write_bytes(graph)
        for index in range(LOAD_ROUNDS):
            for side in (0, 1) if index % 2 == 0 else (1, 0):
                times[side].append(load_ms(paths[side]))
    return Comparison.of(*times)


@benchmark("models.random_forest.vs_sklearn", unit="us/row")
def random_forest_vs_sklearn() -> Comparison:
    """Against the model as trained: StandardScaler and predict_proba on one row.

    There is no comparison with the stock graph: it is a tree operator too, and takes about as long.
    """
    pipeline, converted, rows = trained_random_forest()
    row = one_row(rows)
    model = our_model(converted.onnx, rows.shape[1])
    as_trained = row.astype(np.float64)
    assert_same_score(model.score(row)[0], pipeline.predict_proba(as_trained)[0, 1])
    return compare(ours=lambda: model.score(row), baseline=lambda: pipeline.predict_proba(as_trained))


@cache
def trained_isolation_forest() -> tuple[Pipeline, ConvertedModel, NDArray[np.float64]]:
    """The bearing model: vibration features of the healthy days of the shipped recordings."""
    from sklearn.ensemble import IsolationForest
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from converters.graphs.isolation_forest import convert_isolation_forest
    from converters.training import ims_vibration

    run = ims_vibration.load_run(DATA)
    is_training = run.times < np.datetime64(ims_vibration.TRAINED_UNTIL)
    rows = run.features[is_training].reshape(-1, run.features.shape[-1])
    pipeline = make_pipeline(StandardScaler(), IsolationForest(**ims_vibration.HYPERPARAMETERS, n_jobs=1)).fit(rows)
    return pipeline, convert_isolation_forest(pipeline[0], pipeline[-1]), rows


@cache
def trained_random_forest() -> tuple[Pipeline, ConvertedModel, NDArray[np.float64]]:
    """The machine failure model, on the blocks of rows it is trained on."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from converters.graphs.random_forest import convert_random_forest
    from converters.training import ai4i

    table = ai4i.load_table(DATA)
    is_training = ai4i.split(table).training
    rows, failed = table.inputs[is_training], table.failed[is_training]
    forest = RandomForestClassifier(**ai4i.HYPERPARAMETERS, n_jobs=1)
    pipeline = make_pipeline(StandardScaler(), forest).fit(rows, failed)
    return pipeline, convert_random_forest(pipeline[0], pipeline[-1]), rows


@cache
def stock_isolation_forest(pipeline: Pipeline, n_features: int) -> bytes:
    """skl2onnx's graph of the whole pipeline, in the operator sets of ours."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    from converters.graphs.tree_ensemble import INPUT_NAME, ML_OPSET, OPSET

    graph = to_onnx(
        pipeline,
        initial_types=[(INPUT_NAME, FloatTensorType([None, n_features]))],
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )
    return bytes(graph.SerializeToString())


def our_model(graph: bytes, n_features: int) -> OnnxModel:
    from converters.graphs.tree_ensemble import INPUT_NAME, OUTPUT_NAME

    return OnnxModel(graph, input_name=INPUT_NAME, output_name=OUTPUT_NAME, n_features=n_features)


def bare_run(graph: bytes, output: str, row: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
    session = open_session(graph)
    fed = {session.get_inputs()[0].name: row}
    return lambda: session.run([output], fed)[0]


def open_session(graph: bytes | str) -> Any:
    """A session set up as the agent's own."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


LOAD = """
import sys, time
from benchmarks.models import open_session
begin = time.perf_counter()
open_session(sys.argv[1])
print((time.perf_counter() - begin) * 1e3)
"""


def load_ms(graph: Path) -> float:
    """Wall time of `open_session` in a fresh process."""
    command = [sys.executable, "-c", LOAD, str(graph)]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def one_row(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.ascontiguousarray(rows[len(rows) // 2, np.newaxis].astype(np.float32))


def assert_same_score(ours: float, theirs: float) -> None:
    """A comparison of two answers is none when the answers differ."""
    if abs(float(ours) - float(theirs)) > 1e-5:
        raise ValueError(f"the sides disagree: {ours} and {theirs}")
