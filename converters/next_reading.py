"""A model file that forecasts a tag's next reading, as its card says, as an anomaly score of the reading that came.

The model's inputs are those of the row before, under the names they had in training; the card's features are the
agent's, one reading later (see `converters.graphs.lightgbm_forecaster`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import MinMaxScaler

from converters.errors import CardError, UnsupportedModelError
from converters.graphs.converted import ConvertedModel
from converters.graphs.lightgbm_forecaster import as_seen_one_later, convert_forecaster, robust_scale
from converters.graphs.scaling import Scaling, partial_step
from converters.graphs.sklearn_pipelines import unpack
from converters.kinds import SourceDescription, check_known_order, describe


@dataclass(frozen=True, slots=True)
class NextReading:
    """How a model forecasts. `min_max` are columns that were scaled in front of it, outside of its file: (low, high) of
    the training values. `scale` is what a difference is counted in, None for the robust one of the healthy rows."""

    trained_on: tuple[str, ...]
    min_max: Mapping[str, tuple[float, float]]
    scale: float | None


def convert_next_reading(
    model: Any, how: NextReading, *, features: Sequence[str], healthy: NDArray[np.float64]
) -> tuple[ConvertedModel, SourceDescription, str]:
    """Return graph, description, and in words what the score is counted in. `healthy` is (n, n_features).

    Raises CardError when a feature is missing, UnsupportedModelError for a model other than an LGBMRegressor.
    """
    columns = _columns(how, features)
    scaling, last = unpack(model, len(how.trained_on))
    if type(last).__name__ != "LGBMRegressor" or last.n_features_in_ != len(how.trained_on):
        raise UnsupportedModelError(
            f"[forecast] needs an LGBMRegressor over {len(how.trained_on)} columns, not this {type(last).__name__}",
            hint="save the LGBMRegressor itself, not its Booster, and name its inputs in forecast.trained_on",
        )
    check_known_order(model, how.trained_on)
    scaling = Scaling(scaling.n_features, (*_in_front(how), *scaling.steps))
    scale, words = how.scale, "The score is counted in the card's scale."
    if scale is None:
        forecast = last.booster_.predict(scaling.transform(healthy[:, columns]), num_threads=1)
        scale = robust_scale(healthy[:, list(features).index("value")] - np.asarray(forecast, np.float64))
        words = f"The score is counted in {scale:g}, the robust standard deviation of the healthy rows' residuals."
    if not scale > 0:
        raise CardError("the healthy rows' residuals are all alike", where="forecast.scale", hint="give forecast.scale")
    converted = convert_forecaster(scaling, last, trained_on=how.trained_on, features=features, scale=scale)
    described = describe(model, len(how.trained_on))
    kind = " + ".join([*scaling.names, type(last).__name__])
    return (
        converted,
        SourceDescription(
            kind, "forecasting", "converters.graphs.lightgbm_forecaster", described.hyperparameters, described.libraries
        ),
        words,
    )


def _columns(how: NextReading, features: Sequence[str]) -> list[int]:
    wanted = [*map(as_seen_one_later, how.trained_on), "value"]
    missing = [name for name in wanted if name not in features]
    if missing:
        raise CardError(
            f"a forecast from {', '.join(how.trained_on)} needs {', '.join(missing)} among the features",
            where="features.names",
            hint="the features are one reading later: value was value_lag_1, value_lag_1 was value_lag_2",
        )
    return [list(features).index(name) for name in wanted[:-1]]


def _in_front(how: NextReading) -> list[Any]:
    if not how.min_max:
        return []
    unknown = [name for name in how.min_max if name not in how.trained_on]
    if unknown:
        raise CardError(f"{', '.join(unknown)} is not in trained_on", where="forecast.min_max", hint="name it as there")
    columns = np.array([how.trained_on.index(name) for name in how.min_max])
    scaler = MinMaxScaler().fit(np.array(list(how.min_max.values()), np.float64).T)
    return [partial_step(scaler, columns, len(how.trained_on))]
