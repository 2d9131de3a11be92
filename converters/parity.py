"""Proves a conversion: the source model in float64 against ONNX Runtime, where they are most likely to differ.

Constraints
- At least 100,000 rows: drawn around the training data, on and beside every split value, and extremes.
- Both sides get the same float32 rows; scikit-learn gets them as float64.
- A verdict that flips, or a score difference above the limit, ends the conversion.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from converters.converted import ConvertedModel
from converters.tree_ensemble import INPUT_NAME, OUTPUT_NAME
from edge_agent.errors import BundleError
from edge_agent.scoring.manifest import ParityFigures
from edge_agent.scoring.runtime import OnnxModel

MIN_ROWS: Final = 100_000
MAX_DIFFERENCE: Final = 2e-6
"""Sums of 100 float32 leaf weights and one float32 exponential; the worst seen over the shipped models is 5e-7."""

_CHUNK_ROWS: Final = 20_000
_EXTREMES: Final = (0.0, -0.0, 1.0, -1.0, 1e-30, -1e-30, 1e30, -1e30)


def measure(converted: ConvertedModel, training_rows: NDArray[np.float64], *, threshold: float) -> ParityFigures:
    """How far graph and source differ. Raises BundleError when a verdict flips or a difference is too large."""
    n_features = training_rows.shape[1]
    model = OnnxModel(converted.onnx, input_name=INPUT_NAME, output_name=OUTPUT_NAME, n_features=n_features)
    rows = parity_rows(converted, training_rows)
    worst, flips = 0.0, 0
    for start in range(0, len(rows), _CHUNK_ROWS):
        chunk = rows[start : start + _CHUNK_ROWS]
        got = model.score(chunk).astype(np.float64)
        expected = converted.source_score(chunk.astype(np.float64))
        worst = max(worst, float(np.max(np.abs(got - expected))))
        flips += int(np.count_nonzero((got > threshold) != (expected > threshold)))
    if flips or worst > MAX_DIFFERENCE:
        raise BundleError(
            f"the graph differs from its source by up to {worst:.2g} (limit {MAX_DIFFERENCE:g}), "
            f"{flips} of {len(rows)} verdicts flip",
            hint="the threshold may stand on a score the model can take; move it between two of them",
        )
    return ParityFigures(rows=len(rows), max_abs_difference=worst, verdict_flips=flips)


def parity_rows(converted: ConvertedModel, training_rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """Seeded rows, float32 (n, n_features): see the module's constraints."""
    rng = np.random.default_rng(0)
    splits = _rows_at_splits(converted, training_rows, rng)
    drawn = _drawn(training_rows, max(MIN_ROWS // 2, MIN_ROWS - len(splits)), rng)
    extremes = np.array(np.meshgrid(_EXTREMES, np.arange(training_rows.shape[1]))).reshape(2, -1).T
    single = np.repeat(training_rows[:1], len(extremes), axis=0)
    single[np.arange(len(extremes)), extremes[:, 1].astype(int)] = extremes[:, 0]
    whole = np.repeat(np.array(_EXTREMES)[:, np.newaxis], training_rows.shape[1], axis=1)
    return np.concatenate([splits, *(part.astype(np.float32) for part in (drawn, single, whole, training_rows))])


def _rows_at_splits(
    converted: ConvertedModel, training_rows: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Training rows with one value replaced by a split's value or one of its two float32 neighbours."""
    values, columns = converted.split_values, converted.split_features
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
