"""Proves a conversion: the source model in float64 against ONNX Runtime, where they are most likely to differ.

Constraints
- At least 100,000 rows: drawn around the training data, on and beside every split value, where a model without splits
  crosses the threshold, and extremes.
- Both sides get the same float32 rows; the source gets them as float64.
- A verdict that flips outside the model's tolerance band, or a score difference above its limit, ends the conversion.
  Beyond 1 a difference is taken relative to the score: a float32 holds seven digits of any number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from converters.graphs.converted import ConvertedModel
from converters.graphs.tree_ensemble import INPUT_NAME, OUTPUT_NAME
from edge_agent.bundles.manifest import ParityFigures
from edge_agent.bundles.onnx_runtime import OnnxModel
from edge_agent.errors import BundleError

MIN_ROWS: Final = 100_000

_CHUNK_ROWS: Final = 5_000
_BOUNDARY_PAIRS: Final = 2_000
_BISECTIONS: Final = 24  # as many as a float32 has bits to halve
_EXTREMES: Final = (0.0, -0.0, 1.0, -1.0, 1e-30, -1e-30, 1e30, -1e30)
_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)


def measure(
    converted: ConvertedModel,
    training_rows: NDArray[np.float64],
    *,
    threshold: float,
    min_rows: int = MIN_ROWS,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> ParityFigures:
    """Return how far graph and source differ. `advance` is told rows done and rows in all.

    Raises BundleError when a verdict flips outside the band or a difference is too large.
    """
    model = _open(converted, training_rows.shape[1])
    rows = parity_rows(converted, training_rows, threshold=threshold, min_rows=min_rows)
    worst, flips, in_band = 0.0, 0, 0
    for start in range(0, len(rows), _CHUNK_ROWS):
        chunk = rows[start : start + _CHUNK_ROWS]
        got = model.score(chunk).astype(np.float64)
        # Past the range of float32 the graph gives its end.
        expected = np.clip(converted.source_score(chunk.astype(np.float64)), -_FLOAT32_MAX, _FLOAT32_MAX)
        worst = max(worst, float(np.max(np.abs(got - expected) / np.maximum(1.0, np.abs(expected)))))
        is_flip = (got > threshold) != (expected > threshold)
        # A score on the threshold itself is in no band of zero: trees can take it, and then the verdict is decided.
        is_near = (np.abs(expected - threshold) <= converted.tolerance_band) & (converted.tolerance_band > 0)
        flips += int(np.count_nonzero(is_flip & ~is_near))
        in_band += int(np.count_nonzero(is_flip & is_near))
        advance(min(start + _CHUNK_ROWS, len(rows)), len(rows))
    if flips or not worst <= converted.max_difference:
        raise BundleError(
            f"the graph differs from its source by up to {worst:.2g} (limit {converted.max_difference:g}), "
            f"{flips} of {len(rows)} verdicts flip",
            hint="the threshold may stand on a score the model can take; move it between two of them",
        )
    return ParityFigures(
        rows=len(rows),
        max_abs_difference=worst,
        verdict_flips=flips,
        tolerance_band=converted.tolerance_band,
        flips_in_band=in_band,
    )


def parity_rows(
    converted: ConvertedModel,
    training_rows: NDArray[np.float64],
    *,
    threshold: float | None = None,
    min_rows: int = MIN_ROWS,
) -> NDArray[np.float32]:
    """Return seeded rows, float32 (n, n_features): see the module's constraints. Rows at splits come first."""
    rng = np.random.default_rng(0)
    special = _rows_at_splits(converted, training_rows, rng)
    drawn = _drawn(training_rows, max(min_rows // 2, min_rows - len(special)), rng)
    if not len(special) and threshold is not None:
        special = _rows_at_boundary(converted, drawn, threshold)
    extremes = np.array(np.meshgrid(_EXTREMES, np.arange(training_rows.shape[1]))).reshape(2, -1).T
    single = np.repeat(training_rows[:1], len(extremes), axis=0)
    single[np.arange(len(extremes)), extremes[:, 1].astype(int)] = extremes[:, 0]
    whole = np.repeat(np.array(_EXTREMES)[:, np.newaxis], training_rows.shape[1], axis=1)
    return np.concatenate([special, *(part.astype(np.float32) for part in (drawn, single, whole, training_rows))])


def _open(converted: ConvertedModel, n_features: int) -> OnnxModel:
    return OnnxModel(converted.onnx, input_name=INPUT_NAME, output_name=OUTPUT_NAME, n_features=n_features)


def _rows_at_boundary(converted: ConvertedModel, drawn: NDArray[np.float64], threshold: float) -> NDArray[np.float32]:
    """Rows just on either side of the threshold, on lines between a normal and an anomalous row; none without both."""
    model = _open(converted, drawn.shape[1])
    tried = drawn[: 10 * _BOUNDARY_PAIRS].astype(np.float32)
    is_anomalous = model.score(tried) > threshold
    n_pairs = min(_BOUNDARY_PAIRS, int(is_anomalous.sum()), int((~is_anomalous).sum()))
    low, high = (tried[side][:n_pairs].astype(np.float64) for side in (~is_anomalous, is_anomalous))
    if not n_pairs:
        return np.empty((0, drawn.shape[1]), np.float32)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        is_above = (model.score(middle.astype(np.float32)) > threshold)[:, np.newaxis]
        low, high = np.where(is_above, low, middle), np.where(is_above, middle, high)
    return np.concatenate([low, high]).astype(np.float32)


def _rows_at_splits(
    converted: ConvertedModel, training_rows: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Training rows with one value replaced by a split's value or one of its two float32 neighbours."""
    is_inside = np.abs(converted.split_values) < np.float32(_FLOAT32_MAX)  # no row holds an infinity
    values, columns = converted.split_values[is_inside], converted.split_features[is_inside]
    neighbours = (np.nextafter(values, np.float32(-np.inf)), values, np.nextafter(values, np.float32(np.inf)))
    parts = []
    for near in neighbours:
        rows = training_rows[rng.integers(len(training_rows), size=len(values))].astype(np.float32)
        rows[np.arange(len(values)), columns] = near
        parts.append(rows)
    return np.concatenate(parts)


def _drawn(training_rows: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Training rows with noise of one standard deviation; every tenth with ten (outliers)."""
    base = training_rows[rng.integers(len(training_rows), size=n)]
    spread = np.where(np.arange(n) % 10 == 0, 10.0, 1.0)[:, np.newaxis]
    return np.asarray(base + rng.standard_normal(base.shape) * training_rows.std(axis=0) * spread)
