"""The input of a forecast: when a tag was read, and what it was. The model computes what was to be expected then."""

from __future__ import annotations

from typing import Final

import numpy as np

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.core.samples import Samples
from edge_agent.dsp.families.calendar_terms import is_instant
from edge_agent.dsp.family_base.family import Extracted, FamilyInput, FeatureFamily, Formula, ProofTolerance
from edge_agent.errors import SignalError

NAME: Final = "tag_forecast"
LAYOUT: Final = ("day_number", "second_of_day", "value")

_SOURCE: Final = "time as in the family calendar; the value as it was read"

FORMULAS: Final = (
    Formula(NAME, "day_number", 1, "d", "floor(t / 86400), t in whole seconds since 1970-01-01 UTC", _SOURCE, 0.0),
    Formula(NAME, "second_of_day", 1, "s", "t - 86400 day_number", _SOURCE, 0.0),
    Formula(NAME, "value", 1, "signal", "the reading at t", _SOURCE, 0.0),
)


class TagForecastExtractor:
    """Readings, shape (n_channels, n_readings, 3) as in LAYOUT, passed through where they are honest."""

    def __init__(self, spec: FeatureSpec) -> None:
        if spec.parameters:
            raise SignalError(f"{NAME} takes no parameters, not {', '.join(spec.parameters)}")
        self.features: tuple[FeatureId, ...] = spec.features
        self._columns = [LAYOUT.index(feature.name) for feature in spec.features]

    def extract(self, samples: Samples) -> Extracted:
        """See `Extractor.extract`. A reading without a value, or at no instant, is not usable."""
        if samples.ndim != 3 or samples.shape[-1] != len(LAYOUT):
            raise SignalError(
                f"these readings have shape {samples.shape}; {NAME} takes (n_channels, n_readings, 3):"
                f" {', '.join(LAYOUT)}"
            )
        is_usable = is_instant(samples[..., 0], samples[..., 1]) & np.isfinite(samples[..., 2])
        values = samples[..., self._columns].astype(np.float32)
        values[~is_usable] = np.nan
        return values, is_usable


FAMILY: Final = FeatureFamily(
    name=NAME,
    title="Input of a forecast",
    about="An instant in two numbers that float32 holds exactly, and the value.",
    build=TagForecastExtractor,
    formulas=FORMULAS,
    takes=FamilyInput.TIMED_READING,
    is_passed_through=True,
    proof_tolerance=ProofTolerance(feature_rtol=1e-6, feature_atol_std=0.0, score_atol=1e-4),
)
