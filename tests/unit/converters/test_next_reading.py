"""A LightGBM that forecasts the next reading goes through the one door, when its card says what it was trained on."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner, Result

from converters.cli import app
from converters.errors import CardError, UnsupportedModelError
from converters.graphs.lightgbm_forecaster import as_seen_one_later
from converters.training import lightgbm_challenger as shipped
from converters.training.lag_frame import columns_of, lag_frame
from converters.training.synthetic_sensors import synthetic_sensor
from edge_agent.bundles.store import BundleStore
from edge_agent.dsp.families.tag_history import histories
from tests.support.card_folder import CARD, CardFolder
from tests.support.places import REPOSITORY

SENSOR = synthetic_sensor(1, 400)
UNITS_AND_NAMES = CARD.split("[features]\n")[1].split("\n[score]")[0]
LOW, HIGH = float(SENSOR.values.min()), float(SENSOR.values.max())
FEATURES = f"""\
family = "tag_history"
names = {json.dumps(shipped.FEATURES)}
parameters = {{ n_lags = {shipped.N_LAGS + 1}, start = "whole", step_s = 300.0 }}
feature_names_confirmed = true

[forecast]
trained_on = {json.dumps(shipped.TRAINED_ON)}
min_max = {{ value = [{LOW!r}, {HIGH!r}] }}
"""


def inputs() -> np.ndarray:
    """The platform's frame: quality, lags, and the value scaled by its training range."""
    rows = columns_of(lag_frame([SENSOR], n_lags=shipped.N_LAGS), shipped.TRAINED_ON)[:-1]
    value = shipped.TRAINED_ON.index("value")
    rows[:, value] = (rows[:, value] - LOW) / (HIGH - LOW)
    return rows


def fitted() -> lightgbm.LGBMRegressor:
    model = lightgbm.LGBMRegressor(n_estimators=20, random_state=42, verbosity=-1, n_jobs=1)
    return model.fit(inputs(), SENSOR.values[1:])


@pytest.fixture
def folder(tmp_path: Path) -> CardFolder:
    rows = shipped.rows_of(SENSOR)[shipped.N_LAGS + 1 :]
    folder = CardFolder(tmp_path, rows)
    folder.card.write_text(
        CARD.replace(UNITS_AND_NAMES, FEATURES)
        .replace("healthy.csv", "healthy.npy")
        .replace('"golden.csv"', '"golden.npy"\ngolden_features = "golden_features.npy"')
    )
    np.save(tmp_path / "healthy.npy", rows)
    whole = histories(SENSOR.values, SENSOR.qualities, n_lags=shipped.N_LAGS + 1)[shipped.N_LAGS + 1 :]
    np.save(tmp_path / "golden.npy", whole[::10])
    np.save(tmp_path / "golden_features.npy", rows[::10])
    return folder


def run_convert(folder: CardFolder, model: Any) -> Result:
    skops.io.dump(model, folder.path / "model.skops")
    arguments = ["convert", str(folder.path / "model.skops"), "--name", "forecaster", "--version", "1.0.0", "--json"]
    places = ["--models", str(folder.path / "models"), "--key", str(folder.path / "key")]
    return CliRunner().invoke(app, [*arguments, *places])


def test_score_is_the_distance_from_what_the_row_before_forecast(folder: CardFolder) -> None:
    done = run_convert(folder, fitted())
    assert done.exception is None, done.exception
    assert json.loads(done.stdout)["kind"] == "lags, MinMaxScaler + LGBMRegressor"
    champion = BundleStore(folder.path / "models").load_champion("forecaster")
    assert champion.bundle.manifest.task == "forecasting"
    assert any("robust standard deviation" in note for note in champion.bundle.manifest.notes)
    off = np.abs(SENSOR.values[1:] - fitted().booster_.predict(inputs()))[shipped.N_LAGS :]
    scores = champion.model.score(folder.rows.astype(np.float32))
    np.testing.assert_allclose(scores / scores.max(), off / off.max(), atol=1e-5)


