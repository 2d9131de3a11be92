"""A small MLflow store in SQLite, written by MLflow itself: models logged as its users log them."""

from __future__ import annotations

import gc
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
import pytest
import skops.io

from converters.errors import RegistryError
from converters.graphs.prophet_terms import prophet_library, quietly
from converters.inputs.mlflow_client import open_registry
from converters.kinds import convert
from edge_agent.dsp.families.tag_forecast import LAYOUT
from tests.support.card_folder import CARD, NAMES, CardFolder, fitted_pipeline, make_card_folder

TREE = ["sklearn.tree._tree.Tree"]
REQUIREMENTS = ["scikit-learn"]
"""Given, so that MLflow does not try each model in a process of its own to find them out."""


@dataclass(frozen=True)
class Store:
    """`press` has versions 1 (skops) and 2 (pickle), `levels` is a booster, `oil` a Prophet, `graph` an ONNX file.

    Without MLflow's flavours: `loose` is one skops file without a run, `words` holds no model, `gone` nothing any more,
    `astray` points to a server that is none.
    """

    path: Path
    uri: str
    rows: np.ndarray
    runs: dict[str, str]

    def artifacts(self, run: str) -> Path:
        return self.path / "artifacts" / self.runs[run] / "artifacts"


def make_store(path: Path) -> Store:
    uri = f"sqlite:///{path}/mlflow.db"
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RegistryError, match="there is no registry"):
            open_registry(uri)  # the same settings as the command: no telemetry, no progress bars
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        filled = _filled(path, uri)
    gc.collect()  # MLflow leaves the threads of its artifact stores to it
    return filled


def _filled(path: Path, uri: str) -> Store:
    import mlflow.lightgbm
    import mlflow.onnx
    import mlflow.prophet
    import mlflow.sklearn

    client = mlflow.MlflowClient(uri, uri)
    experiment = client.create_experiment("edge", artifact_location=(path / "artifacts").as_uri())
    folder = make_card_folder(_new(path / "snapshot"))
    folder.card.rename(folder.path / "edge-card.toml")
    model = fitted_pipeline(folder.rows)
    runs = {}

    with mlflow.start_run(experiment_id=experiment) as run:
        mlflow.log_params({"n_estimators": 10, "plant": "north"})
        mlflow.log_metrics({"recall": 0.8125, "worst": float("nan")})
        mlflow.log_artifacts(str(folder.path), "edge")
        how: dict[str, Any] = {"registered_model_name": "press", "pip_requirements": REQUIREMENTS}
        for form in ("skops", "pickle"):
            mlflow.sklearn.log_model(model, name="model", serialization_format=form, skops_trusted_types=TREE, **how)
        runs["press"] = run.info.run_id
    client.set_registered_model_alias("press", "champion", "1")
    client.set_registered_model_alias("press", "challenger", "2")
    client.set_registered_model_tag("press", "sensor_type", "manufacturing")

    with mlflow.start_run(experiment_id=experiment) as run:
        mlflow.log_artifacts(str(folder.path))
        how = {"registered_model_name": "levels", "pip_requirements": REQUIREMENTS}
        mlflow.lightgbm.log_model(_booster(folder.rows), name="model", **how)
        runs["levels"] = run.info.run_id

    with mlflow.start_run(experiment_id=experiment) as run:
        how = {"registered_model_name": "oil", "pip_requirements": REQUIREMENTS}
        with quietly():
            logged = mlflow.prophet.log_model(_forecast(path), name="model", **how)
        client.log_model_artifacts(logged.model_id, str(path / "forecast"))
        runs["oil"] = run.info.run_id

    with mlflow.start_run(experiment_id=experiment) as run:
        how = {"registered_model_name": "graph", "pip_requirements": REQUIREMENTS}
        mlflow.onnx.log_model(_graph(model), name="model", **how)
        runs["graph"] = run.info.run_id

    runs["words"] = _without_flavour(client, experiment, path, model)
    return Store(path, uri, folder.rows, runs)


def _booster(rows: np.ndarray) -> lightgbm.Booster:
    """Of scores so many that its 99th percentile is not the highest."""
    labels = (rows[:, 0] + rows[:, 1] + rows[:, 2] > 112).astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=40, min_child_samples=2, verbose=-1, n_jobs=1)
    return model.fit(rows, labels).booster_


def _forecast(path: Path) -> Any:
    values = 50 + np.random.default_rng(2).standard_normal(200)
    frame = pd.DataFrame({"ds": pd.date_range("2026-03-01", periods=200, freq="5min"), "y": values})
    seconds = (frame["ds"] - pd.Timestamp("1970-01-01")) // pd.Timedelta("1s")
    rows = np.stack([seconds // 86_400, seconds % 86_400, values], axis=1).astype(np.float64)
    folder = CardFolder(_new(path / "forecast"), rows)
    features = CARD.split("[features]\n")[1].split("\n[score]")[0]
    names = ", ".join(f'"{name}"' for name in LAYOUT)
    text = CARD.replace(features, f'family = "tag_forecast"\nnames = [{names}]\n')
    (folder.path / "edge-card.toml").write_text(text)
    folder.write_table("healthy.csv", rows, LAYOUT)
    folder.write_table("golden.csv", rows[::20], LAYOUT)
    return prophet_library().Prophet(weekly_seasonality=False, yearly_seasonality=False).fit(frame, seed=0)


def _graph(model: Any) -> onnx.ModelProto:
    return onnx.load_from_string(convert(model, feature_names=NAMES).onnx)


def _without_flavour(client: Any, experiment: str, path: Path, model: Any) -> str:
    """As MLflow 2 and people without a flavour do it: a file in a run, and a version that points there."""
    run = client.create_run(experiment)
    file = path / "notes.md"
    file.write_text("Nothing that could be a model.")
    client.log_artifact(run.info.run_id, str(file), "model")
    skops.io.dump(model, _new(path / "loose") / "model.skops")
    sources = {"words": f"runs:/{run.info.run_id}/model", "gone": f"runs:/{run.info.run_id}/elsewhere"}
    for name, source in sources.items():
        client.create_registered_model(name)
        client.create_model_version(name, source, run_id=run.info.run_id)
    client.create_registered_model("astray")
    client.create_model_version("astray", "http://me:secret@127.0.0.1:1/elsewhere/model")
    client.create_registered_model("loose")
    client.create_model_version("loose", (path / "loose" / "model.skops").as_uri())
    return str(run.info.run_id)


def _new(path: Path) -> Path:
    path.mkdir()
    return path
