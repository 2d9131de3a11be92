"""The graph of a Prophet says what Prophet says, years away and at every changepoint."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from converters.errors import ModelFileError, UnsupportedModelError
from converters.graphs.converted import ConvertedModel
from converters.graphs.prophet_graph import FORECAST_OUTPUTS, convert_prophet
from converters.graphs.prophet_terms import (
    SECONDS_PER_DAY,
    half_width,
    load_prophet,
    predicted,
    prophet_library,
    quietly,
    read_terms,
)
from converters.graphs.tree_ensemble import INPUT_NAME, OUTPUT_NAME
from converters.proof.prophet_parity import DECADES_S, measure_prophet, parity_rows
from edge_agent.bundles.onnx_runtime import OnnxModel

SHIFT = {"name": "shift", "period": 1 / 3, "fourier_order": 3, "mode": "multiplicative"}
PLAIN = {"daily_seasonality": False, "weekly_seasonality": False, "yearly_seasonality": False}

VARIANTS: dict[str, dict[str, Any]] = {
    "linear": {"changepoint_prior_scale": 0.1, "weekly_seasonality": False},
    "multiplicative": {"seasonality_mode": "multiplicative", "step": "1h", "weekly_seasonality": True},
    "both modes and minmax": {"seasonalities": [SHIFT], "scaling": "minmax", "interval_width": 0.95},
    "flat": {"growth": "flat"},
    "logistic": {"growth": "logistic", "cap": 120.0},
    "logistic above a floor": {"growth": "logistic", "cap": 120.0, "floor": 10.0},
    "no changepoints, no seasonality": {"n_changepoints": 0, **PLAIN},
    "a value that never changes": {"level": 40.0, "noise": 0.0, **PLAIN},
}


def series(
    *, n: int = 480, step: str = "5min", level: float = 50.0, noise: float = 3.0, bend: float = 20.0
) -> pd.DataFrame:
    """Seeded readings with a bend, a wave and noise, from a second that is no midnight."""
    rng = np.random.default_rng(1)
    x = np.arange(n) / n
    y = level + noise * (rng.standard_normal(n) + np.sin(2 * np.pi * 5 * x)) + (bend * np.abs(x - 0.4) if noise else 0)
    return pd.DataFrame({"ds": pd.date_range("2026-01-05 03:07:11", periods=n, freq=step), "y": y})


@cache
def fitted(variant: str) -> Any:
    options = dict(VARIANTS[variant])
    frame = series(**{name: options.pop(name) for name in ("step", "level", "noise") if name in options})
    for column in ("cap", "floor"):
        if column in options:
            frame[column] = options.pop(column)
    seasonalities = options.pop("seasonalities", [])
    model = prophet_library().Prophet(**options)
    for seasonality in seasonalities:
        model.add_seasonality(**seasonality)
    with quietly():
        return model.fit(frame, seed=0)


def run(converted: ConvertedModel, output: str, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    model = OnnxModel(converted.onnx, input_name=INPUT_NAME, output_name=output, n_features=3)
    return model.score(rows).astype(np.float64)


@pytest.mark.parametrize("variant", VARIANTS)
def test_yhat_is_prophets_and_the_interval_is_the_formulas(variant: str):
    model = fitted(variant)
    terms, converted = read_terms(model), convert_prophet(model)
    rows = parity_rows(terms, n_rows=5_000)
    rows = rows[np.abs(rows[:, 2]) < 1e6]
    days, seconds = rows[:, 0].astype(np.float64), rows[:, 1].astype(np.float64)
    yhat, lower, upper = (run(converted, name, rows) for name in FORECAST_OUTPUTS)
    np.testing.assert_allclose(yhat, predicted(model, days, seconds), rtol=1e-5, atol=1e-30)
    half = half_width(terms, days, seconds)
    rounding = 2e-7 * np.abs(yhat)
    assert (np.abs((upper - lower) / 2 - half) <= 1e-6 * half + rounding).all()
    expected = converted.source_score(rows.astype(np.float64))
    np.testing.assert_allclose(run(converted, OUTPUT_NAME, rows), expected, rtol=1e-5, atol=1e-5)


def test_a_hundred_thousand_instants_agree_and_reach_decades():
    model = fitted("linear")
    figures = measure_prophet(convert_prophet(model), model, threshold=1.0)
    assert figures.rows >= 100_000
    assert figures.max_abs_difference < 1e-5
    assert figures.verdict_flips == 0
    since_s = parity_rows(read_terms(model))[:, 0] * SECONDS_PER_DAY - read_terms(model).start_s
    assert since_s.min() < -0.9 * DECADES_S
    assert since_s.max() > 0.9 * DECADES_S


def test_the_score_is_one_on_the_edge_of_the_interval_and_grows_outwards():
    model = fitted("linear")
    converted, terms = convert_prophet(model), read_terms(model)
    day, second = divmod(int(terms.start_s + 1.2 * terms.span_s), SECONDS_PER_DAY)
    yhat = predicted(model, np.array([float(day)]), np.array([float(second)]))[0]
    half = half_width(terms, np.array([float(day)]), np.array([float(second)]))[0]
    values = [yhat, yhat + half, yhat - half, yhat + 3 * half]
    scores = run(converted, OUTPUT_NAME, np.array([[day, second, value] for value in values], np.float32))
    np.testing.assert_allclose(scores, [0.0, 1.0, 1.0, 3.0], atol=1e-5)


@pytest.mark.parametrize("variant", ["flat", "a value that never changes"])
def test_a_score_stays_finite_for_any_value(variant: str):
    converted = convert_prophet(fitted(variant))
    rows = np.array([[20_458, 0, value] for value in (3e38, -3e38, 0.0)], np.float32)
    assert np.isfinite(run(converted, OUTPUT_NAME, rows)).all()


def test_prophets_own_serialisation_gives_the_same_graph():
    from prophet.serialize import model_to_json

    model = fitted("both modes and minmax")
    assert convert_prophet(load_prophet(model_to_json(model))).onnx == convert_prophet(model).onnx


@pytest.mark.parametrize("text", ["", "{}", "[1, 2]", '{"growth": "linear"}'])
def test_a_file_that_is_no_prophet_is_refused_in_words(text: str):
    with pytest.raises(ModelFileError, match="not a serialised Prophet"):
        load_prophet(text)


def with_regressor(model: Any, frame: pd.DataFrame) -> None:
    model.add_regressor("load")
    frame["load"] = np.linspace(0, 1, len(frame))


def with_condition(model: Any, frame: pd.DataFrame) -> None:
    model.add_seasonality(name="night", period=1, fourier_order=2, condition_name="is_night")
    frame["is_night"] = frame["ds"].dt.hour < 6


def with_holidays(model: Any, frame: pd.DataFrame) -> None:
    model.holidays = pd.DataFrame({"holiday": "closed", "ds": pd.to_datetime(["2026-01-05"])})


def with_a_cap_that_grows(model: Any, frame: pd.DataFrame) -> None:
    model.growth = "logistic"
    frame["cap"] = np.linspace(100, 200, len(frame))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_regressor, r"extra regressors \(load\)"),
        (with_condition, "seasonality night holds under a condition"),
        (with_holidays, "knows holidays"),
        (with_a_cap_that_grows, "cap changes in time"),
    ],
)
def test_what_has_no_graph_is_refused_by_name(change: Any, said: str):
    model, frame = prophet_library().Prophet(**PLAIN), series(n=60)
    change(model, frame)
    with quietly():
        model.fit(frame, seed=0)
    with pytest.raises(UnsupportedModelError, match=said):
        convert_prophet(model)


def test_a_prophet_that_is_not_fitted_is_refused():
    with pytest.raises(UnsupportedModelError, match="not fitted"):
        convert_prophet(prophet_library().Prophet())


def test_posterior_samples_are_refused_and_counted():
    model = load_prophet(serialised_with_two_samples())
    with pytest.raises(UnsupportedModelError, match="2 posterior samples"):
        convert_prophet(model)


def serialised_with_two_samples() -> str:
    from prophet.serialize import model_to_json

    model = load_prophet(model_to_json(fitted("linear")))
    model.params = {name: np.concatenate([value, value]) for name, value in model.params.items()}
    return str(model_to_json(model))
