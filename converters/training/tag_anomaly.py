"""`anomaly_detector_refined_v2`: is one tag's newest reading unlike its last five? Any of fifteen synthetic sensors.

Constraints
- The platform's recipe: five lags (raw), value and quality scaled 0..1 over all sensors together, IsolationForest with
  contamination 0.05. That the lags stay raw beside a scaled value is odd, and kept.
- Split in time: the first 80 % of every sensor's readings train, the rest tests. The platform trains on all.
- The verdict is the forest's own: its offset at 5 % of the training rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.preprocessing import MinMaxScaler

from converters.bundle.assemble import ModelCard, TrainedModel, assemble
from converters.bundle.writer import BundleContent
from converters.graphs.converted import ConvertedModel
from converters.graphs.isolation_forest import convert_isolation_forest
from converters.graphs.scaling import Scaling, partial_step
from converters.training.lag_frame import columns_of, lag_frame
from converters.training.synthetic_sensors import (
    N_READINGS,
    STEP_S,
    TRAINING_DATA,
    SensorSeries,
    synthetic_sensors,
    with_fault,
)
from converters.training.tag_evaluation import false_alarms, faults_found
from edge_agent.bundles.manifest import FeatureEntry, FeatureSpecEntry, Tolerances
from edge_agent.dsp.catalog import feature_ids
from edge_agent.dsp.families.tag_history import FAMILY, FIRST_VALUE, histories

NAME: Final = "anomaly_detector_refined_v2"
VERSION: Final = "1.0.0"

N_LAGS: Final = 5
FEATURES: Final = (*(f"value_lag_{lag}" for lag in range(1, N_LAGS + 1)), "value", "quality")
SCALED: Final = (N_LAGS, N_LAGS + 1)
HYPERPARAMETERS: Final = {"contamination": 0.05, "random_state": 42}
N_TRAINING: Final = N_READINGS * 8 // 10
FAULT_STARTS: Final = (495, 531, 567)
TOLERANCES: Final = Tolerances(feature_rtol=1e-6, feature_atol_std=0.0, score_atol=1e-5)


def build(_data: Path) -> BundleContent:
    """Return the bundle. Its data are generated, so the folder of training data is not looked at."""
    sensors = synthetic_sensors()
    frame = lag_frame(sensors, n_lags=N_LAGS)
    rows = columns_of(frame[frame["position"] < N_TRAINING], FEATURES)
    converted, threshold = fit(rows)
    trained = TrainedModel(
        kind="MinMaxScaler (value, quality) + IsolationForest",
        hyperparameters=HYPERPARAMETERS,
        converter="converters.graphs.isolation_forest",
        libraries=("scikit-learn", "numpy", "pandas"),
        converted=converted,
        rows=rows,
        healthy_rows=rows,
        threshold=threshold,
        split=(
            f"in time: readings 1 to {N_TRAINING} of each of {len(sensors)} sensors train, the next "
            f"{N_READINGS - N_TRAINING} test; faults are put into copies of the test readings"
        ),
        metrics=_metrics(converted, sensors, rows, threshold),
    )
    return assemble(_CARD, _SPEC, trained, golden=_golden(converted, sensors), tolerances=TOLERANCES)


def fit(rows: NDArray[np.float64]) -> tuple[ConvertedModel, float]:
    """Return the model of raw training rows in the order of FEATURES, and the forest's own threshold."""
    scaler = MinMaxScaler().fit(rows[:, SCALED])
    scaling = Scaling(len(FEATURES), (partial_step(scaler, np.array(SCALED), len(FEATURES)),))
    forest = IsolationForest(**HYPERPARAMETERS, n_jobs=1).fit(scaling.transform(rows))
    return convert_isolation_forest(scaling, forest), float(-forest.offset_)


def _metrics(
    converted: ConvertedModel, sensors: tuple[SensorSeries, ...], rows: NDArray[np.float64], threshold: float
) -> dict[str, float]:
    def scores(series: SensorSeries) -> NDArray[np.float64]:
        return converted.source_score(columns_of(lag_frame([series], n_lags=N_LAGS), FEATURES))

    return {
        **{f"test_{name}": value for name, value in false_alarms(scores, sensors, threshold, start=N_TRAINING).items()},
        **faults_found(scores, sensors, threshold, starts=FAULT_STARTS),
        "training_share_over_threshold": float(np.mean(converted.source_score(rows) > threshold)),
        "training_rows": float(len(rows)),
    }


def _golden(converted: ConvertedModel, sensors: tuple[SensorSeries, ...]) -> dict[str, NDArray[np.floating]]:
    """The first eight readings of two sensors, where lags are filled in, and forty test readings with a step."""
    faulty = with_fault(sensors[0], "step", 560)
    parts = [(faulty, range(8)), (sensors[6], range(8)), (faulty, range(540, 580))]
    rows = [histories(one.values, one.qualities, n_lags=N_LAGS)[list(wanted)] for one, wanted in parts]
    features = [_at(lag_frame([one], n_lags=N_LAGS), wanted) for one, wanted in parts]
    joined = np.concatenate(features)
    return {"rows": np.concatenate(rows), "features": joined, "scores": converted.source_score(joined)}


def _at(frame: pd.DataFrame, positions: range) -> NDArray[np.float64]:
    return columns_of(frame.iloc[list(positions)], FEATURES)


_SPEC: Final = FeatureSpecEntry(
    extractor=FAMILY.name,
    features=tuple(
        FeatureEntry(name=f.name, version=f.version, unit=f.unit) for f in feature_ids(FAMILY.name, *FEATURES)
    ),
    sample_rate_hz=0.0,
    window_samples=0,
    hop_samples=0,
    parameters={"n_lags": N_LAGS, "start": FIRST_VALUE, "step_s": float(STEP_S)},
)

_CARD: Final = ModelCard(
    name=NAME,
    version=VERSION,
    task="anomaly_detection",
    description="How unlike its last five readings, and those of fifteen sensors, one tag's newest reading is.",
    training_data=TRAINING_DATA,
    limits=(
        "Synthetic data without physics: a demonstration of the lag features, not evidence about any machine.",
        (
            "One model over sensors of five kinds, with values from 10 to 90: what is usual for one hides in another. "
            "It finds two of five large steps within an hour, hardly a drift or a stuck value; see found_share."
        ),
        "The training data hold an outlier at every 50th reading; it stays in the lags for five more.",
        "A quality of 1.0, which a good live reading has, is at the edge of what it was trained on (0.98).",
        "Readings five minutes apart; another step is another model. Not a safety function.",
    ),
    notes=(
        "The lags are raw, value and quality are scaled over all sensors together: as the platform trains it.",
        "At the start lags not known yet take the first reading, as the platform's transformer fills them.",
    ),
)
