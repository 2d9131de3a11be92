"""A LightGBM that predicts a tag's next reading, as an anomaly score of the reading that then came.

score = |value - prediction| / scale, with the prediction made from the row before: what the source model calls
`value` is the edge's value_lag_1, its value_lag_k is value_lag_(k+1), its quality is quality_lag_1. The graph sorts
the columns so, runs the trees, and takes the difference. `scale` is robust, from residuals (see `robust_scale`).

The trees' sum is about as large as the value itself (LightGBM puts the mean into the first tree), their difference is
not: in float32 it would lose what counts. So the mean is taken out of the first tree before its leaves are rounded,
and the difference is made in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import lightgbm
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from converters.graphs.converted import ConvertedModel
from converters.graphs.lightgbm_trees import convert_booster, convert_lightgbm_regressor
from converters.graphs.scaling import Scaling
from converters.graphs.tree_ensemble import INPUT_NAME, OUTPUT_NAME

MAX_DIFFERENCE: Final = 2e-5
"""Relative beyond 1: float32 leaf values and their sum, over the scale of the residuals."""

MAX_SCORE: Final = 1e30
"""A value may be anything a float32 holds; a score stays finite."""

_WITHOUT_LINK: Final = frozenset({"regression", "regression_l1", "huber", "fair", "quantile", "mape"})
_PREDICTION: Final = "prediction"
_ROW_BEFORE: Final = "row_before"
_ABOVE_MEAN: Final = "sum_above_mean"


def robust_scale(residuals: NDArray[np.float64]) -> float:
    """Return 1.4826 times the median distance from the median: the standard deviation, were the residuals normal."""
    return float(1.4826 * np.median(np.abs(residuals - np.median(residuals))))


def as_seen_one_later(name: str) -> str:
    """Return the edge's name, when a reading has come, for what the row before called `name`."""
    kind, _, lag = name.partition("_lag_")
    return f"{kind}_lag_{int(lag or 0) + 1}"


def convert_forecaster(
    scaling: Scaling, model: Any, *, trained_on: Sequence[str], features: Sequence[str], scale: float
) -> ConvertedModel:
    """Return the graph over `features` (the edge's names; "value" is the reading that came).

    `trained_on` are the model's inputs in its own order and its own names. Raises ValueError when `features` lacks
    one or `scale` is not above 0, UnsupportedModelError as `convert_lightgbm_regressor`.
    """
    if not scale > 0:
        raise ValueError(f"the residuals' scale must be above 0, not {scale}")
    columns = np.array([list(features).index(as_seen_one_later(name)) for name in trained_on], np.int64)
    newest = list(features).index("value")
    trees = convert_lightgbm_regressor(scaling, model)
    above_mean, mean = _without_mean(model.booster_)
    graph = convert_booster(scaling, above_mean).onnx

    def source_score(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        off = np.abs(rows[:, newest] - trees.source_score(rows[:, columns]))
        return np.asarray(np.minimum(off / scale, MAX_SCORE), np.float64)

    return ConvertedModel(
        _scored(graph, mean, columns, newest, len(features), scale),
        source_score,
        columns[trees.split_features],
        trees.split_values,
        max_difference=MAX_DIFFERENCE,
        tolerance_band=MAX_DIFFERENCE,
    )


def _scored(trees: bytes, mean: float, columns: NDArray[np.int64], newest: int, n_features: int, scale: float) -> bytes:
    """The trees' graph with the columns sorted before it and the difference taken after it."""
    model = onnx.load_from_string(trees)
    graph = model.graph
    for node in graph.node:
        node.input[:] = [_ROW_BEFORE if name == INPUT_NAME else name for name in node.input]
        node.output[:] = [_ABOVE_MEAN if name == OUTPUT_NAME else name for name in node.output]
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


def _without_mean(booster: lightgbm.Booster) -> tuple[lightgbm.Booster, float]:
    """The same trees around zero, and how much higher the originals predict.

    Trees with a link behind them (a Poisson model's exponential) stay as they are.
    """
    copied = lightgbm.Booster(model_str=booster.model_to_string())
    first = booster.dump_model(num_iteration=1)
    if str(first.get("objective", "")).partition(" ")[0] not in _WITHOUT_LINK:
        return copied, 0.0
    leaves = range(first["tree_info"][0]["num_leaves"])
    mean = float(np.mean([booster.get_leaf_output(0, leaf) for leaf in leaves]))
    for leaf in leaves:
        copied.set_leaf_output(0, leaf, booster.get_leaf_output(0, leaf) - mean)
    anywhere = np.zeros((1, booster.num_feature()))
    return copied, float((booster.predict(anywhere) - copied.predict(anywhere))[0])
