"""The card beside a model file: what a bundle needs and a model does not know, as TOML.

Constraints
- Strict: an unknown or missing field is refused, by its name and with the card's path.
- Paths in it are relative to the card.
- Nothing is guessed that a person should have thought about: description, split, limits and training data are required.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from converters.errors import CardError
from converters.kinds import ScoreOptions
from converters.next_reading import NextReading
from edge_agent.bundles.manifest import Finite, ManifestModel, Tolerances, TrainingData

Text = Annotated[str, Field(min_length=1)]


class FeaturesEntry(ManifestModel):
    """Which features, in the model's order. Units are needed for families whose names are free (tag_snapshot).

    `feature_names_confirmed`: a person has asked for the order of a model that knows no names.
    """

    family: Text
    names: tuple[Text, ...] = Field(min_length=1)
    units: tuple[str, ...] | None = None
    sample_rate_hz: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    window_samples: int = Field(default=0, ge=0)
    hop_samples: int = Field(default=0, ge=0)
    parameters: dict[str, float | int | str | bool] = Field(default_factory=dict)
    feature_names_confirmed: bool = False

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.units is not None and len(self.units) != len(self.names):
            raise ValueError(f"{len(self.names)} names, but {len(self.units)} units")
        if bool(self.window_samples) != bool(self.sample_rate_hz) or bool(self.window_samples) != bool(
            self.hop_samples
        ):
            raise ValueError("waveforms need sample_rate_hz, window_samples and hop_samples; tags need none of them")
        return self


class ScoreEntry(ManifestModel):
    """What a score means, and above which one a verdict is anomalous. Without either, the model's own line."""

    threshold: Finite | None = None
    percentile: Annotated[float, Field(gt=0, lt=100)] | None = None
    anomalous_class: int | str | bool | None = None
    higher_is_anomalous: bool = True
    output: Literal["decision", "probability"] = "decision"

    @model_validator(mode="after")
    def _one_line(self) -> Self:
        if self.threshold is not None and self.percentile is not None:
            raise ValueError("give a threshold or a percentile of the healthy rows, not both")
        return self

    def options(self) -> ScoreOptions:
        return ScoreOptions(self.anomalous_class, self.higher_is_anomalous, self.output)


class ForecastEntry(ManifestModel):
    """The model forecasts the next reading. `trained_on` are its inputs; `min_max` those scaled outside of its file."""

    trained_on: tuple[Text, ...] = Field(min_length=1)
    min_max: dict[str, tuple[Finite, Finite]] = Field(default_factory=dict)
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _ranges_are_some(self) -> Self:
        if not all(low < high for low, high in self.min_max.values()):
            raise ValueError("min_max wants [low, high] with low below high")
        return self

    def next_reading(self) -> NextReading:
        return NextReading(self.trained_on, self.min_max, self.scale)


class FilesEntry(ManifestModel):
    """`healthy`, `training` and `anomalous` are tables of features, `golden` raw inputs, `golden_features` theirs."""

    healthy: Text
    training: Text | None = None
    anomalous: Text | None = None
    golden: Text
    golden_features: Text | None = None


class Card(ManifestModel):
    """One model's card."""

    description: Text
    split: Text
    limits: tuple[Text, ...] = Field(min_length=1)
    notes: tuple[str, ...] = ()
    task: Literal["anomaly_detection", "classification", "forecasting"] | None = None
    features: FeaturesEntry
    score: ScoreEntry = ScoreEntry()
    forecast: ForecastEntry | None = None
    files: FilesEntry
    training_data: TrainingData
    metrics: dict[str, Finite] = Field(default_factory=dict)
    tolerances: Tolerances | None = None


def read_card(path: Path) -> Card:
    """Return the card in a TOML file.

    Raises CardError for a missing file, broken TOML, and each wrong or missing field.
    """
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise CardError(
            f"{path} is missing: a bundle needs to know more than its model does",
            where="",
            hint="write it beside the model, see docs/CONVERTING.md, or name another with --card",
        ) from exc
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise CardError(f"{path} is not TOML: {exc}", where="", hint="correct that place") from exc
    try:
        return Card.model_validate(_as_tuples(table))
    except ValidationError as exc:
        raise _refusal(path, exc) from exc


def _as_tuples(value: Any) -> Any:
    """TOML has lists where the card has tuples, which a strict model tells apart."""
    if isinstance(value, dict):
        return {key: _as_tuples(item) for key, item in value.items()}
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list) else value


def _refusal(path: Path, exc: ValidationError) -> CardError:
    lines = {}
    for error in exc.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in error["loc"]) or "the card"
        lines[where] = "is missing" if error["type"] == "missing" else error["msg"].removeprefix("Value error, ")
    mistakes = "; ".join(f"{where}: {what}" for where, what in lines.items())
    return CardError(f"{path}: {mistakes}", where=next(iter(lines)), hint="docs/CONVERTING.md shows a whole card")
