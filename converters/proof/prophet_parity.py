"""Proves a Prophet graph: Prophet itself against ONNX Runtime, at instants where they are most likely to differ.

Constraints
- At least 100,000 instants: through and around the history, at and beside every changepoint and both ends of the
  history, and decades away to both sides. Whole seconds, as the edge gives them; values from ordinary to absurd.
- yhat is compared with `Prophet.predict`, relative; the score with the source score, relative beyond 1.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.graphs.converted import ConvertedModel
from converters.graphs.prophet_graph import MAX_DIFFERENCE
from converters.graphs.prophet_terms import SECONDS_PER_DAY, ProphetTerms, predicted, read_terms
from converters.graphs.tree_ensemble import INPUT_NAME, OUTPUT_NAME
from edge_agent.bundles.manifest import ParityFigures
from edge_agent.bundles.onnx_runtime import OnnxModel
from edge_agent.errors import BundleError

MIN_ROWS: Final = 100_000
DECADES_S: Final = 20 * 365.25 * SECONDS_PER_DAY
_SHARES: Final = (0.5, 0.25, 0.25)  # around the history, at the changepoints, decades away
_NOTHING: Final = 1e-30
"""Float32 ends near here; a logistic curve of years ago is below."""

_ABSURD: Final = (0.0, -0.0, 1e-30, 1e30, -1e30)


def measure_prophet(converted: ConvertedModel, model: Any, *, threshold: float) -> ParityFigures:
    """Return how far graph and Prophet differ. Raises BundleError when yhat, a score or a verdict differs too much."""
    rows = parity_rows(read_terms(model))
    exact = rows.astype(np.float64)
    yhat = _opened(converted, "yhat").score(rows).astype(np.float64)
    expected_yhat = predicted(model, exact[:, 0], exact[:, 1])
    worst_yhat = float(np.max(np.abs(yhat - expected_yhat) / np.maximum(np.abs(expected_yhat), _NOTHING)))
    got = _opened(converted, OUTPUT_NAME).score(rows).astype(np.float64)
    expected = converted.source_score(exact)
    worst = float(np.max(np.abs(got - expected) / np.maximum(1.0, np.abs(expected))))
    is_flip = (got > threshold) != (expected > threshold)
    is_near = np.abs(expected - threshold) <= converted.tolerance_band
    flips, in_band = int(np.count_nonzero(is_flip & ~is_near)), int(np.count_nonzero(is_flip & is_near))
    if flips or not max(worst, worst_yhat) <= MAX_DIFFERENCE:
        raise BundleError(
            f"the graph differs from Prophet by up to {worst_yhat:.2g} of yhat and {worst:.2g} of the score "
            f"(limit {MAX_DIFFERENCE:g}), {flips} of {len(rows)} verdicts flip",
            hint="a forecast that crosses zero has no relative accuracy there; shift the tag's offset",
        )
    return ParityFigures(
        rows=len(rows),
        max_abs_difference=max(worst, worst_yhat),
        verdict_flips=flips,
        tolerance_band=converted.tolerance_band,
        flips_in_band=in_band,
    )


def parity_rows(terms: ProphetTerms, *, n_rows: int = MIN_ROWS) -> NDArray[np.float32]:
    """Return seeded rows (n, 3): day number, second of the day, value. See the module's constraints."""
    rng = np.random.default_rng(0)
    around, beside, away = (round(share * n_rows) for share in _SHARES)
    edges = terms.start_s + np.concatenate([[0.0, 1.0], terms.changepoints]) * terms.span_s
    since_s = np.concatenate(
        [
            terms.start_s + rng.uniform(-1.0, 3.0, around) * terms.span_s,
            edges[rng.integers(len(edges), size=beside)] + rng.integers(-2, 3, beside),
            terms.start_s + rng.uniform(-DECADES_S, DECADES_S, away),
        ]
    )
    days, seconds = np.divmod(np.floor(since_s), SECONDS_PER_DAY)
    values = terms.floor + terms.y_scale * rng.normal(1.0, 0.5, len(days))
    values[:: len(values) // 100] = np.resize(_ABSURD, len(values[:: len(values) // 100]))
    return np.stack([days, seconds, values], axis=1).astype(np.float32)


def _opened(converted: ConvertedModel, output: str) -> OnnxModel:
    return OnnxModel(converted.onnx, input_name=INPUT_NAME, output_name=output, n_features=3)
