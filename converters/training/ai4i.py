"""`ai4i_classifier_randomforest_baseline`: machine failure from five process values and the product type.

Constraints
- The five failure-mode columns are never inputs: they are set when the failure is known, so they leak the label.
  What they would have pretended is measured and written into the manifest next to the honest figures.
- Split by blocks of consecutive rows, in order: neighbouring rows share tool and temperature.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from sklearn.preprocessing import StandardScaler

from converters.bundle.assemble import ModelCard, TrainedModel, assemble
from converters.bundle.writer import BundleContent
from converters.graphs.converted import SourceScore
from converters.graphs.random_forest import convert_random_forest
from converters.training.readers import require
from edge_agent.bundles.manifest import FeatureEntry, FeatureSpecEntry, Tolerances, TrainingData
from edge_agent.errors import RecordingError

NAME: Final = "ai4i_classifier_randomforest_baseline"
VERSION: Final = "1.0.0"

FEATURES: Final = (
    ("air_temperature_k", "K"),
    ("process_temperature_k", "K"),
    ("rotational_speed_rpm", "rpm"),
    ("torque_nm", "Nm"),
    ("tool_wear_min", "min"),
    ("type_l", ""),
    ("type_m", ""),
)
_MEASURED: Final = (
    "Air temperature [K]", "Process temperature [K]", "Rotational speed [rpm]", "Torque [Nm]", "Tool wear [min]",
)  # fmt: skip
FAILURE_MODES: Final = ("TWF", "HDF", "PWF", "OSF", "RNF")

BLOCK_ROWS: Final = 500
HYPERPARAMETERS: Final = {"n_estimators": 100, "random_state": 42}
TOLERANCES: Final = Tolerances(feature_rtol=1e-6, feature_atol_std=0.0, score_atol=1e-5)
GOLDEN_ROWS: Final = 40

_HALF_STEP: Final = 0.5 / HYPERPARAMETERS["n_estimators"]
"""Scores are multiples of 1/100: a threshold between two of them hangs on no rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Ai4iTable:
    """`inputs` (n, 7), rounded to float32 as the edge will hold them; `modes` (n, 5), which leak; `failed` (n,) 0/1."""

    block: NDArray[np.int64]
    inputs: NDArray[np.float64]
    modes: NDArray[np.float64]
    failed: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Rows of each part as masks: the first 4/7 of the blocks train, the next 3/14 validate, the rest test."""

    training: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    test: NDArray[np.bool_]


def build(data: Path) -> BundleContent:
    """Return the bundle from `data/ai4i*/*.csv`. Raises RecordingError when the table is missing or another one."""
    table = load_table(data)
    parts = split(table)
    scaler, forest = _fit(table.inputs[parts.training], table.failed[parts.training])
    converted = convert_random_forest(scaler, forest)
    scores = converted.source_score(table.inputs)
    threshold = best_f1(table.failed[parts.validation], scores[parts.validation]) - _HALF_STEP
    rows = table.inputs[parts.training]
    trained = TrainedModel(
        kind="StandardScaler + RandomForestClassifier",
        hyperparameters=HYPERPARAMETERS,
        converter="converters.graphs.random_forest",
        libraries=("scikit-learn", "numpy"),
        converted=converted,
        rows=rows,
        healthy_rows=rows[table.failed[parts.training] == 0],
        threshold=round(threshold, 6),
        split=split_in_words(parts),
        metrics=metrics(table, parts, scores, threshold) | metrics_with_leak(table, parts),
    )
    return assemble(_CARD, SPEC, trained, golden=golden(table, parts, converted.source_score), tolerances=TOLERANCES)


def load_table(data: Path) -> Ai4iTable:
    """Return the table as published: UTF-8 with BOM, one row per product."""
    file = require(sorted(data.glob("ai4i*/*.csv")), "ai4i*/ai4i2020.csv", data)[0]
    with file.open(encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.DictReader(opened))
    try:
        numbers = np.array([[float(row[name]) for name in (*_MEASURED, *FAILURE_MODES)] for row in rows])
        types = np.array([[row["Type"] == "L", row["Type"] == "M"] for row in rows], np.float64)
        block = np.array([(int(row["UDI"]) - 1) // BLOCK_ROWS for row in rows], np.int64)
        failed = np.array([int(row["Machine failure"]) for row in rows], np.int64)
    except (KeyError, ValueError, TypeError) as exc:
        raise RecordingError(f"{file} is not the AI4I 2020 table: {exc}") from exc
    n_measured = len(_MEASURED)
    inputs = np.concatenate([numbers[:, :n_measured], types], axis=1).astype(np.float32).astype(np.float64)
    return Ai4iTable(block, inputs, numbers[:, n_measured:], failed)


def split(table: Ai4iTable) -> Parts:
    """Return whole blocks, in the order of the table."""
    blocks = np.unique(table.block)
    first, second = len(blocks) * 8 // 14, len(blocks) * 11 // 14
    training, validation, test = (
        np.isin(table.block, part) for part in (blocks[:first], blocks[first:second], blocks[second:])
    )
    return Parts(training, validation, test)


def _fit(rows: NDArray[np.float64], failed: NDArray[np.int64]) -> tuple[StandardScaler, RandomForestClassifier]:
    scaler = StandardScaler().fit(rows)
    return scaler, RandomForestClassifier(**HYPERPARAMETERS, n_jobs=1).fit(scaler.transform(rows), failed)


def best_f1(failed: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Return the score from which on rows are flagged with the best F1. Verdicts are strictly above a threshold."""
    precision, recall, thresholds = precision_recall_curve(failed, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[np.argmax(f1[:-1])])


