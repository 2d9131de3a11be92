"""A LightGBM that predicts a tag's next reading, as an anomaly score of the reading that then came.

score = |value - prediction| / scale, with the prediction made from the row before: what the source model calls
`value` is the edge's value_lag_1, its value_lag_k is value_lag_(k+1), its quality is quality_lag_1. The graph sorts
the columns so, runs the trees, and takes the difference. `scale` is robust, from residuals (see `robust_scale`).

The trees' float32 sum is about as large as the value itself (LightGBM puts the mean into the first tree), and the
difference of the two is not. So the mean is taken out of the first tree, and the difference is made in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from converters.converted import ConvertedModel
from converters.lightgbm_trees import convert_lightgbm_regressor
from converters.scaling import Scaling
from converters.tree_ensemble import INPUT_NAME, OUTPUT_NAME

MAX_DIFFERENCE: Final = 2e-5
"""Relative beyond 1: float32 leaf values and their sum, over the scale of the residuals."""

MAX_SCORE: Final = 1e30
"""A value may be anything a float32 holds; a score stays finite."""

_PREDICTION: Final = "prediction"
_ROW_BEFORE: Final = "row_before"
_ABOVE_MEAN: Final = "sum_above_mean"


def robust_scale(residuals: NDArray[np.float64]) -> float:
    """1.4826 times the median distance from the median: the standard deviation, were the residuals normal."""
    return float(1.4826 * np.median(np.abs(residuals - np.median(residuals))))


def as_seen_one_later(name: str) -> str:
    """The edge's name, when a reading has come, for what the row before called `name`."""
    kind, _, lag = name.partition("_lag_")
    return f"{kind}_lag_{int(lag or 0) + 1}"


def convert_forecaster(
    scaling: Scaling, model: Any, *, trained_on: Sequence[str], features: Sequence[str], scale: float
) -> ConvertedModel:
    """The graph over `features` (the edge's names; "value" is the reading that came).

    `trained_on` are the model's inputs in its own order and its own names. Raises ValueError when `features` lacks
    one or `scale` is not above 0, UnsupportedModelError as `convert_lightgbm_regressor`.
    """
    if not scale > 0:
        raise ValueError(f"the residuals' scale must be above 0, not {scale}")
    columns = np.array([list(features).index(as_seen_one_later(name)) for name in trained_on], np.int64)
    newest = list(features).index("value")
    trees = convert_lightgbm_regressor(scaling, model)

    def source_score(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        off = np.abs(rows[:, newest] - trees.source_score(rows[:, columns]))
        return np.asarray(np.minimum(off / scale, MAX_SCORE), np.float64)

    return ConvertedModel(
        _scored(trees.onnx, columns, newest, len(features), scale),
        source_score,
        columns[trees.split_features],
        trees.split_values,
        max_difference=MAX_DIFFERENCE,
        tolerance_band=MAX_DIFFERENCE,
    )


def _scored(trees: bytes, columns: NDArray[np.int64], newest: int, n_features: int, scale: float) -> bytes:
    """The trees' graph with the columns sorted before it and the difference taken after it."""
    model = onnx.load_from_string(trees)
    graph = model.graph
    for node in graph.node:
        node.input[:] = [_ROW_BEFORE if name == INPUT_NAME else name for name in node.input]
        node.output[:] = [_ABOVE_MEAN if name == OUTPUT_NAME else name for name in node.output]
    mean = _take_out_mean(graph.node[0])
    before = [helper.make_node("Gather", [INPUT_NAME, "columns"], [_ROW_BEFORE], axis=1)]
    after = [
        helper.make_node("Cast", [_ABOVE_MEAN], ["above_mean"], to=TensorProto.DOUBLE),
        helper.make_node("Add", ["above_mean", "mean"], ["foretold"]),
        helper.make_node("Cast", ["foretold"], [_PREDICTION], to=TensorProto.FLOAT),
        helper.make_node("Gather", [INPUT_NAME, "newest"], ["newest_value"], axis=1),
        helper.make_node("Cast", ["newest_value"], ["value"], to=TensorProto.DOUBLE),
        helper.make_node("Sub", ["value", "foretold"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["distance"]),
        helper.make_node("Div", ["distance", "scale"], ["in_scales"]),
        helper.make_node("Min", ["in_scales", "most"], ["bounded"]),
        helper.make_node("Cast", ["bounded"], [OUTPUT_NAME], to=TensorProto.FLOAT),
    ]
    constants = [
        numpy_helper.from_array(columns, "columns"),
        numpy_helper.from_array(np.array(newest, np.int64), "newest"),
        *(
            numpy_helper.from_array(np.array(number, np.float64), name)
            for name, number in (("mean", mean), ("scale", scale), ("most", MAX_SCORE))
        ),
    ]
    scored = helper.make_graph(
        [*before, *graph.node, *after],
        graph.name,
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, ["n", n_features])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in (_PREDICTION, OUTPUT_NAME)],
        [*graph.initializer, *constants],
    )
    model.graph.CopyFrom(scored)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _take_out_mean(trees: onnx.NodeProto) -> float:
    """Subtract the first tree's mean leaf from all its leaves; the differences are exact or nearly so."""
    attributes = {attribute.name: attribute for attribute in trees.attribute}
    is_first = np.array(attributes["target_treeids"].ints) == 0
    weights = np.array(attributes["target_weights"].floats, np.float32)
    mean = weights[is_first].mean(dtype=np.float32)
    weights[is_first] -= mean
    attributes["target_weights"].floats[:] = weights.tolist()
    return float(mean)
