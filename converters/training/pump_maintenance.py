"""`pump_randomforest_baseline`: operational status of a pump from eight measured values, without maintenance records.

Constraints
- What is written down because a pump was maintained says whether it was maintained. Of the platform's twenty columns
  only the eight that a PLC measures are inputs; what the others would have pretended stands beside the honest figures.
- The table is made of repeating patterns: the same few rows of measured values come back throughout, and the label
  alternates with the row. A random split, and one in time, therefore tests on rows it has trained on. The honest
  figure leaves every pattern out once.
- The table's licence is not stated: no row of it enters the repository, golden rows are drawn from its columns' ranges.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder, StandardScaler

from converters.bundle.assemble import ModelCard, TrainedModel, assemble
from converters.bundle.writer import BundleContent
from converters.graphs.converted import SourceScore
from converters.graphs.random_forest import convert_random_forest
from edge_agent.bundles.manifest import FeatureEntry, FeatureSpecEntry, Tolerances, TrainingData
from edge_agent.errors import RecordingError

NAME: Final = "pump_randomforest_baseline"
VERSION: Final = "1.0.0"

FEATURES: Final = (
    ("voltage_v", "V", "Voltage (V)"),
    ("current_a", "A", "Current (A)"),
    ("temperature_c", "degC", "Temperature (°C)"),
    ("power_w", "W", "Power (W)"),
    ("humidity_percent", "%", "Humidity (%)"),
    ("vibration_m_s2", "m/s2", "Vibration (m/s²)"),
    ("ambient_temperature_c", "degC", "Ambient Temperature (°C)"),
    ("ambient_humidity_percent", "%", "Ambient Humidity (%)"),
)
LEAKING_NUMBERS: Final = ("Repair Time (hrs)", "Maintenance Costs (USD)", "X", "Y", "Z")
LEAKING_WORDS: Final = (
    "Fault Status", "Failure Type", "Maintenance Type", "Failure History", "External Factors",
    "Equipment Relationship", "Equipment Criticality",
)  # fmt: skip
LABEL: Final = "Operational Status"
ANOMALOUS: Final = "Under Maintenance"
OTHER_LABEL: Final = "Fault Detected"

TABLE_ROWS: Final = 500
"""As published."""

TRAINED_SHARE: Final = 0.8
THRESHOLD: Final = 0.505
"""The majority of 100 trees, between two scores the forest can take."""

HYPERPARAMETERS: Final = {"n_estimators": 100, "random_state": 42}
TOLERANCES: Final = Tolerances(feature_rtol=1e-6, feature_atol_std=0.0, score_atol=1e-5)
GOLDEN_ROWS: Final = 40

_PATTERN: Final = "sensor_maintenance*/sensor_maintenance_data*.csv"


@dataclass(frozen=True, slots=True, eq=False)
class PumpTable:
    """In the table's order, which is that of its hourly times. `inputs` (n, 8) float32 values; `leaking` (n, 12);
    `status` and `fault` (n,) 0/1."""

    inputs: NDArray[np.float64]
    leaking: NDArray[np.float64]
    status: NDArray[np.int64]
    fault: NDArray[np.int64]

    @property
    def pattern(self) -> NDArray[np.int64]:
        """Return which of the distinct rows of inputs each row is, (n,)."""
        return np.unique(self.inputs, axis=0, return_inverse=True)[1].reshape(-1)


def is_there(data: Path) -> bool:
    """Return whether the table lies under `data`."""
    return any(data.glob(_PATTERN))


def build(data: Path) -> BundleContent:
    """Return the bundle from `data/sensor_maintenance*/*.csv`.

    Raises RecordingError when the table is missing or another.
    """
    table = load_table(data)
    n_training = int(len(table.status) * TRAINED_SHARE)
    rows, status = table.inputs[:n_training], table.status[:n_training]
    scaler, forest = _fit(rows, status)
    converted = convert_random_forest(scaler, forest)
    trained = TrainedModel(
        kind="StandardScaler + RandomForestClassifier",
        hyperparameters=HYPERPARAMETERS,
        converter="converters.graphs.random_forest",
        libraries=("scikit-learn", "numpy"),
        converted=converted,
        rows=rows,
        healthy_rows=rows[status == 0],
        threshold=THRESHOLD,
        split=(
            f"fitted on the first {n_training} of {len(table.status)} rows in time; metrics by pattern: every distinct "
            "row of inputs is judged by a model that never saw it; metrics named known_patterns are of rows whose like "
            "the model has seen"
        ),
        metrics=metrics(table),
    )
    golden = _golden(table.inputs, converted.source_score)
    return assemble(_card(table, trained.metrics), _SPEC, trained, golden=golden, tolerances=TOLERANCES)


def load_table(data: Path) -> PumpTable:
    """Return the table as published, UTF-8. Raises RecordingError when it is missing or another one."""
    files = sorted(data.glob(_PATTERN))
    if not files:
        raise RecordingError(
            f"{data} holds no {_PATTERN}",
            hint=(
                "the table's licence is not stated, so the repository does not hold it: get "
                "sensor_maintenance_data.csv from Kaggle and give the folder with --data DIR"
            ),
        )
    with files[0].open(encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.DictReader(opened))
    try:
        inputs = np.array([[float(row[column]) for _, _, column in FEATURES] for row in rows])
        numbers = np.array([[float(row[column]) for column in LEAKING_NUMBERS] for row in rows])
        words = [LabelEncoder().fit_transform([row[column] or "Unknown" for row in rows]) for column in LEAKING_WORDS]
        status = np.array([row[LABEL] == ANOMALOUS for row in rows], np.int64)
        fault = np.array([int(row[OTHER_LABEL]) for row in rows], np.int64)
    except (KeyError, ValueError, TypeError) as exc:
        raise RecordingError(f"{files[0]} is not the sensor maintenance table: {exc}") from exc
    leaking = np.column_stack([numbers, *words]).astype(np.float64)
    return PumpTable(inputs.astype(np.float32).astype(np.float64), leaking, status, fault)


def metrics(table: PumpTable) -> dict[str, float]:
    """Return figures, honest ones first: by pattern; then what the platform's split and columns would have said."""
    with_leak = np.concatenate([table.inputs, table.leaking], axis=1)
    n_training = int(len(table.status) * TRAINED_SHARE)
    is_training = np.arange(len(table.status)) < n_training
    unseen = _by_pattern(table.inputs, table)
    return {
        "unseen_patterns_accuracy": float(np.mean((unseen > THRESHOLD) == table.status)),
        "unseen_patterns_roc_auc": float(roc_auc_score(table.status, unseen)),
        "distinct_rows_of_inputs": float(table.pattern.max() + 1),
        "rows": float(len(table.status)),
        "known_patterns_in_time_accuracy": _accuracy(table.inputs, table.status, is_training),
        "known_patterns_random_split_accuracy": _platform_accuracy(table.inputs, table.status),
        "fault_detected_in_time_roc_auc": _auc(table.inputs, table.fault, is_training),
        "not_this_model_with_leaking_columns_random_split_accuracy": _platform_accuracy(with_leak, table.status),
        "not_this_model_with_leaking_columns_unseen_patterns_accuracy": float(
            np.mean((_by_pattern(with_leak, table) > THRESHOLD) == table.status)
        ),
    }


