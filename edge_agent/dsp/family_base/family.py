"""One feature family as the rest of the agent sees it: what it takes, what it gives, and how it is reported.

A family is one file and one row in the catalogue. Whatever settings, indicators, converters and the documentation
need to know of it stands in its `FeatureFamily`; nothing outside the file asks for a family by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.core.samples import Samples

Extracted = tuple[NDArray[np.float32], NDArray[np.bool_]]


class Extractor(Protocol):
    """Windows in, ordered features out. Pure: the numbers of a window depend on that window alone."""

    @property
    def features(self) -> tuple[FeatureId, ...]:
        """Return what the last axis of the values holds, in order."""
        ...

    def extract(self, samples: Samples) -> Extracted:
        """Return the features of every window, and which windows have honest ones.

        Parameters
        ----------
        samples : float32 ndarray [shape=(n_channels, n_windows, window_samples)]
            May be read-only and may overlap itself in memory.

        Returns
        -------
        values : float32 ndarray [shape=(n_channels // channels_per_row, n_windows, n_features)]
            NaN throughout where a window is not usable.
        is_usable : bool ndarray [shape=(n_channels // channels_per_row, n_windows)]
            False where a sample is not finite, the window is a flat line, or a feature is undefined.

        Raises
        ------
        SignalError
            If the windows are not of the length the extractor was built for.
        """
        ...


def channels_per_row(extractor: Extractor) -> int:
    """Return how many neighbouring channels make one row of features: what the extractor says, else 1."""
    return int(getattr(extractor, "channels_per_row", 1))


@dataclass(frozen=True, slots=True)
class Formula:
    """One number per window and channel, by family, name and version.

    `unit` "signal" is that of the samples; `definition` is the formula itself; `source` says whose definition it is.
    Against that formula in float64 the edge's float32 differs by at most `rtol` of the value plus `atol` (in `unit`).
    """

    family: str
    name: str
    version: int
    unit: str
    definition: str
    source: str
    rtol: float
    atol: float = 0.0

    @property
    def feature_id(self) -> FeatureId:
        """Return the feature as a model's manifest names it."""
        return FeatureId(self.name, self.version, self.unit)


class FamilyInput(StrEnum):
    """What an extractor's "samples" are, and so who can feed it."""

    WINDOWS = "windows"
    """Windows of a waveform. Only these families can be an indicator's."""
    SNAPSHOT = "snapshot"
    """The newest value of several tags, by the model's own names."""
    HISTORY = "history"
    """One tag now and at the `n_lags` steps of `step_s` before, values and qualities."""
    TIMED_READING = "timed_reading"
    """One tag, and the instant it was read at."""
    INSTANT = "instant"
    """An instant alone."""


@dataclass(frozen=True, slots=True)
class ProofTolerance:
    """How far a bundle may be from the library it was trained with, measured for a family.

    Features by `feature_rtol` of the value plus `feature_atol_std` standard deviations; scores by `score_atol`.
    """

    feature_rtol: float = 1e-5
    feature_atol_std: float = 2e-4
    score_atol: float = 1e-5


@dataclass(frozen=True, slots=True)
class Example:
    """Windows and parameters of the picture in docs/FEATURES.md, over the recordings in tests/data."""

    window_samples: int
    parameters: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFamily:
    """A feature family. Raises ValueError where its parts contradict each other.

    Attributes
    ----------
    title, about
        The heading and the first paragraph of its section in docs/FEATURES.md.
    build
        From a spec to an extractor; raises SignalError naming what cannot be computed.
    formulas
        What it computes, each once; with `has_free_names` any name is a feature, in version 1.
    parameters
        Names of the parameters a spec may give. A family with `shaft_hz` takes a speed, one with the bearing's
        geometry a bearing, one with `signal_unit` gets the source's unit when the spec gives none.
    default_features
        An indicator's choice when its settings name none; those of a fault line only with a bearing. Empty: the
        settings must name them.
    reports_max
        Features whose largest value in a report says what their mean hides: `<feature>_max` is a row too.
    speed_features
        Features that are undefined without the shaft's speed.
    is_sound
        The samples are sound in parts of full scale; otherwise acceleration, in g unless the source says more.
    is_passed_through
        The features are the inputs themselves.
    """

    name: str
    title: str
    about: str
    build: Callable[[FeatureSpec], Extractor]
    formulas: tuple[Formula, ...] = ()
    parameters: tuple[str, ...] = ()
    takes: FamilyInput = FamilyInput.WINDOWS
    default_features: tuple[str, ...] = ()
    reports_max: frozenset[str] = frozenset()
    speed_features: frozenset[str] = frozenset()
    has_free_names: bool = False
    is_sound: bool = False
    is_passed_through: bool = False
    proof_tolerance: ProofTolerance = ProofTolerance()
    example: Example | None = None

    def __post_init__(self) -> None:
        known = {formula.name for formula in self.formulas}
        ids = [(formula.name, formula.version) for formula in self.formulas]
        for name, version in sorted({one for one in ids if ids.count(one) > 1}):
            raise ValueError(f"{self.name}.{name} version {version} stands there twice")
        for formula in self.formulas:
            if formula.family != self.name:
                raise ValueError(f"the formula {formula.family}.{formula.name} is not one of the family {self.name}")
        for name in sorted({*self.default_features, *self.reports_max, *self.speed_features} - known):
            raise ValueError(f"{self.name} has no feature {name}")