def test_scale_of_the_card_is_what_a_difference_is_counted_in(folder: CardFolder) -> None:
    folder.change_card("[forecast]", "[forecast]\nscale = 2.0")
    done = run_convert(folder, fitted())
    assert done.exception is None, done.exception
    champion = BundleStore(folder.path / "models").load_champion("forecaster")
    off = np.abs(SENSOR.values[1:] - fitted().booster_.predict(inputs()))[shipped.N_LAGS :]
    np.testing.assert_allclose(champion.model.score(folder.rows.astype(np.float32)), off / 2.0, atol=2e-5)


def test_scaler_in_the_models_own_pipeline_is_taken_too(folder: CardFolder) -> None:
    folder.change_card(f"min_max = {{ value = [{LOW!r}, {HIGH!r}] }}\n", "")
    model = make_pipeline(StandardScaler(), lightgbm.LGBMRegressor(n_estimators=20, verbosity=-1, n_jobs=1))
    rows = columns_of(lag_frame([SENSOR], n_lags=shipped.N_LAGS), shipped.TRAINED_ON)[:-1]
    done = run_convert(folder, model.fit(rows, SENSOR.values[1:]))
    assert done.exception is None, done.exception
    assert json.loads(done.stdout)["kind"] == "StandardScaler + LGBMRegressor"


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("min_max = { value =", "min_max = { flow =", "forecast.min_max"),
        (f"[{LOW!r}, {HIGH!r}]", "[3.0, 3.0]", "forecast"),
        ("[forecast]", "[forecast]\nscale = 0.0", "forecast.scale"),
    ],
)
def test_forecast_that_does_not_fit_is_refused_with_the_place(
    folder: CardFolder, old: str, new: str, where: str
) -> None:
    folder.change_card(old, new)
    error = run_convert(folder, fitted()).exception
    assert isinstance(error, CardError), error
    assert error.where == where


def test_feature_that_is_missing_one_reading_later_is_named(folder: CardFolder) -> None:
    folder.change_card(json.dumps(shipped.FEATURES), json.dumps(shipped.FEATURES[:-1]))
    np.save(folder.path / "healthy.npy", folder.rows[:, :-1])
    error = run_convert(folder, fitted()).exception
    assert isinstance(error, CardError)
    assert (error.where, "needs quality_lag_1" in error.message) == ("features.names", True)


def test_booster_is_refused_with_what_to_save(folder: CardFolder) -> None:
    error = run_convert(folder, fitted().booster_).exception
    assert isinstance(error, UnsupportedModelError)
    assert "not its Booster" in (error.hint or "")


def test_manual_shows_a_forecast_that_is_read_with_the_features_it_needs() -> None:
    manual = (REPOSITORY / "docs" / "CONVERTING.md").read_text()
    shown = manual.split("```toml\n[forecast]\n")[1]
    entry = tomllib.loads(shown.split("```")[0])
    assert set(entry) == {"trained_on", "min_max"}
    words = shown.split("```")[1].split("## ")[0]
    assert [name for name in entry["trained_on"] if f"`{as_seen_one_later(name)}`" not in words] == []


def test_a_forecaster_that_knows_no_names_asks_for_the_order(folder: CardFolder) -> None:
    folder.change_card("feature_names_confirmed = true\n", "")
    rows = columns_of(lag_frame([SENSOR], n_lags=shipped.N_LAGS), shipped.TRAINED_ON)[:-1]
    model = lightgbm.LGBMRegressor(n_estimators=5, verbosity=-1, n_jobs=1).fit(rows, SENSOR.values[1:])
    error = run_convert(folder, model).exception
    assert isinstance(error, CardError)
    assert error.where == "forecast.trained_on"
    assert "feature_names_confirmed = true" in str(error.hint)


def test_a_forecaster_that_knows_its_names_needs_them_in_its_order(folder: CardFolder) -> None:
    folder.change_card("feature_names_confirmed = true\n", "")
    rows = columns_of(lag_frame([SENSOR], n_lags=shipped.N_LAGS), shipped.TRAINED_ON)[:-1]
    for order, words in ((list(shipped.TRAINED_ON), None), (list(shipped.TRAINED_ON)[::-1], "another order than in")):
        table = pd.DataFrame(rows, columns=order)
        model = lightgbm.LGBMRegressor(n_estimators=5, verbosity=-1, n_jobs=1).fit(table, SENSOR.values[1:])
        error = run_convert(folder, model).exception
        assert error is None if words is None else words in str(error)
