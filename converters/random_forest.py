"""StandardScaler + two-class RandomForestClassifier as one tree operator. The score is P(class 1), 0..1.

A leaf's weight is its share of class 1 over the number of trees: the mean scikit-learn takes becomes a sum.

skl2onnx is not used here: it keeps the scaler as a float32 operator, after which some rows on or beside a split reach
other leaves than in scikit-learn. With the scaler folded in, every threshold it writes would be replaced anyway; its
graphs are the independent oracle in the tests and the baseline in the benchmarks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler

from converters.converted import ConvertedModel
from converters.tree_ensemble import OUTPUT_NAME, build_model, fold


def convert_random_forest(scaler: StandardScaler, forest: RandomForestClassifier) -> ConvertedModel:
    """The graph, its splits, and the source's own score. Raises ValueError unless the classes are 0 and 1."""
    if list(forest.classes_) != [0, 1]:
        raise ValueError(f"the classes must be 0 (normal) and 1 (anomalous), not {list(forest.classes_)}")
    trees = [estimator.tree_ for estimator in forest.estimators_]
    columns = np.arange(scaler.n_features_in_)

    def share_of_class_1(tree: Any) -> NDArray[np.float64]:
        counts = tree.value[:, 0, :]
        return np.asarray(counts[:, 1] / counts.sum(axis=1) / len(trees), np.float64)

    def source_score(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(forest.predict_proba(scaler.transform(rows))[:, 1], np.float64)

    folded = fold(trees, [columns] * len(trees), scaler, share_of_class_1)
    tail = [helper.make_node("Reshape", ["sum", "flat"], [OUTPUT_NAME])]
    constants = [numpy_helper.from_array(np.array([-1], np.int64), "flat")]
    model = build_model(folded, tail, constants, int(scaler.n_features_in_))
    return ConvertedModel(model, source_score, folded.split_features, folded.split_values)
