"""The input of a tabular model: named values of one instant, passed through as they are."""

from __future__ import annotations

from typing import Final

import numpy as np

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.core.samples import Samples
from edge_agent.dsp.family_base.family import Extracted, FamilyInput, FeatureFamily, ProofTolerance
from edge_agent.errors import SignalError

NAME: Final = "tag_snapshot"


class SnapshotExtractor:
    """Identity. Its "samples" are snapshots, shape (n_channels, n_snapshots, n_features), in the order of the spec.

    Raises SignalError if two features have one name: the caller could not tell them apart.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        names = [feature.name for feature in spec.features]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SignalError(f"the snapshot names {', '.join(twice)} more than once")
        if spec.parameters:
            raise SignalError(f"{NAME} takes no parameters, not {', '.join(spec.parameters)}")
        self.features: tuple[FeatureId, ...] = spec.features

    def extract(self, samples: Samples) -> Extracted:
        """See `Extractor.extract`. A snapshot with a value that is not finite is not usable."""
        if samples.ndim != 3 or samples.shape[-1] != len(self.features):
            raise SignalError(
                f"these snapshots have shape {samples.shape}; this extractor takes"
                f" (n_channels, n_snapshots, {len(self.features)})"
            )
        values = np.array(samples, dtype=np.float32, order="C")
        is_usable = np.asarray(np.isfinite(values).all(axis=-1), dtype=np.bool_)
        values[~is_usable] = np.nan
        return values, is_usable


FAMILY: Final = FeatureFamily(
    name=NAME,
    title="Snapshot of tags",
    about="The newest good value of each tag by the model's own names; nothing is computed.",
    build=SnapshotExtractor,
    takes=FamilyInput.SNAPSHOT,
    has_free_names=True,
    is_passed_through=True,
    proof_tolerance=ProofTolerance(feature_rtol=1e-6, feature_atol_std=0.0),
)
