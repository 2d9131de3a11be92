"""Scalers + IsolationForest as one tree operator and three small nodes.

The graph gives the anomaly score of Liu, Ting, Zhou, "Isolation Forest", ICDM 2008, eq. 2:
s = 2^(-E[h] / c(psi)), 0..1, higher = more anomalous; scikit-learn's `-score_samples`. A leaf's weight is its
depth plus c(its training rows), so the sum over trees is n_trees E[h]. The stock conversion walks every tree
with operators of its own and is over a hundred times slower for one row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from sklearn.ensemble import IsolationForest
from sklearn.preprocessing import StandardScaler

from converters.graphs.converted import ConvertedModel
from converters.graphs.scaling import Scaling, scaling_of
from converters.graphs.source_rows import as_fitted
from converters.graphs.tree_ensemble import OUTPUT_NAME, build_model, fold, sklearn_tree


def convert_isolation_forest(scaler: StandardScaler | Scaling, forest: IsolationForest) -> ConvertedModel:
    """Return the graph, its splits, and the source's own score in float64. Its own threshold is that of `predict`."""
    scaling = scaling_of(scaler)
    sources = [estimator.tree_ for estimator in forest.estimators_]
    trees = [
        sklearn_tree(tree, columns, _path_lengths(tree))
        for tree, columns in zip(sources, forest.estimators_features_, strict=True)
    ]
    folded = fold(trees, scaling)
    total = len(trees) * float(expected_path_length(np.array([forest.max_samples_]))[0])
    constants = [
        numpy_helper.from_array(np.array([-1], np.int64), "flat"),
        numpy_helper.from_array(np.array(-np.log(2.0) / total, np.float32), "rate"),
    ]
    tail = [
        helper.make_node("Reshape", ["sum", "flat"], ["path"]),
        helper.make_node("Mul", ["path", "rate"], ["exponent"]),
        helper.make_node("Exp", ["exponent"], [OUTPUT_NAME]),
    ]
    model = build_model(folded, tail, constants, scaling.n_features)

    def source_score(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(-forest.score_samples(as_fitted(forest, scaling.transform(rows))), np.float64)

    return ConvertedModel(
        model,
        source_score,
        folded.split_features,
        folded.split_values,
        own_threshold=float(-forest.offset_),
    )


def expected_path_length(n_rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return c(n), the mean depth of an unsuccessful search in a binary search tree (same paper, eq. 1).

    c(1) = 0, c(2) = 1, else 2 (ln(n - 1) + gamma) - 2 (n - 1) / n.
    """
    n = np.asarray(n_rows, np.float64)
    large = np.maximum(n, 3.0)
    general = 2.0 * (np.log(large - 1.0) + np.euler_gamma) - 2.0 * (large - 1.0) / large
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, general))


def _path_lengths(tree: Any) -> NDArray[np.float64]:
    depth = np.zeros(tree.node_count)
    for node in range(tree.node_count):  # parents come before their children
        for child in (tree.children_left[node], tree.children_right[node]):
            if child >= 0:
                depth[child] = depth[node] + 1
    return np.asarray(depth + expected_path_length(tree.n_node_samples), np.float64)
