"""A Prophet goes through the same door as every other model: its JSON and a card become a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prophet.serialize import model_to_json
from typer.testing import CliRunner, Result

from converters.cli import app
from converters.errors import ModelFileError, UnsupportedModelError
from converters.graphs.prophet_terms import predicted, prophet_library, quietly
from converters.inputs.model_file import read_model
from converters.kinds import convert, describe
from edge_agent.bundles.store import BundleStore
from edge_agent.dsp.families.tag_forecast import LAYOUT
from tests.support.card_folder import CARD, CardFolder

UNITS_AND_NAMES = CARD.split("[features]\n")[1].split("\n[score]")[0]
FORECAST = f'family = "tag_forecast"\nnames = {json.dumps(LAYOUT)}\n'


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    values = 50 + np.random.default_rng(2).standard_normal(300) + 3 * np.sin(np.arange(300) / 20)
    return pd.DataFrame({"ds": pd.date_range("2026-03-01", periods=300, freq="5min"), "y": values})


@pytest.fixture(scope="module")
def model(frame: pd.DataFrame) -> Any:
    library = prophet_library()
    with quietly():
        return library.Prophet(weekly_seasonality=False, yearly_seasonality=False).fit(frame, seed=0)


@pytest.fixture
def folder(tmp_path: Path, frame: pd.DataFrame) -> CardFolder:
    seconds = (frame["ds"] - pd.Timestamp("1970-01-01")) // pd.Timedelta("1s")
    rows = np.stack([seconds // 86_400, seconds % 86_400, frame["y"]], axis=1).astype(np.float64)
    folder = CardFolder(tmp_path, rows)
    folder.card.write_text(CARD.replace(UNITS_AND_NAMES, FORECAST))
    folder.write_table("healthy.csv", rows, LAYOUT)
    folder.write_table("golden.csv", rows[::20], LAYOUT)
    return folder


def run_convert(folder: CardFolder, content: str) -> Result:
    file = folder.path / "model.json"
    file.write_text(content)
    arguments = ["convert", str(file), "--name", "oil_forecast", "--version", "1.0.0", "--json"]
    places = ["--models", str(folder.path / "models"), "--key", str(folder.path / "key")]
    return CliRunner().invoke(app, [*arguments, *places])


@pytest.mark.parametrize("wrap", [str, json.dumps], ids=["as Prophet writes it", "as MLflow writes it"])
def test_json_of_a_prophet_becomes_a_champion_the_agent_loads(folder: CardFolder, model: Any, wrap: Any) -> None:
    done = run_convert(folder, wrap(model_to_json(model)))
    assert done.exception is None, done.exception
    report = json.loads(done.stdout)
    assert report["kind"] == "Prophet"
    assert report["parity"]["rows"] >= 100_000
    champion = BundleStore(folder.path / "models").load_champion("oil_forecast")
    assert champion.bundle.manifest.task == "forecasting"
    assert champion.bundle.manifest.source_model.hyperparameters["changepoint_prior_scale"] == 0.05
    scores = champion.model.score(folder.rows.astype(np.float32))
    off = np.abs(folder.rows[:, 2] - predicted(model, folder.rows[:, 0], folder.rows[:, 1]))
    assert np.corrcoef(scores, off)[0, 1] > 0.999
    assert 0 < (scores > champion.bundle.manifest.threshold).sum() <= 4


def test_other_features_than_time_and_value_are_refused(folder: CardFolder, model: Any) -> None:
    folder.change_card(json.dumps(LAYOUT), json.dumps(LAYOUT[::-1]))
    done = run_convert(folder, model_to_json(model))
    assert isinstance(done.exception, UnsupportedModelError)
    assert "takes day_number, second_of_day, value" in done.exception.message


def test_prophet_that_is_not_fitted_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="not fitted"):
        convert(prophet_library().Prophet(), feature_names=LAYOUT)


def test_description_tells_what_the_constructor_was_given(model: Any) -> None:
    told = describe(model, len(LAYOUT))
    assert (told.task, told.hyperparameters["growth"], told.hyperparameters["interval_width"]) == (
        "forecasting", "linear", 0.8,
    )  # fmt: skip
    assert "holidays" in told.hyperparameters
    assert "params" not in told.hyperparameters


@pytest.mark.parametrize("content", ["{}", '"{}"', '{"growth": 3}', "{", '"{', "[" * 3, '{"a":' * 100_000])
def test_json_that_is_no_prophet_is_a_named_refusal(tmp_path: Path, content: str) -> None:
    file = tmp_path / "model.json"
    file.write_text(content)
    with pytest.raises(ModelFileError, match=r"model\.json"):
        read_model(file)