def metrics(table: Ai4iTable, parts: Parts, scores: NDArray[np.float64], threshold: float) -> dict[str, float]:
    failed, test = table.failed[parts.test] == 1, scores[parts.test]
    flagged = test > threshold
    return {
        "test_roc_auc": float(roc_auc_score(failed, test)),
        "test_average_precision": float(average_precision_score(failed, test)),
        "test_precision": float((flagged & failed).sum() / max(1, flagged.sum())),
        "test_recall": float((flagged & failed).sum() / max(1, failed.sum())),
        "test_false_alarm_share": float(flagged[~failed].mean()),
        "test_rows": float(len(test)),
        "test_failures": float(failed.sum()),
        "validation_roc_auc": float(roc_auc_score(table.failed[parts.validation], scores[parts.validation])),
    }


def metrics_with_leak(table: Ai4iTable, parts: Parts) -> dict[str, float]:
    """Return the figures of the same model with the failure-mode columns as inputs: what a leak looks like, for
    comparison only.
    """
    inputs = np.concatenate([table.inputs, table.modes], axis=1)
    scaler, forest = _fit(inputs[parts.training], table.failed[parts.training])
    scores = forest.predict_proba(scaler.transform(inputs))[:, 1]
    threshold = best_f1(table.failed[parts.validation], scores[parts.validation]) - _HALF_STEP
    leaked = metrics(table, parts, scores, threshold)
    names = ("test_roc_auc", "test_average_precision", "test_precision", "test_recall")
    return {f"not_this_model_with_leaking_columns_{name}": leaked[name] for name in names}


def golden(table: Ai4iTable, parts: Parts, source_score: SourceScore) -> dict[str, NDArray[np.floating]]:
    """Return failures and ordinary rows of the test blocks, half and half."""
    failed = np.flatnonzero(parts.test & (table.failed == 1))[: GOLDEN_ROWS // 2]
    ordinary = np.flatnonzero(parts.test & (table.failed == 0))
    step = len(ordinary) // (GOLDEN_ROWS - len(failed))
    chosen = np.concatenate([failed, ordinary[::step][: GOLDEN_ROWS - len(failed)]])
    rows = np.asarray(table.inputs[chosen])
    return {"rows": rows.astype(np.float32), "features": rows, "scores": source_score(rows)}


def split_in_words(parts: Parts) -> str:
    return (
        f"by blocks of {BLOCK_ROWS} consecutive rows, in order, not at random: {int(parts.training.sum())} rows train, "
        f"{int(parts.validation.sum())} choose the threshold (best F1), {int(parts.test.sum())} test"
    )


SPEC: Final = FeatureSpecEntry(
    extractor="tag_snapshot",
    features=tuple(FeatureEntry(name=name, version=1, unit=unit) for name, unit in FEATURES),
    sample_rate_hz=0.0,
    window_samples=0,
    hop_samples=0,
    parameters={},
)

TRAINING_DATA: Final = TrainingData(
    name="AI4I 2020 Predictive Maintenance Dataset",
    source="UCI Machine Learning Repository, data set 601",
    licence="CC BY 4.0",
    citation=(
        "S. Matzka, Explainable Artificial Intelligence for Predictive Maintenance Applications, 2020 Third "
        "International Conference on Artificial Intelligence for Industries (AI4I), 2020, pp. 69-74."
    ),
    part_used="7,000 of 10,000 rows: blocks of 500, every third block left out",
)

_CARD: Final = ModelCard(
    name=NAME,
    version=VERSION,
    task="classification",
    description="Probability that a milling machine fails at these process values. Inputs are tags; type H is 0, 0.",
    training_data=TRAINING_DATA,
    limits=(
        "Synthetic data: a demonstration of a tabular model, not evidence about any real machine.",
        "About three in ten failures are missed and four in ten alarms are false on the test blocks; see metrics.",
        "Not a safety function.",
    ),
    notes=(
        (
            "TWF, HDF, PWF, OSF and RNF are left out: they say how the machine failed and so leak the label. "
            "Metrics named not_this_model_with_leaking_columns show what including them would pretend."
        ),
        "A snapshot with a stale or missing tag is refused, not filled in.",
    ),
)
