"""Puts a recipe's results together: parity is measured, digests are taken, the manifest is filled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from converters.bundle.writer import BundleContent, baseline, digests, libraries, pack_golden, toolchain
from converters.graphs.converted import ConvertedModel
from converters.graphs.tree_ensemble import INPUT_NAME, OUTPUT_NAME
from converters.proof.parity import measure
from edge_agent.bundles.manifest import (
    SCHEMA_VERSION,
    FeatureSpecEntry,
    Manifest,
    ParityFigures,
    SourceModel,
    Tolerances,
    TrainingData,
    TrainingScores,
)


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a person should know about a model, in words."""

    name: str
    version: str
    task: Literal["anomaly_detection", "classification", "forecasting"]
    description: str
    training_data: TrainingData
    limits: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """A fitted and converted model. `rows` are all training rows, `healthy_rows` those of the baseline."""

    kind: str
    hyperparameters: Mapping[str, Any]
    converter: str
    libraries: tuple[str, ...]
    converted: ConvertedModel
    rows: NDArray[np.float64]
    healthy_rows: NDArray[np.float64]
    threshold: float
    split: str
    metrics: Mapping[str, float]


def assemble(
    card: ModelCard,
    spec: FeatureSpecEntry,
    trained: TrainedModel,
    *,
    golden: Mapping[str, NDArray[np.floating]],
    tolerances: Tolerances,
    parity: ParityFigures | None = None,
    scores: TrainingScores | None = None,
) -> BundleContent:
    """Return the bundle's content.

    `parity` is given by models whose rows need their own measuring (times, not numbers).

    Raises BundleError when the graph and its source disagree.
    """
    packed = pack_golden(golden)
    names = tuple(feature.name for feature in spec.features)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=card.name,
        version=card.version,
        task=card.task,
        description=card.description,
        feature_spec=spec,
        input_name=INPUT_NAME,
        output_name=OUTPUT_NAME,
        higher_is_anomalous=True,
        threshold=trained.threshold,
        baseline=baseline(names, trained.healthy_rows),
        training_data=(card.training_data,),
        split=trained.split,
        metrics={name: round(value, 4) for name, value in trained.metrics.items()},
        limits=card.limits,
        notes=card.notes,
        source_model=SourceModel(
            kind=trained.kind,
            hyperparameters=dict(trained.hyperparameters),
            libraries=libraries(*trained.libraries),
        ),
        toolchain=toolchain(trained.converter),
        parity=parity or measure(trained.converted, trained.rows, threshold=trained.threshold),
        tolerances=tolerances,
        scores=scores,
        files=digests(trained.converted.onnx, packed),
    )
    return BundleContent(manifest, trained.converted.onnx, packed)
