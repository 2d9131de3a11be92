"""Scalers + RandomForestClassifier as one tree operator. The score is P(anomalous class), 0..1.

A leaf's weight is its share of that class over the number of trees: the mean scikit-learn takes becomes a sum.

skl2onnx is not used here: it keeps the scaler as a float32 operator, after which some rows on or beside a split reach
other leaves than in scikit-learn. With the scaler folded in, every threshold it writes would be replaced anyway; its
graphs are the independent oracle in the tests and the baseline in the benchmarks.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler

from converters.graphs.anomalous_class import anomalous_index
from converters.graphs.converted import TREE_MAX_DIFFERENCE, ConvertedModel
from converters.graphs.scaling import Scaling, scaling_of
from converters.graphs.source_rows import as_fitted
from converters.graphs.tree_ensemble import OUTPUT_NAME, build_model, fold, sklearn_tree

OWN_THRESHOLD: Final = 0.5 + TREE_MAX_DIFFERENCE
"""Half the trees against half is normal: not above 0.5. In float32 such a tie may come out just above it, so the line
stands where no tie comes."""


def convert_random_forest(
    scaler: StandardScaler | Scaling, forest: RandomForestClassifier, *, anomalous_class: object = None
) -> ConvertedModel:
    """Return the graph, its splits, and the source's own score.

    `anomalous_class` may be left out when the classes are 0 and 1. Raises UnsupportedModelError when it is needed or
    is not among the classes.
    """
    scaling = scaling_of(scaler)
    index = anomalous_index(forest.classes_, anomalous_class)
    columns = np.arange(scaling.n_features)

    def share(tree: Any) -> NDArray[np.float64]:
        counts = tree.value[:, 0, :]
        return np.asarray(counts[:, index] / counts.sum(axis=1) / len(forest.estimators_), np.float64)

    def source_score(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(forest.predict_proba(as_fitted(forest, scaling.transform(rows)))[:, index], np.float64)

    trees = [sklearn_tree(estimator.tree_, columns, share(estimator.tree_)) for estimator in forest.estimators_]
    folded = fold(trees, scaling)
    tail = [helper.make_node("Reshape", ["sum", "flat"], [OUTPUT_NAME])]
    constants = [numpy_helper.from_array(np.array([-1], np.int64), "flat")]
    model = build_model(folded, tail, constants, scaling.n_features)
    return ConvertedModel(model, source_score, folded.split_features, folded.split_values, own_threshold=OWN_THRESHOLD)
