"""The shape of manifest.json: what a bundle says about itself.

Constraints
- Strict and frozen: an unknown field, a wrong type or a missing one is refused.
- Nothing in it depends on the time or the place of building: the same data and seed give the same text.
- A score is always higher = more anomalous; the graph is built so, the manifest only states it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge_agent.core.features import FeatureId, FeatureSpec

SCHEMA_VERSION: Final = 1
MANIFEST_FILE: Final = "manifest.json"
MODEL_FILE: Final = "model.onnx"
GOLDEN_FILE: Final = "golden.npz"

BundleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100)]
VERSION_PATTERN: Final = r"[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}"
"""Digits of ASCII, and few enough that a number is made of them in no time (Python refuses one of 4,301)."""

BundleVersion = Annotated[str, Field(pattern=rf"^{VERSION_PATTERN}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Scalar = float | int | str | bool | None


def version_key(version: str) -> tuple[int, ...]:
    """Return a key that sorts versions: 1.10.0 is newer than 1.9.0."""
    return tuple(int(part) for part in version.split("."))


class ManifestModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FeatureEntry(ManifestModel):
    """One input of the model: the name and version of its formula, and its unit."""

    name: str = Field(min_length=1)
    version: int = Field(ge=1)
    unit: str


class FeatureSpecEntry(ManifestModel):
    """Everything needed to compute the model's input from raw samples (see `core.features.FeatureSpec`)."""

    extractor: str
    features: tuple[FeatureEntry, ...] = Field(min_length=1)
    sample_rate_hz: float = Field(ge=0, allow_inf_nan=False)
    window_samples: int = Field(ge=0)
    hop_samples: int = Field(ge=0)
    parameters: dict[str, float | int | str | bool]

    def to_spec(self) -> FeatureSpec:
        features = tuple(FeatureId(entry.name, entry.version, entry.unit) for entry in self.features)
        return FeatureSpec(
            self.extractor, features, self.sample_rate_hz, self.window_samples, self.hop_samples, dict(self.parameters)
        )


class FeatureBaseline(ManifestModel):
    """One feature over the healthy training rows, in the feature's unit."""

    mean: Finite
    std: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    p01: Finite
    p50: Finite
    p99: Finite


class TrainingData(ManifestModel):
    """Where the training rows came from, and on what terms."""

    name: str
    source: str
    licence: str
    citation: str
    part_used: str


class SourceModel(ManifestModel):
    """The model as it was before conversion."""

    kind: str
    hyperparameters: dict[str, Scalar]
    libraries: dict[str, str]


class Toolchain(ManifestModel):
    """What wrote the graph, and the runtime its parity was measured with."""

    converter: str
    onnx: str
    onnxruntime: str
    opset: int
    ml_opset: int


class ParityFigures(ManifestModel):
    """The source model in float64 against ONNX Runtime, on seeded rows, rows at every split or where a model without
    splits crosses the threshold, and extremes. Differences of scores beyond 1 are relative to the score.

    `verdict_flips` counts those outside the band, `flips_in_band` those whose score is within `tolerance_band` of the
    threshold."""

    rows: int = Field(ge=1)
    max_abs_difference: float = Field(ge=0, allow_inf_nan=False)
    verdict_flips: int = Field(ge=0)
    tolerance_band: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    flips_in_band: int = Field(default=0, ge=0)


class TrainingScores(ManifestModel):
    """How the builder's rows are scored by the source, and which share of them is above the threshold.

    `anomalous_*` are None where the builder had no rows that are known to be anomalous. `silent_because` is why a
    threshold that nothing reaches was allowed.
    """

    healthy_rows: int = Field(ge=1)
    healthy_lowest: Finite
    healthy_highest: Finite
    healthy_above: float = Field(ge=0, le=1)
    training_rows: int = Field(ge=1)
    training_highest: Finite
    training_above: float = Field(ge=0, le=1)
    anomalous_rows: int | None = Field(default=None, ge=1)
    anomalous_above: float | None = Field(default=None, ge=0, le=1)
    silent_because: str | None = None


class Tolerances(ManifestModel):
    """How far a golden run may be off, with x the golden value:
    features |got - x| <= feature_rtol |x| + feature_atol_std * (baseline std); scores |got - x| <= score_atol."""

    feature_rtol: float = Field(gt=0, le=1e-2)
    feature_atol_std: float = Field(ge=0, le=1e-1)
    score_atol: float = Field(gt=0, le=1e-2)


class Manifest(ManifestModel):
    """manifest.json of one bundle."""

    schema_version: Literal[1]
    minimum_agent: BundleVersion | None = Field(default=None, description="The oldest agent that may use it.")
    name: BundleName
    version: BundleVersion
    task: Literal["anomaly_detection", "classification", "forecasting"]
    description: str
    feature_spec: FeatureSpecEntry
    input_name: str
    output_name: str
    higher_is_anomalous: Literal[True]
    threshold: Finite
    baseline: dict[str, FeatureBaseline]
    training_data: tuple[TrainingData, ...] = Field(min_length=1)
    split: str
    metrics: dict[str, Finite]
    limits: tuple[str, ...] = Field(min_length=1, description="What the model must not be used for.")
    notes: tuple[str, ...]
    source_model: SourceModel
    toolchain: Toolchain
    parity: ParityFigures
    tolerances: Tolerances
    scores: TrainingScores | None = Field(default=None, description="None in bundles of before it was measured.")
    files: dict[str, Sha256]

    @model_validator(mode="after")
    def _baseline_covers_the_features(self) -> Self:
        names = [entry.name for entry in self.feature_spec.features]
        if len(set(names)) != len(names):
            raise ValueError("feature_spec lists a feature twice")
        if set(self.baseline) != set(names):
            raise ValueError("baseline and feature_spec name different features")
        return self

    @model_validator(mode="after")
    def _files_are_the_known_ones(self) -> Self:
        if set(self.files) != {MODEL_FILE, GOLDEN_FILE}:
            raise ValueError(f"files must list {MODEL_FILE} and {GOLDEN_FILE}, not {sorted(self.files)}")
        return self