def _fit(rows: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[StandardScaler, RandomForestClassifier]:
    scaler = StandardScaler().fit(rows)
    return scaler, RandomForestClassifier(**HYPERPARAMETERS, n_jobs=1).fit(scaler.transform(rows), labels)


def _scores(rows: NDArray[np.float64], labels: NDArray[np.int64], judged: NDArray[np.float64]) -> NDArray[np.float64]:
    scaler, forest = _fit(rows, labels)
    return np.asarray(forest.predict_proba(scaler.transform(judged))[:, 1], np.float64)


def _by_pattern(inputs: NDArray[np.float64], table: PumpTable) -> NDArray[np.float64]:
    """Each row's score by a model without any row of the same measured values."""
    scores = np.empty(len(inputs))
    for pattern in np.unique(table.pattern):
        is_left_out = table.pattern == pattern
        scores[is_left_out] = _scores(inputs[~is_left_out], table.status[~is_left_out], inputs[is_left_out])
    return scores


def _accuracy(inputs: NDArray[np.float64], labels: NDArray[np.int64], is_training: NDArray[np.bool_]) -> float:
    scores = _scores(inputs[is_training], labels[is_training], inputs[~is_training])
    return float(np.mean((scores > THRESHOLD) == labels[~is_training]))


def _auc(inputs: NDArray[np.float64], labels: NDArray[np.int64], is_training: NDArray[np.bool_]) -> float:
    return float(
        roc_auc_score(labels[~is_training], _scores(inputs[is_training], labels[is_training], inputs[~is_training]))
    )


def _platform_accuracy(inputs: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """On the platform's own split: a fifth at random, stratified."""
    chosen, _ = train_test_split(np.arange(len(labels)), test_size=0.2, random_state=42, stratify=labels)
    return _accuracy(inputs, labels, np.isin(np.arange(len(labels)), chosen))


def _golden(inputs: NDArray[np.float64], source_score: SourceScore) -> dict[str, NDArray[np.floating]]:
    """Drawn evenly from each column's range: not rows of the table."""
    low, high = inputs.min(axis=0), inputs.max(axis=0)
    rows = np.random.default_rng(0).uniform(low, high, (GOLDEN_ROWS, len(low))).astype(np.float32)
    as_float64 = rows.astype(np.float64)
    return {"rows": rows, "features": as_float64, "scores": source_score(as_float64)}


_SPEC: Final = FeatureSpecEntry(
    extractor="tag_snapshot",
    features=tuple(FeatureEntry(name=name, version=1, unit=unit) for name, unit, _ in FEATURES),
    sample_rate_hz=0.0,
    window_samples=0,
    hop_samples=0,
    parameters={},
)


def _card(table: PumpTable, figures: Mapping[str, float]) -> ModelCard:
    return ModelCard(
        name=NAME,
        version=VERSION,
        task="classification",
        description="Share of trees that call a pump with these measured values under maintenance. Inputs are tags.",
        training_data=TrainingData(
            name="sensor_maintenance_data.csv",
            source="Kaggle",
            licence="not stated: no row of it is part of this bundle or its repository",
            citation="sensor_maintenance_data.csv, Kaggle; author not stated",
            part_used=f"{len(table.status)} of {TABLE_ROWS} rows, eight measured columns and the operational status",
        ),
        limits=(
            (
                "Not for any decision: the labels look synthetic. The table repeats "
                f"{int(table.pattern.max()) + 1} rows of measured values and the status alternates from row to row; on "
                f"measured values it has not seen the model is right for {figures['unseen_patterns_accuracy']:.0%} of "
                "the rows."
            ),
            "Not evidence about any real pump; only the road of a tabular model is shown.",
            "Not a safety function.",
        ),
        notes=_NOTES,
    )


_NOTES: Final = (
    (
        "Left out because they are written when a pump is maintained or has failed: repair time, maintenance costs, "
        "fault status, failure type, maintenance type, failure history. Left out because no PLC measures them and they "
        "are constant for a pump: position (X, Y, Z), external factors, equipment relationship and criticality. The "
        "platform's model has all of them and reports 100 %."
    ),
    (
        "known_patterns accuracies are as high as the leak's: the same rows come back, so a split at random or in time "
        "asks for rows it was taught. They are published to show why they are not believed."
    ),
    (
        "Golden rows are drawn evenly from the columns' ranges; the baseline holds statistics of columns only. "
        "fault_detected_in_time_roc_auc is the table's other label from the same inputs."
    ),
    "A snapshot with a stale or missing tag is refused, not filled in; the platform fills medians.",
)
