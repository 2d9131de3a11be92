"""One formula of the feature catalogue, as training, the edge and the documentation know it."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.core.features import FeatureId


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
        return FeatureId(self.name, self.version, self.unit)
