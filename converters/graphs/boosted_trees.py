"""Scalers + GradientBoostingClassifier or HistGradientBoostingClassifier as one tree operator and a sigmoid.

Constraints
- The score is P(anomalous class) of a two-class model; several classes are refused by name.
- Gradient boosting compares float32 values, the histogram kind float64 ones; each split holds the largest float32 that
  goes the same way. Where a missing value would go does not count: the agent scores no row with one.
- A first guess that looks at the row (`init`) and categorical splits have no place in the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier

from converters.errors import UnsupportedModelError
from converters.graphs.anomalous_class import binary_sign
from converters.graphs.converted import ConvertedModel
from converters.graphs.scaling import Scaling
from converters.graphs.source_rows import as_fitted
from converters.graphs.tree_ensemble import OUTPUT_NAME, AsCompared, Tree, as_float32, build_model, fold, sklearn_tree

MAX_DIFFERENCE: Final = 4e-6
"""Of sums of some hundred float32 leaf values, as for LightGBM."""

OWN_THRESHOLD: Final = 0.5
_NO_CHILD: Final = -1


def convert_gradient_boosting(
    scaling: Scaling, model: GradientBoostingClassifier, *, anomalous_class: object = None
) -> ConvertedModel:
    """Return P(anomalous class). Raises UnsupportedModelError for what the module's constraints name."""
    sign = binary_sign(model.classes_, anomalous_class)
    if not (isinstance(model.init_, DummyClassifier) or model.init_ == "zero"):
        raise UnsupportedModelError(
            f"this GradientBoostingClassifier begins with what a {type(model.init_).__name__} says (init)",
            hint="it has no graph here: fit it with init=None",
        )
    steepness = 2.0 if model.loss == "exponential" else 1.0  # of the sigmoid: P = sigmoid(2 f) there
    factor = sign * steepness * model.learning_rate
    sources = [estimator.tree_ for estimator in model.estimators_[:, 0]]
    columns = np.arange(scaling.n_features)
    trees = [sklearn_tree(tree, columns, factor * tree.value[:, 0, 0]) for tree in sources]
    first_guess = sign * steepness * _first_guess(model)
    return _converted(trees, first_guess, scaling, model, sign=sign, as_compared=as_float32)


def convert_hist_gradient_boosting(
    scaling: Scaling, model: HistGradientBoostingClassifier, *, anomalous_class: object = None
) -> ConvertedModel:
    """Return P(anomalous class). Raises UnsupportedModelError for what the module's constraints name."""
    sign = binary_sign(model.classes_, anomalous_class)
    if model.is_categorical_ is not None and np.any(model.is_categorical_):
        raise UnsupportedModelError(
            "this HistGradientBoostingClassifier splits on categories, which have no place in the graph",
            hint="train it with categorical_features=None on numbers",
        )
    trees = [_hist_tree(predictors[0].nodes, sign) for predictors in model._predictors]
    first_guess = sign * float(np.ravel(model._baseline_prediction)[0])
    return _converted(trees, first_guess, scaling, model, sign=sign, as_compared=lambda values: values)


def _first_guess(model: GradientBoostingClassifier) -> float:
    """The same for every row: what remains of one row's margin when the trees' part is taken off."""
    row = np.zeros((1, model.n_features_in_), np.float32)
    trees: float = sum(float(estimator.predict(row)[0]) for estimator in model.estimators_[:, 0])
    margin = float(model.decision_function(as_fitted(model, row.astype(np.float64)))[0])
    return margin - float(model.learning_rate) * trees


def _hist_tree(nodes: NDArray[np.void], sign: float) -> Tree:
    is_leaf = nodes["is_leaf"].astype(bool)

    def children(name: str) -> NDArray[np.int64]:
        return np.where(is_leaf, _NO_CHILD, nodes[name].astype(np.int64))

    feature = np.where(is_leaf, 0, nodes["feature_idx"].astype(np.int64))
    return Tree(children("left"), children("right"), feature, nodes["num_threshold"].copy(), sign * nodes["value"])


def _converted(
    trees: Sequence[Tree],
    first_guess: float,
    scaling: Scaling,
    model: Any,
    *,
    sign: float,
    as_compared: AsCompared,
) -> ConvertedModel:
    folded = fold(trees, scaling, as_compared=as_compared)
    tail = [
        helper.make_node("Add", ["sum", "first_guess"], ["margin"]),
        helper.make_node("Sigmoid", ["margin"], ["probability"]),
        helper.make_node("Reshape", ["probability", "flat"], [OUTPUT_NAME]),
    ]
    constants = [
        numpy_helper.from_array(np.array(first_guess, np.float32), "first_guess"),
        numpy_helper.from_array(np.array([-1], np.int64), "flat"),
    ]
    return ConvertedModel(
        build_model(folded, tail, constants, scaling.n_features),
        _probability(model, scaling, 1 if sign > 0 else 0),
        folded.split_features,
        folded.split_values,
        max_difference=MAX_DIFFERENCE,
        tolerance_band=MAX_DIFFERENCE,
        own_threshold=OWN_THRESHOLD,
    )


def _probability(model: Any, scaling: Scaling, index: int) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    def source_score(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(model.predict_proba(as_fitted(model, scaling.transform(rows)))[:, index], np.float64)

    return source_score
