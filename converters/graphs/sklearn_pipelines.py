"""A fitted pipeline taken apart: scalers in order, then one model; any other step is refused by name.

The platform's lag transformer (`SensorFeatureTransformer`: lags of one value, min-max scaling of the value and its
companions) is half feature, half scaler. The agent computes the lags, padded forward then backward, so they are the
model's inputs; the scaling goes into the graph. The inputs are then, in this order, value_lag_1 .. value_lag_n and the
scaled columns in raw units.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from sklearn.pipeline import Pipeline

from converters.errors import UnsupportedModelError
from converters.graphs.scaling import Scaling, ScalingStep, is_scaler, partial_step, scaling_step

_DEEPEST: Final = 16
LAG_TRANSFORMER: Final = "SensorFeatureTransformer"
_LAG_ATTRIBUTES: Final = ("n_lags", "scale_columns", "scaler")


def unpack(model: Any, n_features: int) -> tuple[Scaling, Any]:
    """Return the scalers in front and the model behind them. A model without a pipeline stands alone.

    Raises UnsupportedModelError, naming the step, for one that is neither scaler nor lag transformer, or when the
    number of features is another one.
    """
    *steps, (_, last) = _flat("", model) or [("", None)]
    in_front = [(name, step) for name, step in steps if not _is_nothing(step)]
    scaling = Scaling(n_features, tuple(_step(name, step, n_features) for name, step in in_front))
    if _is_nothing(last):
        raise UnsupportedModelError("the pipeline ends without a model", hint="add the model as its last step")
    return scaling, last


def first_estimator(model: Any) -> Any:
    """Return the one that sees the raw columns, with the names they had in training."""
    return next((step for _, step in _flat("", model) if not _is_nothing(step)), model)


def is_lag_transformer(step: Any) -> bool:
    return type(step).__name__ == LAG_TRANSFORMER and all(hasattr(step, name) for name in _LAG_ATTRIBUTES)


def lag_feature_names(step: Any) -> tuple[str, ...]:
    """Return the model's inputs in raw units, in the order its columns had in training."""
    return (*(f"value_lag_{lag}" for lag in range(1, step.n_lags + 1)), *step.scale_columns)


def _is_nothing(step: Any) -> bool:
    """A place of a pipeline that was left empty. An array, which a file may hold too, is no answer to `==`."""
    return step is None or (isinstance(step, str) and step == "passthrough")


def _flat(name: str, step: Any, depth: int = 0) -> list[tuple[str, Any]]:
    if not isinstance(step, Pipeline):
        return [(name, step)]
    if depth > _DEEPEST:
        raise UnsupportedModelError(
            f"the pipeline holds pipelines {_DEEPEST} deep, or itself", hint="put its steps into one pipeline"
        )
    try:
        pairs = [(str(inner), part) for inner, part in step.steps]
    except (AttributeError, TypeError, ValueError) as exc:
        raise UnsupportedModelError(
            "the steps of the pipeline are no pairs of a name and a step", hint="make it as scikit-learn does"
        ) from exc
    return [found for inner, part in pairs for found in _flat(f"{name}.{inner}" if name else inner, part, depth + 1)]


def _step(name: str, step: Any, n_features: int) -> ScalingStep:
    if is_scaler(step):
        return scaling_step(step, n_features)
    if is_lag_transformer(step):
        return _lag_step(name, step, n_features)
    raise UnsupportedModelError(
        f"step {name!r} of the pipeline is a {type(step).__name__}, which has no exact place in the graph",
        hint=_what_to_do(step),
    )


def _lag_step(name: str, step: Any, n_features: int) -> ScalingStep:
    inputs = lag_feature_names(step)
    if len(inputs) != n_features:
        raise UnsupportedModelError(
            f"step {name!r} makes {len(inputs)} columns, {n_features} features are named",
            hint=f"name them in this order: {', '.join(inputs)}",
        )
    seen = list(getattr(step, "_feature_names", []))  # it keeps what its last transform gave under this name
    expected = [*inputs[: step.n_lags], *(f"{column}_scaled" for column in step.scale_columns)]
    if seen and seen != expected:
        raise UnsupportedModelError(
            f"step {name!r} gave the columns {', '.join(seen)}, expected {', '.join(expected)}",
            hint="train on sensor_id, timestamp and the scaled columns only",
        )
    return partial_step(step.scaler, np.arange(step.n_lags, n_features), n_features)


def _what_to_do(step: Any) -> str:
    if type(step).__name__ in ("ColumnTransformer", "FeatureUnion"):
        return (
            "make its columns features of their own: let the agent compute them, in the model's order, and fit one "
            "scaler over all of them"
        )
    if hasattr(step, "predict"):
        return "only the last step may be a model"
    return "leave it out and train again, or make what it computes a feature family of the agent"
