"""`vibration_anomaly_oneclasssvm`: the bearing run of `ims_vibration`, scored by a one-class support vector machine.

Constraints
- Same features, days and choice of the threshold as the isolation forest, so that the two compare.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from converters.bundle.writer import BundleContent
from converters.graphs.converted import ConvertedModel
from converters.graphs.scaling import scaling_of
from converters.graphs.svm import convert_one_class_svm
from converters.training import ims_vibration
from edge_agent.bundles.manifest import Tolerances

NAME: Final = "vibration_anomaly_oneclasssvm"
VERSION: Final = "1.0.0"

HYPERPARAMETERS: Final = {"nu": 0.1, "kernel": "rbf", "gamma": "scale"}
TOLERANCES: Final = Tolerances(feature_rtol=3e-6, feature_atol_std=3e-5, score_atol=5e-3)
"""The score moves along with its features, by up to the number of support vectors a standard deviation: no flat
stretches as between a tree's splits."""


def build(data: Path) -> BundleContent:
    """Return the bundle from `data/nasa_ims/2nd_test*/`. Raises RecordingError when snapshots are missing or broken."""
    return ims_vibration.build_recipe(_RECIPE, data)


def _fit(rows: NDArray[np.float64]) -> ConvertedModel:
    scaler = StandardScaler().fit(rows)
    return convert_one_class_svm(scaling_of(scaler), OneClassSVM(**HYPERPARAMETERS).fit(scaler.transform(rows)))


_RECIPE: Final = ims_vibration.Recipe(
    name=NAME,
    version=VERSION,
    description="How far a window of a bearing's vibration lies outside what four healthy bearings of one rig do.",
    kind="StandardScaler + OneClassSVM",
    hyperparameters=HYPERPARAMETERS,
    converter="converters.graphs.svm",
    fit=_fit,
    tolerances=TOLERANCES,
    limits=(
        *ims_vibration.LIMITS,
        "Far from every healthy window the kernel fades and the score stays level: it cannot rank degrees of damage.",
    ),
    notes=(
        *ims_vibration.COMMON_NOTES,
        (
            "nu = 0.1 is the platform's: its own line, 0, would call a tenth of the healthy windows anomalous by "
            "construction. The threshold is calibrated instead (see split)."
        ),
    ),
)
