"""Of a model that knows no names, the card's order is borne out by values, or a person confirms it."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import OneClassSVM

from converters.errors import CardError
from converters.inputs.column_order import order_problem
from converters.kinds import convert, names_of

NAMES = ("temp", "press", "vib", "speed")
RNG = np.random.default_rng(2)
ROWS = RNG.standard_normal((400, 4)) * [7, 900, 0.2, 15] + [58, 101_000, 0.9, 1_480]
OTHERS = RNG.standard_normal((400, 4)) * [6, 950, 0.25, 12] + [60, 101_300, 0.8, 1_475]
FAULTY = ((ROWS[:, 0] > 62) & (ROWS[:, 2] > 0.9)).astype(int)

MODELS: dict[str, Any] = {
    "isolation forest": IsolationForest(n_estimators=20, random_state=0),
    "scaled isolation forest": make_pipeline(MinMaxScaler(), IsolationForest(n_estimators=20, random_state=0)),
    "random forest": make_pipeline(StandardScaler(), RandomForestClassifier(10, random_state=0)),
    "histogram boosting": HistGradientBoostingClassifier(max_iter=20),
    "one-class svm": make_pipeline(RobustScaler(), OneClassSVM(nu=0.1)),
    "elliptic envelope": EllipticEnvelope(random_state=0),
    "booster": lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1),
}


def problem(model: Any, names: tuple[str, ...], *tables: np.ndarray) -> CardError | None:
    return order_problem(model, convert(model, feature_names=names), names, tables)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("swap", [(0, 1), (0, 2), (2, 3)], ids=["temp-press", "temp-vib", "vib-speed"])
def test_the_right_order_passes_and_two_names_exchanged_are_refused(name: str, swap: tuple[int, int]) -> None:
    """By rows of another day. A table's columns follow the card's names, so wrong names give exchanged columns."""
    model = MODELS[name].fit(ROWS, FAULTY)
    assert problem(model, NAMES, OTHERS) is None
    order = list(range(4))
    order[swap[0]], order[swap[1]] = swap[1], swap[0]
    wrong = problem(model, tuple(NAMES[i] for i in order), OTHERS[:, order])
    assert wrong is not None
    assert wrong.where == "features.names"
    assert wrong.message.startswith("the names stand in another order than the model's columns")


def test_a_ring_of_three_is_found_too() -> None:
    model = IsolationForest(n_estimators=20, random_state=0).fit(ROWS)
    order = [1, 2, 0, 3]
    wrong = problem(model, tuple(NAMES[i] for i in order), OTHERS[:, order])
    assert "its columns are temp, press, vib, speed" in str(wrong)


def test_columns_that_are_alike_ask_a_person() -> None:
    alike = RNG.standard_normal((400, 3)) * [1, 1, 50] + [20, 20.2, 900]
    model = IsolationForest(n_estimators=20, random_state=0).fit(alike)
    asked = problem(model, ("bearing_a", "bearing_b", "speed"), alike)
    assert asked is not None
    assert "bearing_a and bearing_b could as well be exchanged" in asked.message
    assert "feature_names_confirmed = true" in str(asked.hint)


def test_a_scaler_fitted_on_the_very_table_tells_alike_columns_apart() -> None:
    alike = RNG.standard_normal((400, 3)) * [1, 1, 50] + [20, 20.2, 900]
    names = ("bearing_a", "bearing_b", "speed")
    model = make_pipeline(StandardScaler(), IsolationForest(n_estimators=20, random_state=0)).fit(alike)
    assert problem(model, names, alike) is None
    assert problem(model, names, alike[:200], alike) is None, "one of the tables is enough"
    assert problem(model, ("bearing_b", "bearing_a", "speed"), alike[:, [1, 0, 2]]) is not None


def test_columns_the_model_never_looks_at_may_stand_in_any_order() -> None:
    model = RandomForestClassifier(5, random_state=0).fit(ROWS * [1, 0, 0, 1], (ROWS[:, 0] > 60).astype(int))
    assert problem(model, NAMES, OTHERS) is None
    assert problem(model, ("temp", "vib", "press", "speed"), OTHERS[:, [0, 2, 1, 3]]) is None
    assert problem(model, ("vib", "press", "temp", "speed"), OTHERS[:, [2, 1, 0, 3]]) is not None


def test_one_column_has_one_order() -> None:
    model = IsolationForest(n_estimators=5, random_state=0).fit(ROWS[:, :1])
    assert problem(model, ("temp",), OTHERS[:, :1]) is None


def test_names_of_a_booster_count_unless_it_made_them_up_itself() -> None:
    named = lightgbm.train({"verbose": -1}, lightgbm.Dataset(ROWS, FAULTY, feature_name=list(NAMES)), 2)
    assert names_of(named) == NAMES
    assert names_of(lightgbm.train({"verbose": -1}, lightgbm.Dataset(ROWS, FAULTY), 2)) == ()
    assert names_of(lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(ROWS, FAULTY)) == ()
