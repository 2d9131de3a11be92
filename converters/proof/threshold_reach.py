"""Whether a threshold stands among the scores it is meant to divide, by the builder's own rows.

Constraints
- A threshold that nothing reaches, or everything, is refused, or allowed by a person with a reason that is signed with
  the bundle. One that no training row reaches, but rows further out do, may be right for a model of the healthy state:
  that is a warning, and kept in the notes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import CardError
from converters.graphs.converted import ConvertedModel
from converters.graphs.tree_ensemble import INPUT_NAME, OUTPUT_NAME
from converters.proof.parity import parity_rows
from edge_agent.bundles.manifest import TrainingScores
from edge_agent.bundles.onnx_runtime import OnnxModel

Rows = NDArray[np.float64]

MANY_HEALTHY: Final = 0.5
"""Of the healthy rows above the threshold: such a model alarms on a healthy machine."""

_MOVE_IT: Final = (
    "move score.threshold, or score.percentile of the healthy rows, into the scores; if it is meant: "
    '--allow-silent-threshold "the reason"; a gateway refuses such a bundle all the same'
)


@dataclass(frozen=True, slots=True, eq=False)
class KnownRows:
    """`anomalous` are rows that a person knows to be so; None without any."""

    healthy: Rows
    training: Rows
    anomalous: Rows | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """`scores` for the manifest, and what a person should be warned of."""

    scores: TrainingScores
    warnings: tuple[str, ...]


def check_reach(converted: ConvertedModel, threshold: float, rows: KnownRows, *, allowed: str | None) -> Reach:
    """Return how the builder's rows stand to the threshold. `allowed` is a person's reason to have it all the same.

    Raises CardError for a threshold that divides nothing, scores that turn the wrong way, or one score for all.
    """
    healthy, training = _score(converted, rows.healthy), _score(converted, rows.training)
    anomalous = None if rows.anomalous is None else _score(converted, rows.anomalous)
    known = np.concatenate([part for part in (healthy, training, anomalous) if part is not None])
    problem = _problem(converted, threshold, rows, healthy, anomalous, known)
    if problem is not None and allowed is None:
        raise CardError(problem, where="score.threshold", hint=_MOVE_IT)
    warnings = [f"{problem}; allowed: {allowed}"] if problem is not None else _warnings(threshold, healthy, known)
    scores = TrainingScores(
        healthy_rows=len(healthy),
        healthy_lowest=float(healthy.min()),
        healthy_highest=float(healthy.max()),
        healthy_above=_above(healthy, threshold),
        training_rows=len(training),
        training_highest=float(known.max()),
        training_above=_above(training, threshold),
        anomalous_rows=None if anomalous is None else len(anomalous),
        anomalous_above=None if anomalous is None else _above(anomalous, threshold),
        silent_because=allowed if problem is not None else None,
    )
    return Reach(scores, tuple(warnings))


def _problem(
    converted: ConvertedModel, threshold: float, rows: KnownRows, healthy: Rows, anomalous: Rows | None, known: Rows
) -> str | None:
    if anomalous is not None and not (anomalous > threshold).any():
        return (
            f"none of the {len(anomalous)} anomalous rows reaches the threshold {threshold:.6g}: their highest score "
            f"is {anomalous.max():.6g}"
        )
    if anomalous is not None and np.median(anomalous) <= np.median(healthy):
        return (
            f"the score turns the wrong way: the anomalous rows' median is {np.median(anomalous):.6g}, the healthy "
            f"rows' {np.median(healthy):.6g} (higher_is_anomalous, anomalous_class?)"
        )
    if (healthy > threshold).all():
        return f"all {len(healthy)} healthy rows are above the threshold {threshold:.6g}: it always alarms"
    if known.max() > threshold:
        return None
    drawn = _drawn(converted, rows.training)
    if max(drawn.max(), known.max()) == min(drawn.min(), known.min()):
        return f"every row has the score {known[0]:.6g}: the model does not look at its input"
    if drawn.max() <= threshold:
        return (
            f"no row reaches the threshold {threshold:.6g}: the highest score of {len(rows.training)} training rows is "
            f"{known.max():.6g}, of {len(drawn)} rows drawn around them and far out {drawn.max():.6g}; it never alarms"
        )
    return None


def _warnings(threshold: float, healthy: Rows, known: Rows) -> list[str]:
    if known.max() <= threshold:
        words = (
            f"no training row reaches the threshold {threshold:.6g} (their highest score is {known.max():.6g}), only "
            "rows further out do; name rows that are known to be anomalous in files.anomalous to have that tried"
        )
        return [words]
    if (share := _above(healthy, threshold)) > MANY_HEALTHY:
        return [f"{share:.0%} of the healthy rows are above the threshold {threshold:.6g}: it alarms without a fault"]
    return []


def _drawn(converted: ConvertedModel, training: Rows) -> Rows:
    """By the graph, which gives a score to rows that its source may not take."""
    drawn = parity_rows(converted, training)
    model = OnnxModel(converted.onnx, input_name=INPUT_NAME, output_name=OUTPUT_NAME, n_features=training.shape[1])
    return model.score(drawn).astype(np.float64)


def _score(converted: ConvertedModel, rows: Rows) -> Rows:
    return converted.source_score(rows.astype(np.float32).astype(np.float64))


def _above(scores: Rows, threshold: float) -> float:
    return round(float(np.mean(scores > threshold)), 6)
