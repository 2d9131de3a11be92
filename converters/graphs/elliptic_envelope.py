"""Scalers + EllipticEnvelope as a few operators in float64: the distance of Mahalanobis from the robust centre.

The score is that distance; scikit-learn's `score_samples` is minus its square, and its line, `offset_`, is moved along.
The root is taken because a square soon has more digits than a float32 holds.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import EllipticEnvelope

from converters.graphs.converted import NO_SPLIT_FEATURES, NO_SPLIT_VALUES, ConvertedModel
from converters.graphs.scaling import Scaling
from converters.graphs.source_rows import as_fitted
from converters.graphs.svm_graph import GraphBuilder, in_float32
from converters.graphs.tree_ensemble import INPUT_NAME, serialised

MAX_DIFFERENCE: Final = 1e-5


def convert_elliptic_envelope(scaling: Scaling, model: EllipticEnvelope) -> ConvertedModel:
    """Return the graph of the distance. Raises UnsupportedModelError for a scaler that clips."""
    centre, slope = scaling.affine()
    location = centre + np.asarray(model.location_, np.float64) / slope  # in raw units
    precision = np.asarray(model.get_precision(), np.float64) * np.outer(slope, slope)

    def source_score(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        squared = -np.asarray(model.score_samples(as_fitted(model, scaling.transform(rows))), np.float64)
        return np.sqrt(np.maximum(squared, 0.0))

    spread = np.sqrt(np.diag(np.asarray(model.covariance_, np.float64))) / np.abs(slope)
    return ConvertedModel(
        _graph(location, precision),
        source_score,
        NO_SPLIT_FEATURES,
        NO_SPLIT_VALUES,
        max_difference=MAX_DIFFERENCE,
        tolerance_band=MAX_DIFFERENCE,
        own_threshold=float(np.sqrt(max(0.0, -float(model.offset_)))),
        seen=location + np.array([[-1.0], [0.0], [1.0]]) * spread,
    )


def _graph(location: NDArray[np.float64], precision: NDArray[np.float64]) -> bytes:
    build = GraphBuilder()
    moved = build.node("Sub", build.cast(INPUT_NAME, np.float64), build.constant(location, np.float64))
    turned = build.node("MatMul", moved, build.constant(precision, np.float64))
    columns = build.constant(np.array([1]), np.int64)
    squared = build.node("ReduceSum", build.node("Mul", turned, moved), columns, keepdims=0)
    distance = build.node("Sqrt", build.node("Max", squared, build.constant(np.array(0.0), np.float64)))
    build.finish(in_float32(build, distance))
    return serialised(build.nodes, build.constants, len(location))
