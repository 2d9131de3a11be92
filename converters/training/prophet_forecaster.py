"""`prophet_forecaster_enhanced_sensor-001`: what sensor-001 should read now, by the time alone.

Constraints
- The platform's recipe: Prophet with a daily seasonality, changepoint_prior_scale 0.1, seasonality_prior_scale 5.
- Split in time: 480 readings train, the next 120 are the test of the error, the three days after that test verdicts.
  The threshold comes from readings 385 to 480, by a model that has seen only those before them.
- A daily wave learned from two days is partly noise, so a forecast is off by more than its interval says. The
  threshold is half again the held-back quantile; a round number, not tuned.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from converters.bundle.assemble import ModelCard, TrainedModel, assemble
from converters.bundle.writer import BundleContent
from converters.graphs.converted import ConvertedModel
from converters.graphs.prophet_graph import convert_prophet
from converters.graphs.prophet_terms import SECONDS_PER_DAY, half_width, predicted, prophet_library, quietly, read_terms
from converters.proof.prophet_parity import measure_prophet
from converters.training.synthetic_sensors import (
    N_READINGS,
    READINGS_PER_DAY,
    TRAINING_DATA,
    SensorSeries,
    synthetic_sensor,
    with_fault,
)
from converters.training.tag_evaluation import false_alarms, faults_found
from edge_agent.bundles.manifest import FeatureEntry, FeatureSpecEntry, Tolerances
from edge_agent.dsp.catalog import feature_ids
from edge_agent.dsp.families.tag_forecast import FAMILY, LAYOUT

NAME: Final = "prophet_forecaster_enhanced_sensor-001"
VERSION: Final = "1.0.0"

HYPERPARAMETERS: Final = {
    "changepoint_prior_scale": 0.1,
    "seasonality_prior_scale": 5.0,
    "daily_seasonality": True,
    "weekly_seasonality": False,
    "yearly_seasonality": False,
}
N_TRAINING: Final = N_READINGS * 8 // 10
N_BEFORE_CALIBRATION: Final = N_TRAINING * 8 // 10
N_EVALUATED: Final = N_READINGS + 3 * READINGS_PER_DAY
SPLIT: Final = (
    f"in time: readings 1 to {N_TRAINING} train (the last {N_TRAINING - N_BEFORE_CALIBRATION} choose the "
    f"threshold for a model without them), the next {N_READINGS - N_TRAINING} test the error, three days "
    "after that test the verdicts"
)
FAULT_STARTS: Final = tuple(range(N_READINGS, N_EVALUATED - 100, 97))
CALIBRATION_QUANTILE: Final = 0.97
"""Every fiftieth reading is an outlier by construction: so much may be over it without being wrong."""

MARGIN: Final = 1.5

TOLERANCES: Final = Tolerances(feature_rtol=1e-6, feature_atol_std=0.0, score_atol=1e-4)


def build(_data: Path) -> BundleContent:
    """Return the bundle. Its data are generated, so the folder of training data is not looked at."""
    series = synthetic_sensor(1, N_EVALUATED)
    rows = rows_of(series)
    threshold = _threshold(series)
    model = fit(series, N_TRAINING)
    converted = convert_prophet(model)
    trained = TrainedModel(
        kind="Prophet",
        hyperparameters=HYPERPARAMETERS,
        converter="converters.graphs.prophet_graph",
        libraries=("prophet", "numpy", "pandas"),
        converted=converted,
        rows=rows[:N_TRAINING],
        healthy_rows=rows[:N_TRAINING],
        threshold=threshold,
        split=SPLIT,
        metrics=_metrics(model, converted, series, threshold),
    )
    parity = measure_prophet(converted, model, threshold=threshold)
    golden = _golden(converted, series)
    return assemble(_CARD, _SPEC, trained, golden=golden, tolerances=TOLERANCES, parity=parity)


def fit(series: SensorSeries, n_readings: int) -> Any:
    """Return a Prophet of the first readings. The same readings give the same numbers."""
    library = prophet_library()
    frame = pd.DataFrame(
        {"ds": series.times_s[:n_readings].astype("datetime64[s]"), "y": series.values[:n_readings]},
    )
    with quietly():
        return library.Prophet(**HYPERPARAMETERS).fit(frame, seed=0)


def rows_of(series: SensorSeries) -> NDArray[np.float64]:
    """Return (n, 3): day number, second of the day, value."""
    days, seconds = np.divmod(series.times_s, SECONDS_PER_DAY)
    return np.stack([days, seconds, series.values], axis=1).astype(np.float64)


def _threshold(series: SensorSeries) -> float:
    held_back = rows_of(series)[N_BEFORE_CALIBRATION:N_TRAINING]
    scores = convert_prophet(fit(series, N_BEFORE_CALIBRATION)).source_score(held_back)
    return round(MARGIN * float(np.quantile(scores, CALIBRATION_QUANTILE)), 4)


def _metrics(model: Any, converted: ConvertedModel, series: SensorSeries, threshold: float) -> dict[str, float]:
    rows = rows_of(series)
    off = np.abs(rows[:, 2] - predicted(model, rows[:, 0], rows[:, 1]))
    naive = np.abs(np.diff(rows[:, 2], prepend=np.nan))
    test, later = slice(N_TRAINING, N_READINGS), slice(N_READINGS, N_EVALUATED)

    def scores(one: SensorSeries) -> NDArray[np.float64]:
        return converted.source_score(rows_of(one))

    verdicts = false_alarms(scores, [series], threshold, start=N_READINGS)
    return {
        "test_mae": float(off[test].mean()),
        "test_mae_of_last_value": float(naive[test].mean()),
        "test_improvement_share": float(1.0 - off[test].mean() / naive[test].mean()),
        "later_mae": float(off[later].mean()),
        "later_mae_of_last_value": float(naive[later].mean()),
        **{f"later_{name}": value for name, value in verdicts.items()},
        **faults_found(scores, [series], threshold, starts=FAULT_STARTS),
        **{f"half_width_after_{days}_days": _half_width_after(model, days) for days in (0, 1, 7, 30)},
    }


def _half_width_after(model: Any, days: int) -> float:
    terms = read_terms(model)
    day, second = divmod(terms.start_s + terms.span_s, SECONDS_PER_DAY)
    return float(half_width(terms, np.array([day + days]), np.array([second]))[0])


def _golden(converted: ConvertedModel, series: SensorSeries) -> dict[str, NDArray[np.floating]]:
    """Readings of the history and after it, with a step in the last ones, and two years before and after."""
    rows = rows_of(with_fault(series, "step", N_READINGS))[440:620:4]
    far = np.repeat(rows[:1], 2, axis=0)
    far[:, 0] += np.array([-730.0, 730.0])
    features = np.concatenate([rows, far])
    return {"rows": features.astype(np.float32), "features": features, "scores": converted.source_score(features)}


_SPEC: Final = FeatureSpecEntry(
    extractor=FAMILY.name,
    features=tuple(
        FeatureEntry(name=f.name, version=f.version, unit=f.unit) for f in feature_ids(FAMILY.name, *LAYOUT)
    ),
    sample_rate_hz=0.0,
    window_samples=0,
    hop_samples=0,
    parameters={},
)

_CARD: Final = ModelCard(
    name=NAME,
    version=VERSION,
    task="forecasting",
    description=(
        "How far sensor-001 is from its forecast, in half widths of the forecast's 80 % interval. The graph also "
        "gives yhat, yhat_lower and yhat_upper."
    ),
    training_data=TRAINING_DATA,
    limits=(
        "Synthetic data without a daily wave or a trend: a demonstration of a forecast, not evidence about any sensor.",
        "Fitted on 40 hours of one sensor. It is for that sensor only, and ages: see half_width_after_30_days.",
        "Knows nothing but the time: after a lasting change of the plant it is wrong until it is fitted again.",
        "A stuck value inside the interval is not seen. Needs a synchronised clock. Not a safety function.",
    ),
    notes=(
        "Prophet samples its interval; here it is computed from the same model, see docs/FORECASTING.md.",
        "The threshold is in half widths: 1 is the edge of the 80 % interval, which one in five readings crosses.",
    ),
)
