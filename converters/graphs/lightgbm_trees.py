"""Scalers + LightGBM (LGBMClassifier, LGBMRegressor, Booster) as one tree operator.

Constraints
- LightGBM compares float64 values with float64 thresholds, and takes for zero what is at most 1e-35 away from it.
- A binary model's score is P(anomalous class); a regressor's is its prediction, or minus it where low is bad.
- Default directions say where a missing value goes; the agent scores no row with one, so they do not count. A model
  that takes zero for missing is refused where that would send a row elsewhere than the comparison does.
- Categorical splits, linear leaves, several classes and objectives with another link are refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import lightgbm
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from converters.errors import UnsupportedModelError
from converters.graphs.anomalous_class import binary_sign
from converters.graphs.converted import ConvertedModel
from converters.graphs.scaling import Scaling
from converters.graphs.tree_ensemble import OUTPUT_NAME, Tree, build_model, fold

MAX_DIFFERENCE: Final = 4e-6
"""Relative beyond 1. Sums of a few hundred float32 leaf values; the worst seen over 100,000 rows is in the manifest."""

_ZERO: Final = 1.0000000180025095e-35
"""LightGBM's kZeroThreshold, a float32: what is nearer to zero counts as zero."""

_IDENTITY: Final = frozenset({"regression", "regression_l2", "regression_l1", "huber", "fair", "quantile", "mape"})
_SIGMOID: Final = frozenset({"binary", "cross_entropy", "xentropy"})
_EXPONENTIAL: Final = frozenset({"poisson", "gamma", "tweedie"})


@dataclass(frozen=True, slots=True, eq=False)
class _Link:
    """What turns the trees' sum into the prediction: a factor on every leaf, then an operator (or none)."""

    operator: str | None
    factor: float
    own_threshold: float | None


def convert_lightgbm_classifier(
    scaling: Scaling, model: lightgbm.LGBMClassifier, *, anomalous_class: object = None
) -> ConvertedModel:
    """Return p(anomalous class). Raises UnsupportedModelError for what the module's constraints name."""
    sign = binary_sign(model.classes_, anomalous_class)
    return _convert(scaling, model.booster_, sign=sign)


def convert_lightgbm_regressor(
    scaling: Scaling, model: lightgbm.LGBMRegressor, *, higher_is_anomalous: bool = True
) -> ConvertedModel:
    """Return the prediction, negated where low is bad.

    Raises UnsupportedModelError as `convert_lightgbm_classifier`.
    """
    return _convert(scaling, model.booster_, sign=1.0 if higher_is_anomalous else -1.0)


def convert_booster(scaling: Scaling, booster: lightgbm.Booster, *, higher_is_anomalous: bool = True) -> ConvertedModel:
    """Return what `Booster.predict` gives; 1 - P or the negated prediction where low is bad. Raises as above."""
    return _convert(scaling, booster, sign=1.0 if higher_is_anomalous else -1.0)


