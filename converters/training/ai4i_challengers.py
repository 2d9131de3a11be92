"""`ai4i_classifier_lightgbm_baseline` and `ai4i_classifier_svc_baseline`: two challengers of the AI4I random forest.

Constraints
- Same columns, blocks and choice of the threshold as `ai4i`, so that the three compare; the failure modes stay out.
- The libraries' own defaults behind a StandardScaler, as the platform trains its baselines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lightgbm
import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from converters.bundle.assemble import ModelCard, TrainedModel, assemble
from converters.bundle.writer import BundleContent
from converters.graphs.converted import ConvertedModel
from converters.graphs.lightgbm_trees import convert_lightgbm_classifier
from converters.graphs.scaling import Scaling, scaling_of
from converters.graphs.svm import convert_svc
from converters.training import ai4i

LIGHTGBM_NAME: Final = "ai4i_classifier_lightgbm_baseline"
SVC_NAME: Final = "ai4i_classifier_svc_baseline"
VERSION: Final = "1.0.0"

LIGHTGBM_HYPERPARAMETERS: Final = {"random_state": 42, "verbosity": -1}
LIGHTGBM_REPRODUCIBLE: Final = {"n_jobs": 1, "deterministic": True, "force_row_wise": True}
"""Change no prediction but for the order of sums: the same bytes on every machine."""

SVC_HYPERPARAMETERS: Final = {"kernel": "rbf", "C": 1.0, "gamma": "scale"}


@dataclass(frozen=True, slots=True)
class _Challenger:
    """What differs: the model, its graph, and what its score means."""

    name: str
    kind: str
    hyperparameters: dict[str, Any]
    converter: str
    libraries: tuple[str, ...]
    fit: Callable[[Scaling, NDArray[np.float64], NDArray[np.int64]], ConvertedModel]
    description: str


def build_lightgbm(data: Path) -> BundleContent:
    """Return the bundle from `data/ai4i*/*.csv`. Raises RecordingError when the table is missing or another one."""
    return _build(_LIGHTGBM, data)


def build_svc(data: Path) -> BundleContent:
    """Return the bundle from `data/ai4i*/*.csv`. Raises RecordingError when the table is missing or another one."""
    return _build(_SVC, data)


def _build(challenger: _Challenger, data: Path) -> BundleContent:
    table = ai4i.load_table(data)
    parts = ai4i.split(table)
    rows, failed = table.inputs[parts.training], table.failed[parts.training]
    scaling = scaling_of(StandardScaler().fit(rows))
    converted = challenger.fit(scaling, scaling.transform(rows), failed)
    scores = converted.source_score(table.inputs)
    threshold = _threshold(table.failed[parts.validation], scores[parts.validation])
    trained = TrainedModel(
        kind=challenger.kind,
        hyperparameters=challenger.hyperparameters,
        converter=challenger.converter,
        libraries=challenger.libraries,
        converted=converted,
        rows=rows,
        healthy_rows=rows[failed == 0],
        threshold=threshold,
        split=ai4i.split_in_words(parts),
        metrics=ai4i.metrics(table, parts, scores, threshold),
    )
    golden = ai4i.golden(table, parts, converted.source_score)
    return assemble(_card(challenger, trained), ai4i.SPEC, trained, golden=golden, tolerances=ai4i.TOLERANCES)


def _threshold(failed: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Halfway from the best score to the next lower one, so that it hangs on no rounding."""
    best = ai4i.best_f1(failed, scores)
    return round((best + float(np.max(scores[scores < best]))) / 2, 6)


def _fit_lightgbm(scaling: Scaling, rows: NDArray[np.float64], failed: NDArray[np.int64]) -> ConvertedModel:
    model = lightgbm.LGBMClassifier(**LIGHTGBM_HYPERPARAMETERS, **LIGHTGBM_REPRODUCIBLE)
    return convert_lightgbm_classifier(scaling, model.fit(rows, failed))


def _fit_svc(scaling: Scaling, rows: NDArray[np.float64], failed: NDArray[np.int64]) -> ConvertedModel:
    return convert_svc(scaling, SVC(**SVC_HYPERPARAMETERS).fit(rows, failed))


def _card(challenger: _Challenger, trained: TrainedModel) -> ModelCard:
    missed, false = 1 - trained.metrics["test_recall"], 1 - trained.metrics["test_precision"]
    return ModelCard(
        name=challenger.name,
        version=VERSION,
        task="classification",
        description=challenger.description,
        training_data=ai4i.TRAINING_DATA,
        limits=(
            "Synthetic data: a demonstration of a tabular model, not evidence about any real machine.",
            f"On the test blocks {missed:.0%} of the failures are missed and {false:.0%} of the alarms are false.",
            "Not a safety function.",
        ),
        notes=(
            "TWF, HDF, PWF, OSF and RNF are left out: they say how the machine failed and so leak the label.",
            f"A challenger of {ai4i.NAME}: same columns, same blocks, threshold chosen alike.",
            "A snapshot with a stale or missing tag is refused, not filled in.",
        ),
    )


_LIGHTGBM: Final = _Challenger(
    name=LIGHTGBM_NAME,
    kind="StandardScaler + LGBMClassifier",
    hyperparameters=LIGHTGBM_HYPERPARAMETERS,
    converter="converters.graphs.lightgbm_trees",
    libraries=("lightgbm", "scikit-learn", "numpy"),
    fit=_fit_lightgbm,
    description="Probability that a milling machine fails at these process values. Inputs are tags; type H is 0, 0.",
)
_SVC: Final = _Challenger(
    name=SVC_NAME,
    kind="StandardScaler + SVC",
    hyperparameters=SVC_HYPERPARAMETERS,
    converter="converters.graphs.svm",
    libraries=("scikit-learn", "numpy"),
    fit=_fit_svc,
    description=(
        "How far these process values lie on the failing side of a support vector machine's margin. Inputs are tags; "
        "type H is 0, 0."
    ),
)
