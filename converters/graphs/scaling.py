"""The scalers in front of a model as one exact function of each column, and as one affine map.

Constraints
- Each step repeats its scaler's own float64 operations in their own order, so that a split moved back through the
  steps stands exactly where the source puts it. Every step is non-decreasing in its column.
- The affine form rounds differently in the last digits of float64; it serves models without splits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from converters.errors import UnsupportedModelError
from converters.graphs.source_rows import as_fitted

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ScalingStep:
    """clip(((x - subtract) / divide) * multiply + add, low, high) per column; 0, 1 and infinities leave x as it is.

    `transform` is the source scaler's own, rows to rows, and `name` its class.
    """

    name: str
    transform: Callable[[Rows], Rows]
    subtract: Rows
    divide: Rows
    multiply: Rows
    add: Rows
    low: float = -np.inf
    high: float = np.inf

    def of_columns(self, values: Rows, columns: NDArray[np.int64]) -> Rows:
        """Return `values[i]` as this step leaves it in column `columns[i]`."""
        with np.errstate(over="ignore"):  # beyond float64's range is infinity, which compares as it should
            scaled = (values - self.subtract[columns]) / self.divide[columns]
            scaled = scaled * self.multiply[columns] + self.add[columns]
        return np.clip(scaled, self.low, self.high)


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """Steps in order over `n_features` raw columns. No steps: the model saw raw values."""

    n_features: int
    steps: tuple[ScalingStep, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return classes of the source scalers, in order."""
        return tuple(step.name for step in self.steps)

    def transform(self, rows: Rows) -> Rows:
        """Scale by the source scalers themselves."""
        for step in self.steps:
            rows = step.transform(rows)
        return rows

    def of_columns(self, values: Rows, columns: NDArray[np.int64]) -> Rows:
        """Return `values[i]` as all steps leave it in column `columns[i]`."""
        for step in self.steps:
            values = step.of_columns(values, columns)
        return values

    def affine(self) -> tuple[Rows, Rows]:
        """Return (centre, slope) with scaled = (x - centre) * slope. Raises UnsupportedModelError when a step clips."""
        slope, offset = np.ones(self.n_features), np.zeros(self.n_features)
        for step in self.steps:
            if np.isfinite([step.low, step.high]).any():
                raise UnsupportedModelError(
                    "a scaler clips its values (clip=True), which this kind of model cannot take into its graph",
                    hint="fit the scaler with clip=False",
                )
            factor = step.multiply / step.divide
            slope = slope * factor
            offset = (offset - step.subtract) * factor + step.add
        return -offset / slope, slope


def scaling_of(scalers: Any, n_features: int | None = None) -> Scaling:
    """Return one fitted scaler, several in order, or a Scaling as it is.

    Raises UnsupportedModelError for a step that is no scaler known here; names it.
    """
    if isinstance(scalers, Scaling):
        return scalers
    in_order = list(scalers) if isinstance(scalers, list | tuple) else [scalers]
    if not in_order and n_features is None:
        raise ValueError("without a scaler the number of features must be given")
    width = n_features if n_features is not None else int(in_order[0].n_features_in_)
    return Scaling(width, tuple(scaling_step(scaler, width) for scaler in in_order))


def is_scaler(step: Any) -> bool:
    """Return whether `scaling_step` knows this kind."""
    return type(step) in _STEPS


def scaling_step(scaler: Any, n_features: int) -> ScalingStep:
    """Return the step of one fitted scaler.

    Raises UnsupportedModelError for another kind, an unfitted or a narrower one.
    """
    if not is_scaler(scaler):
        known = ", ".join(kind.__name__ for kind in _STEPS)
        raise UnsupportedModelError(f"{type(scaler).__name__} is not a scaler known here; known: {known}")
    if getattr(scaler, "n_features_in_", None) != n_features:
        raise UnsupportedModelError(
            f"{type(scaler).__name__} was fitted on {getattr(scaler, 'n_features_in_', 'no')} columns, "
            f"the model takes {n_features}",
            hint="fit the whole pipeline in one go",
        )
    return _STEPS[type(scaler)](scaler, n_features)


def partial_step(scaler: MinMaxScaler, columns: NDArray[np.int64], n_features: int) -> ScalingStep:
    """Return a min-max scaler that was fitted on some columns only and leaves the others as they are."""
    inner = scaling_step(scaler, len(columns))

    def transform(rows: Rows) -> Rows:
        scaled = rows.copy()
        scaled[:, columns] = inner.transform(rows[:, columns])
        return scaled

    if np.isfinite([inner.low, inner.high]).any():
        raise UnsupportedModelError("the lag transformer's scaler clips its values", hint="fit it with clip=False")
    multiply, add = np.ones(n_features), np.zeros(n_features)
    multiply[columns], add[columns] = inner.multiply, inner.add
    return ScalingStep(f"lags, {inner.name}", transform, np.zeros(n_features), np.ones(n_features), multiply, add)


def _standard(scaler: StandardScaler, n: int) -> ScalingStep:
    return _shifted_and_divided(scaler, scaler.mean_ if scaler.with_mean else None, scaler.scale_, n)


def _robust(scaler: RobustScaler, n: int) -> ScalingStep:
    center = scaler.center_ if scaler.with_centering else None
    return _shifted_and_divided(scaler, center, scaler.scale_ if scaler.with_scaling else None, n)


def _max_abs(scaler: MaxAbsScaler, n: int) -> ScalingStep:
    bounds = (-1.0, 1.0) if getattr(scaler, "clip", False) else (-np.inf, np.inf)
    return _shifted_and_divided(scaler, None, scaler.scale_, n, bounds)


def _min_max(scaler: MinMaxScaler, n: int) -> ScalingStep:
    low, high = scaler.feature_range if scaler.clip else (-np.inf, np.inf)
    multiply, add = (np.asarray(part, np.float64) for part in (scaler.scale_, scaler.min_))
    transform = _transform_of(scaler)
    return ScalingStep("MinMaxScaler", transform, np.zeros(n), np.ones(n), multiply, add, float(low), float(high))


def _shifted_and_divided(
    scaler: Any, centre: Rows | None, scale: Rows | None, n: int, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> ScalingStep:
    subtract = np.zeros(n) if centre is None else np.asarray(centre, np.float64)
    divide = np.ones(n) if scale is None else np.asarray(scale, np.float64)
    name, transform = type(scaler).__name__, _transform_of(scaler)
    return ScalingStep(name, transform, subtract, divide, np.ones(n), np.zeros(n), *bounds)


def _transform_of(scaler: Any) -> Callable[[Rows], Rows]:
    return lambda rows: np.asarray(scaler.transform(as_fitted(scaler, rows)), np.float64)


_STEPS: dict[type, Callable[[Any, int], ScalingStep]] = {
    StandardScaler: _standard,
    MinMaxScaler: _min_max,
    RobustScaler: _robust,
    MaxAbsScaler: _max_abs,
}