def _convert(scaling: Scaling, booster: lightgbm.Booster, *, sign: float) -> ConvertedModel:
    dump = booster.dump_model()
    if dump["num_class"] != 1 or dump["num_tree_per_iteration"] != 1:
        raise UnsupportedModelError(
            f"this LightGBM model tells {dump['num_class']} classes apart; one score needs two",
            hint="train it on normal against anomalous",
        )
    link = _link(str(dump.get("objective", "")))
    infos = dump["tree_info"]
    share = 1.0 / len(infos) if dump.get("average_output") else 1.0
    is_turned = sign < 0 and link.operator == "Sigmoid"  # 1 - sigmoid(x) = sigmoid(-x)
    factor = link.factor * share * (-1.0 if is_turned or (sign < 0 and link.operator is None) else 1.0)
    trees = [_tree(info["tree_structure"], dump["feature_names"], factor) for info in infos]
    folded = fold(trees, scaling, as_compared=_as_compared)
    nodes, constants = _tail(link.operator, is_negated=sign < 0 and link.operator == "Exp")

    def source_score(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        predicted = np.asarray(booster.predict(scaling.transform(rows), num_threads=1), np.float64)
        if sign > 0:
            return predicted
        return 1.0 - predicted if is_turned else -predicted

    return ConvertedModel(
        build_model(folded, nodes, constants, scaling.n_features),
        source_score,
        folded.split_features,
        folded.split_values,
        max_difference=MAX_DIFFERENCE,
        tolerance_band=MAX_DIFFERENCE,
        own_threshold=link.own_threshold,
    )


def _as_compared(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(values) <= _ZERO, 0.0, values)


def _link(objective: str) -> _Link:
    name, *options = objective.split() or [""]
    if name in _SIGMOID:
        steepness = next((float(o.partition(":")[2]) for o in options if o.startswith("sigmoid:")), 1.0)
        return _Link("Sigmoid", steepness, 0.5)
    if name in _IDENTITY and "sqrt" not in options:
        return _Link(None, 1.0, None)
    if name in _EXPONENTIAL:
        return _Link("Exp", 1.0, None)
    known = ", ".join(sorted(_SIGMOID | _IDENTITY | _EXPONENTIAL))
    raise UnsupportedModelError(
        f"the LightGBM objective {objective or 'of your own'!r} has no graph here; known: {known}",
        hint="train it with one of these",
    )


def _tail(operator: str | None, *, is_negated: bool) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    names = ["sum"]
    nodes = []
    for step in (operator, "Neg" if is_negated else None):
        if step is not None:
            nodes.append(helper.make_node(step, [names[-1]], [f"after_{step.lower()}"]))
            names.append(f"after_{step.lower()}")
    nodes.append(helper.make_node("Reshape", [names[-1], "flat"], [OUTPUT_NAME]))
    return nodes, [numpy_helper.from_array(np.array([-1], np.int64), "flat")]


def _tree(root: dict[str, Any], names: list[str], factor: float) -> Tree:
    entries = list(_preorder(root))
    number = {id(entry): index for index, entry in enumerate(entries)}
    for entry in entries:
        _check(entry, names)

    def column(read: Callable[[dict[str, Any]], float], kind: type[np.generic]) -> NDArray[Any]:
        return np.array([read(entry) for entry in entries], kind)

    return Tree(
        left=column(lambda e: number[id(e["left_child"])] if "left_child" in e else -1, np.int64),
        right=column(lambda e: number[id(e["right_child"])] if "right_child" in e else -1, np.int64),
        feature=column(lambda e: e.get("split_feature", 0), np.int64),
        threshold=column(lambda e: e.get("threshold", 0.0), np.float64),
        weight=column(lambda e: e.get("leaf_value", 0.0) * factor, np.float64),
    )


def _preorder(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    waiting = [node]
    while waiting:
        entry = waiting.pop()
        yield entry
        if "left_child" in entry:
            waiting += [entry["right_child"], entry["left_child"]]


def _check(entry: dict[str, Any], names: list[str]) -> None:
    if "leaf_coeff" in entry:
        raise UnsupportedModelError("this LightGBM model has linear leaves", hint="train it with linear_tree=False")
    if "split_feature" not in entry:
        return
    name = names[entry["split_feature"]]
    if entry["decision_type"] != "<=":
        raise UnsupportedModelError(
            f"feature {name} is split by categories ({entry['decision_type']} {entry['threshold']})",
            hint="give the agent one column per category (0 or 1), and train on these",
        )
    if entry["missing_type"] == "Zero" and not _zero_goes_where_it_compares(entry):
        raise UnsupportedModelError(
            f"feature {name} takes zero for missing and sends it against the comparison",
            hint="train with zero_as_missing=false: to the agent zero is a value",
        )


def _zero_goes_where_it_compares(entry: dict[str, Any]) -> bool:
    if entry["default_left"]:
        return bool(entry["threshold"] >= _ZERO)
    return bool(entry["threshold"] < -_ZERO)
