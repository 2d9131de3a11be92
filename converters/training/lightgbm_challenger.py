"""`lightgbm_forecaster_challenger`: what sensor-001 should read now, by its twelve readings before.

Constraints
- The platform's recipe: twelve lags, the value scaled 0..1, the quality raw, target the next value,
  LGBMRegressor(random_state=42).
- The split is that of `prophet_forecaster`, so that the two compare. The residuals' scale comes from the training
  rows, where a tree model is nearer than it will ever be again: the threshold, from held-back rows, makes up for it.
- The edge scores a reading when it has come. What the model calls its newest value is then one reading old.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import lightgbm
import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import MinMaxScaler

from converters.bundle.assemble import ModelCard, TrainedModel, assemble
from converters.bundle.writer import BundleContent
from converters.graphs.converted import ConvertedModel
from converters.graphs.lightgbm_forecaster import convert_forecaster, robust_scale
from converters.graphs.scaling import Scaling, partial_step
from converters.training.lag_frame import columns_of, lag_frame
from converters.training.prophet_forecaster import (
    CALIBRATION_QUANTILE,
    FAULT_STARTS,
    MARGIN,
    N_BEFORE_CALIBRATION,
    N_EVALUATED,
    N_TRAINING,
    SPLIT,
)
from converters.training.synthetic_sensors import (
    N_READINGS,
    STEP_S,
    TRAINING_DATA,
    SensorSeries,
    synthetic_sensor,
    with_fault,
)
from converters.training.tag_evaluation import false_alarms, faults_found
from edge_agent.bundles.manifest import FeatureEntry, FeatureSpecEntry, Tolerances
from edge_agent.dsp.catalog import feature_ids
from edge_agent.dsp.families.tag_history import FAMILY, WHOLE, histories

NAME: Final = "lightgbm_forecaster_challenger"
VERSION: Final = "1.0.0"

N_LAGS: Final = 12
TRAINED_ON: Final = ("quality", *(f"value_lag_{lag}" for lag in range(1, N_LAGS + 1)), "value")
FEATURES: Final = ("value", *(f"value_lag_{lag}" for lag in range(1, N_LAGS + 2)), "quality_lag_1")
HYPERPARAMETERS: Final = {"random_state": 42, "verbosity": -1}
TOLERANCES: Final = Tolerances(feature_rtol=1e-6, feature_atol_std=0.0, score_atol=1e-4)


def build(_data: Path) -> BundleContent:
    """Return the bundle. Its data are generated, so the folder of training data is not looked at."""
    series = synthetic_sensor(1, N_EVALUATED)
    threshold = _threshold(series)
    converted, scale = fit(series, N_TRAINING)
    rows = rows_of(series)[N_LAGS + 1 : N_TRAINING]
    trained = TrainedModel(
        kind="MinMaxScaler (value) + LGBMRegressor",
        hyperparameters=HYPERPARAMETERS,
        converter="converters.graphs.lightgbm_forecaster",
        libraries=("lightgbm", "scikit-learn", "numpy", "pandas"),
        converted=converted,
        rows=rows,
        healthy_rows=rows,
        threshold=threshold,
        split=SPLIT,
        metrics=_metrics(converted, series, scale, threshold),
    )
    return assemble(_CARD, _SPEC, trained, golden=_golden(converted, series), tolerances=TOLERANCES)


def fit(series: SensorSeries, n_readings: int) -> tuple[ConvertedModel, float]:
    """Return the model of the first readings as a graph, and its residuals' robust scale."""
    frame = lag_frame([series], n_lags=N_LAGS)[:n_readings]
    rows, targets = columns_of(frame, TRAINED_ON)[:-1], series.values[1:n_readings]
    value = np.array([TRAINED_ON.index("value")])
    scaling = Scaling(len(TRAINED_ON), (partial_step(MinMaxScaler().fit(rows[:, value]), value, len(TRAINED_ON)),))
    scaled = scaling.transform(rows)
    model = lightgbm.LGBMRegressor(**HYPERPARAMETERS, n_jobs=1, deterministic=True, force_row_wise=True)
    model.fit(scaled, targets)
    residuals = targets - np.asarray(model.booster_.predict(scaled, num_threads=1), np.float64)
    scale = round(robust_scale(residuals), 6)
    return convert_forecaster(scaling, model, trained_on=TRAINED_ON, features=FEATURES, scale=scale), scale


