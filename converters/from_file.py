"""From a model file and its card to a bundle's content: convert, prove, set the threshold, make golden vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.bundle.assemble import ModelCard, TrainedModel, assemble
from converters.bundle.writer import BundleContent
from converters.card import Card
from converters.errors import CardError
from converters.graphs.converted import ConvertedModel
from converters.inputs.card_data import GoldenInputs, feature_spec, golden_inputs, table, tolerances
from converters.inputs.column_order import order_of_history, order_problem
from converters.inputs.model_file import LoadedModel, Origin
from converters.kinds import SourceDescription, compare, convert, describe, names_of, takes_fixed_inputs
from converters.next_reading import convert_next_reading
from converters.proof.golden_choice import largest_move
from converters.proof.parity import measure
from converters.proof.threshold_reach import KnownRows, check_reach
from edge_agent.bundles.manifest import Tolerances

_MAX_SCORE_ATOL: Final = 1e-2

GAPS_ARE_NOT_SCORED: Final = (
    "Rows with a missing value are never scored on a gateway, also where the model was trained on such rows: each is a "
    "gap that names what is missing."
)


@dataclass(frozen=True, slots=True)
class BundleVersion:
    """What the new bundle is called."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, eq=False)
class FromFile:
    """The bundle's content, and what a person should read of it now: `warnings` prominently, `notes` not."""

    content: BundleContent
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def build_from_file(
    loaded: LoadedModel,
    card: Card,
    folder: Path,
    called: BundleVersion,
    *,
    origin: Origin | None = None,
    silent_because: str | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> FromFile:
    """Return the bundle's content. `folder` is the card's; `advance` is told parity rows done and rows in all;
    `silent_because` is why a threshold that divides nothing is wanted all the same.

    Raises UnsupportedModelError, CardError, RecordingError, and BundleError when graph and source disagree.
    """
    origin = origin or Origin()
    names = card.features.names
    spec = feature_spec(card)
    healthy = table(folder, card.files.healthy, names, where="files.healthy")
    converted, source, counted = _converted(loaded.model, card, healthy)
    known = _known_rows(card, folder, healthy)
    rows = known.training
    threshold, how = _threshold(card, converted, healthy)
    warnings = _checked_names(loaded.model, converted, card, [healthy, rows])
    golden = golden_inputs(card, folder, spec)
    reach = check_reach(converted, threshold, known, allowed=silent_because)
    warnings += reach.warnings
    allowed = _checked_tolerances(tolerances(card), converted, golden, healthy)
    if card.forecast is None:
        parity = compare(loaded.model, converted, rows, threshold=threshold, advance=advance)
    else:
        parity = measure(converted, rows, threshold=threshold, advance=advance)
    trained = TrainedModel(
        kind=source.kind,
        hyperparameters={**source.hyperparameters, **origin.facts},
        converter=source.converter,
        libraries=tuple(source.libraries),
        converted=converted,
        rows=rows,
        healthy_rows=healthy,
        threshold=threshold,
        split=card.split,
        metrics={**origin.metrics, **card.metrics},
    )
    words = ModelCard(
        name=called.name,
        version=called.version,
        task=card.task or source.task,
        description=card.description,
        training_data=card.training_data,
        limits=card.limits,
        notes=(
            *card.notes,
            how,
            *counted,
            GAPS_ARE_NOT_SCORED,
            *warnings,
            *origin.notes,
            f"Converted from a {loaded.format} file, SHA-256 {loaded.sha256}.",
            *loaded.warnings,
        ),
    )
    arrays: dict[str, NDArray[np.floating]] = {
        golden.key: golden.inputs,
        "features": golden.features,
        "scores": _scores(converted, golden),
    }
    content = assemble(words, spec, trained, golden=arrays, tolerances=allowed, parity=parity, scores=reach.scores)
    return FromFile(content, warnings, (GAPS_ARE_NOT_SCORED,))


def _known_rows(card: Card, folder: Path, healthy: NDArray[np.float64]) -> KnownRows:
    def of(file: str | None, where: str) -> NDArray[np.float64] | None:
        return None if file is None else table(folder, file, card.features.names, where=where)

    training = of(card.files.training, "files.training")
    return KnownRows(healthy, healthy if training is None else training, of(card.files.anomalous, "files.anomalous"))


def _checked_names(
    model: Any, converted: ConvertedModel, card: Card, tables: Sequence[NDArray[np.float64]]
) -> tuple[str, ...]:
    """What to say about the order of names. Raises CardError when the card's is not borne out."""
    trained_on = card.forecast.trained_on if card.forecast is not None else card.features.names
    if takes_fixed_inputs(model, len(trained_on)) or set(names_of(model)) == set(trained_on):
        return ()  # it knows them, and `convert` has compared
    problem = order_of_history() if card.forecast is not None else order_problem(model, converted, trained_on, tables)
    if problem is None:
        return ()
    if not card.features.feature_names_confirmed:
        raise problem
    return (f"the card confirms its order of names, although {problem.message}",)


def _converted(
    model: Any, card: Card, healthy: NDArray[np.float64]
) -> tuple[ConvertedModel, SourceDescription, tuple[str, ...]]:
    """The graph, its source in words, and what else the notes should say."""
    names = card.features.names
    if card.forecast is None:
        return convert(model, feature_names=names, options=card.score.options()), describe(model, len(names)), ()
    how = card.forecast.next_reading()
    converted, source, words = convert_next_reading(model, how, features=names, healthy=healthy)
    return converted, source, (words,)


def _threshold(card: Card, converted: ConvertedModel, healthy: NDArray[np.float64]) -> tuple[float, str]:
    """The line between normal and anomalous, and where it comes from, in words."""
    if card.score.threshold is not None:
        return card.score.threshold, "The threshold is the card's."
    if card.score.percentile is not None:
        line = _percentile(converted, healthy, card.score.percentile)
        return line, f"The threshold is the {card.score.percentile:g}th percentile of the healthy rows' scores."
    if converted.own_threshold is None:
        raise CardError(
            "this kind of model has no threshold of its own",
            where="score.threshold",
            hint="give score.threshold, or score.percentile of the healthy rows",
        )
    return converted.own_threshold, "The threshold is the model's own."


def _percentile(converted: ConvertedModel, healthy: NDArray[np.float64], percentile: float) -> float:
    """Between the score at that percentile and the next higher one: a forest gives the same few scores again and again,
    and a line that stands on one of them would hang on its last digit."""
    scores = converted.source_score(healthy.astype(np.float32).astype(np.float64))
    below = np.percentile(scores, percentile, method="lower")
    above = scores[scores > below + 2.0 * converted.max_difference]
    return float((below + above.min()) / 2 if len(above) else below + converted.max_difference)


def _scores(converted: ConvertedModel, golden: GoldenInputs) -> NDArray[np.float64]:
    flat = golden.features.reshape(-1, golden.features.shape[-1])
    return converted.source_score(flat).reshape(golden.features.shape[:-1])


def _checked_tolerances(
    allowed: Tolerances, converted: ConvertedModel, golden: GoldenInputs, healthy: NDArray[np.float64]
) -> Tolerances:
    """Widened for scores far beyond 1, of which float32 holds fewer digits, and by what a smooth model's score moves
    within the features' tolerance.

    Raises CardError when a golden score hangs on the last digits of a feature.
    """
    flat = golden.features.reshape(-1, golden.features.shape[-1])
    scale = max(1.0, float(np.max(np.abs(converted.source_score(flat)))))
    atol = max(allowed.score_atol, 2.0 * converted.max_difference * scale)
    move = 0.0
    if golden.key == "samples":
        move = largest_move(flat, healthy.std(axis=0), converted.source_score, allowed)
    if not len(converted.split_values):
        atol += 2.0 * move
    if move > atol / 2 or atol > _MAX_SCORE_ATOL:
        raise CardError(
            f"a golden score moves by {move:.2g} with the last digits of its features, so another processor may give "
            "another one: with trees the window stands on a split, with an SVM the features need a scaler",
            where="files.golden",
            hint="choose another stretch of recording, or put a StandardScaler in front of the model",
        )
    return allowed.model_copy(update={"score_atol": atol})
