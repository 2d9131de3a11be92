"""The platform's lag features by the library the platform used: pandas, over whole series.

Constraints
- Written from the description of its SensorFeatureTransformer and sharing no code with `edge_agent.dsp`: golden
  features made here test the edge.
- Per sensor: value_lag_k is the value k rows before; what is empty at the start is filled forward, then backward.
- Scaling is not done here: the columns are raw, a fitted scaler in front of the model does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from converters.training.synthetic_sensors import SensorSeries


def lag_frame(series: Sequence[SensorSeries], *, n_lags: int) -> pd.DataFrame:
    """Return columns sensor_id, position (row number within its sensor), value, quality, value_lag_1 to value_lag_n."""
    frame = pd.concat([_readings(one) for one in series], ignore_index=True)
    frame = frame.sort_values(["sensor_id", "timestamp"], kind="stable").reset_index(drop=True)
    by_sensor = frame.groupby("sensor_id")
    frame["position"] = by_sensor.cumcount()
    for lag in range(1, n_lags + 1):
        name = f"value_lag_{lag}"
        frame[name] = by_sensor["value"].shift(lag)
        frame[name] = frame.groupby("sensor_id")[name].ffill()
        frame[name] = frame.groupby("sensor_id")[name].bfill()
    return frame


def columns_of(frame: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    """Return (n, len(names)), float64."""
    return np.asarray(frame[list(names)].to_numpy(np.float64))


def _readings(series: SensorSeries) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sensor_id": series.sensor_id,
            "timestamp": series.times_s,
            "value": series.values,
            "quality": series.qualities,
        }
    )