def rows_of(series: SensorSeries) -> NDArray[np.float64]:
    """Return (n, n_features) in the order of FEATURES, of every reading; the first thirteen are filled in."""
    frame = lag_frame([series], n_lags=N_LAGS + 1)
    frame["quality_lag_1"] = frame["quality"].shift(1).bfill()
    return columns_of(frame, FEATURES)


def _threshold(series: SensorSeries) -> float:
    converted, _ = fit(series, N_BEFORE_CALIBRATION)
    held_back = converted.source_score(rows_of(series)[N_BEFORE_CALIBRATION:N_TRAINING])
    return round(MARGIN * float(np.quantile(held_back, CALIBRATION_QUANTILE)), 4)


def _metrics(converted: ConvertedModel, series: SensorSeries, scale: float, threshold: float) -> dict[str, float]:
    def scores(one: SensorSeries) -> NDArray[np.float64]:
        return converted.source_score(rows_of(one))

    off = scores(series) * scale
    naive = np.abs(np.diff(series.values, prepend=np.nan))
    test, later = slice(N_TRAINING, N_READINGS), slice(N_READINGS, N_EVALUATED)
    verdicts = false_alarms(scores, [series], threshold, start=N_READINGS)
    return {
        "test_mae": float(off[test].mean()),
        "test_mae_of_last_value": float(naive[test].mean()),
        "test_improvement_share": float(1.0 - off[test].mean() / naive[test].mean()),
        "later_mae": float(off[later].mean()),
        "later_mae_of_last_value": float(naive[later].mean()),
        **{f"later_{name}": value for name, value in verdicts.items()},
        **faults_found(scores, [series], threshold, starts=FAULT_STARTS),
        "training_residual_scale": scale,
    }


def _golden(converted: ConvertedModel, series: SensorSeries) -> dict[str, NDArray[np.floating]]:
    """Every second reading around the end of the test, with a step in the last ones."""
    faulty, wanted = with_fault(series, "step", N_READINGS), slice(540, 620, 2)
    features = rows_of(faulty)[wanted]
    rows = histories(faulty.values, faulty.qualities, n_lags=N_LAGS + 1)[wanted]
    return {"rows": rows, "features": features, "scores": converted.source_score(features)}


_SPEC: Final = FeatureSpecEntry(
    extractor=FAMILY.name,
    features=tuple(
        FeatureEntry(name=f.name, version=f.version, unit=f.unit) for f in feature_ids(FAMILY.name, *FEATURES)
    ),
    sample_rate_hz=0.0,
    window_samples=0,
    hop_samples=0,
    parameters={"n_lags": N_LAGS + 1, "start": WHOLE, "step_s": float(STEP_S)},
)

_CARD: Final = ModelCard(
    name=NAME,
    version=VERSION,
    task="forecasting",
    description=(
        "How far sensor-001's reading is from what its twelve readings before foretold, in robust standard "
        "deviations of the training residuals. The graph also gives the prediction."
    ),
    training_data=TRAINING_DATA,
    limits=(
        "Synthetic data without memory: no model can foretell them better than their mean; see metrics.",
        "For sensor-001 only, readings five minutes apart. Not a safety function.",
        "Scores nothing until fourteen readings are there: an hour and five minutes after a start or a long gap.",
        "Follows a lasting change within an hour and then calls it normal; a stuck value is not seen.",
    ),
    notes=(
        (
            "Trees cannot foretell beyond what they were trained on; the residuals' scale is that of the training "
            "rows, and the threshold, chosen on held-back rows, is in that scale."
        ),
    ),
)
