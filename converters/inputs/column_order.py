"""Whether the card names the model's columns in the model's order, where the model knows no names of its own.

A model tells its columns apart by position alone: two that are named in the wrong order give a bundle that proves well
and scores nonsense. But it shows where each of its columns lies: by its splits, its support vectors, its centre, or
exactly, by the means and spreads of the StandardScaler in front. The rows of the card's tables show where each named
column lies. Of all assignments of names to columns, the card's must be better than every other by a clear margin.

Constraints
- Too alike to tell is not "right": then a person has to say so, with feature_names_confirmed in the card.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.preprocessing import StandardScaler

from converters.errors import CardError
from converters.graphs.converted import ConvertedModel
from converters.graphs.sklearn_pipelines import first_estimator

Rows = NDArray[np.float64]

MARGIN: Final = 1.0
"""How much further off the next best assignment must be, in sums of both columns' robust spreads."""

FAR: Final = 10.0
"""No distance counts for more: two columns of other units are simply apart."""

FEW: Final = 5
"""Splits of a column under which their spread says nothing."""

LIKE_SPREADS: Final = 3.0
"""Splits crowd where classes part: spreads within this factor of each other are no difference."""

EXACT: Final = 1e-6
_NORMAL_IQR: Final = 1.349
CONFIRM: Final = (
    "ask whoever trained it for the order of its columns; when the card has it, write feature_names_confirmed = true "
    "under [features]"
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a column lies: a middle and a spread, NaN where nothing is known."""

    middle: float
    spread: float


def order_of_history() -> CardError:
    """Return what is wrong with a forecaster that knows no names: one reading lies where the next does."""
    return CardError(
        "the model knows no names for its columns, and those of a history are too alike to be told apart",
        where="forecast.trained_on",
        hint=CONFIRM,
    )


def order_problem(
    model: Any, converted: ConvertedModel, names: Sequence[str], tables: Sequence[Rows]
) -> CardError | None:
    """Return what is wrong with the card's order of names, or None when rows of its tables bear it out.

    `tables` are rows (n, n_features) under those names; any one of them may be what the model was trained on.
    """
    if len(names) == 1 or any(_is_exact(model, table) for table in tables):
        return None
    known = [_place(values) for values in _known_values(converted, len(names))]
    given = [_place(column) for column in np.concatenate(list(tables)).T]
    distance = np.array([[_distance(ours, theirs) for theirs in given] for ours in known])
    looked_at = [column for column, place in enumerate(known) if np.isfinite(place.middle)]
    if (gain := _gain_of_another(distance, looked_at)) <= -MARGIN:
        return CardError(
            f"the names stand in another order than the model's columns: by their values, its columns are "
            f"{', '.join(names[column] for column in _best(distance))}",
            where="features.names",
            hint="name them in the order of training; if the tables show other conditions than the training's, "
            + CONFIRM,
        )
    if gain < MARGIN:
        return CardError(
            "the model knows no names for its columns, and by their values "
            f"{_alike(distance, names)} could as well be exchanged",
            where="features.names",
            hint=CONFIRM,
        )
    return None


def _is_exact(model: Any, table: Rows) -> bool:
    """Whether the scaler in front was fitted on this very table, and no two columns of it are alike."""
    first = first_estimator(model)
    if not isinstance(first, StandardScaler) or first.mean_ is None or first.scale_ is None:
        return False
    means, spreads = table.mean(axis=0), table.std(axis=0)
    if len(first.mean_) != len(means):
        return False
    scale = np.abs(means) + spreads
    differs = np.maximum(np.abs(means[:, None] - first.mean_), np.abs(spreads[:, None] - first.scale_))
    is_same = differs <= EXACT * scale[:, None]
    return bool(np.array_equal(is_same, np.eye(len(means), dtype=bool)))


def _known_values(converted: ConvertedModel, n: int) -> list[Rows]:
    if converted.seen is not None:
        return list(converted.seen.T)
    splits = converted.split_values.astype(np.float64)
    is_inside = np.abs(splits) < np.finfo(np.float32).max
    return [splits[is_inside & (converted.split_features == column)] for column in range(n)]


def _place(values: Rows) -> _Place:
    if not len(values):
        return _Place(np.nan, np.nan)
    low, middle, high = np.percentile(values, [25, 50, 75])
    spread = float(high - low) / _NORMAL_IQR if len(values) >= FEW else np.nan
    return _Place(float(middle), spread)


def _distance(ours: _Place, theirs: _Place) -> float:
    if np.isnan(ours.middle):
        return 0.0  # the model never looks at it
    spreads = [spread for spread in (ours.spread, theirs.spread) if np.isfinite(spread)]
    reach = max(sum(spreads) * (2.0 / max(1, len(spreads))), float(np.finfo(np.float32).tiny))
    apart = min(FAR, abs(ours.middle - theirs.middle) / reach)
    if len(spreads) == 2 and min(spreads) > 0:
        apart += min(FAR, max(0.0, abs(float(np.log(spreads[0] / spreads[1]))) - float(np.log(LIKE_SPREADS))))
    return apart


def _gain_of_another(distance: Rows, looked_at: Sequence[int]) -> float:
    """How much further off than the card's the best of all other assignments is; negative when it is nearer.

    Those that exchange nothing but columns the model never looks at give the same scores, and do not count.
    """
    found = [np.inf]
    for column in looked_at:
        others = distance.copy()
        others[column, column] = FAR * FAR * len(distance)  # never taken
        found.append(float(others[linear_sum_assignment(others)].sum()))
    return min(found) - float(np.trace(distance))


def _best(distance: Rows) -> list[int]:
    return [int(column) for column in linear_sum_assignment(distance)[1]]


def _alike(distance: Rows, names: Sequence[str]) -> str:
    """The pair whose exchange costs least."""
    n = len(names)
    cost = distance + distance.T - np.diag(distance)[:, None] - np.diag(distance)[None, :]
    cost[np.tril_indices(n)] = np.inf
    first, second = divmod(int(np.argmin(cost)), n)
    return f"{names[first]} and {names[second]}"
