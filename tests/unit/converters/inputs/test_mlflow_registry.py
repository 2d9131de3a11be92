"""From an MLflow registry to a bundle in one command: the version meant, its one file, and what its run knew."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from converters.cli import app
from converters.errors import ModelFileError
from edge_agent.bundles.manifest import Manifest
from edge_agent.bundles.store import BundleStore
from tests.support.card_folder import fitted_pipeline, make_card_folder
from tests.support.registry_store import Store, make_store
from tests.unit.converters.test_cli import Writes


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("registry"))


def run_convert(store: Store, models: Path, address: str, *more: str) -> Result:
    places = ["--models", str(models / "models"), "--key", str(models / "key")]
    return CliRunner().invoke(app, ["convert", address, "--registry", store.uri, *places, *more])


def manifest_of(models: Path, name: str) -> Manifest:
    return BundleStore(models / "models").load_champion(name).bundle.manifest


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_alias_becomes_a_champion_named_and_numbered_as_in_the_registry(store: Store, tmp_path: Path) -> None:
    done = run_convert(store, tmp_path, "models:/press@champion", "--json")
    assert done.exception is None, done.exception
    report = json.loads(done.stdout)
    assert (report["name"], report["version"], report["kind"]) == ("press", "1.0.0", "StandardScaler + IsolationForest")
    champion = BundleStore(tmp_path / "models").load_champion("press")
    scores = champion.model.score(store.rows.astype(np.float32))
    np.testing.assert_allclose(scores, -fitted_pipeline(store.rows).score_samples(store.rows), atol=1e-6)


def test_manifest_keeps_where_it_came_from_and_what_the_run_knew(store: Store, tmp_path: Path) -> None:
    assert run_convert(store, tmp_path, "models:/press@champion").exception is None
    manifest = manifest_of(tmp_path, "press")
    facts = manifest.source_model.hyperparameters
    assert facts["registry.address"] == store.uri
    assert facts["registry.run_id"] == store.runs["press"]
    assert (facts["registry.model"], facts["registry.version"]) == ("press", "1")
    assert (facts["run.plant"], facts["run.n_estimators"], facts["n_estimators"]) == ("north", "10", 10)
    assert manifest.metrics == {"recall": 0.8125}
    assert "Without the run's metrics that are no finite numbers: worst." in manifest.notes
    assert "Its tag sensor_type is manufacturing: meant for sources of that kind." in manifest.notes


def test_booster_by_its_number_under_another_name(store: Store, tmp_path: Path) -> None:
    done = run_convert(store, tmp_path, "models:/levels/1", "--name", "tank", "--version", "2.5.0", "--json")
    assert done.exception is None, done.exception
    report = json.loads(done.stdout)
    assert (report["name"], report["version"], report["kind"]) == ("tank", "2.5.0", "Booster")


def test_prophet_with_its_card_beside_it(store: Store, tmp_path: Path) -> None:
    done = run_convert(store, tmp_path, "models:/oil/1", "--json")
    assert done.exception is None, done.exception
    assert manifest_of(tmp_path, "oil").task == "forecasting"


def test_file_without_flavour_and_run_takes_the_card_it_is_given(store: Store, tmp_path: Path) -> None:
    folder = make_card_folder(tmp_path)
    done = run_convert(store, tmp_path, "models:/loose/1", "--card", str(folder.card), "--json")
    assert done.exception is None, done.exception
    assert json.loads(done.stdout)["origin"]["registry.run_id"] == ""


def test_card_on_the_command_line_takes_the_place_of_the_runs(store: Store, tmp_path: Path) -> None:
    folder = make_card_folder(tmp_path)
    folder.change_card("Is a snapshot", "By another card: is a snapshot")
    assert run_convert(store, tmp_path, "models:/press/1", "--card", str(folder.card)).exception is None
    assert manifest_of(tmp_path, "press").description.startswith("By another card")


def test_tables_may_lie_in_folders_below_the_card(store: Store, tmp_path: Path) -> None:
    folder = store.artifacts("press") / "edge"
    card = folder / "edge-card.toml"
    whole = card.read_text()
    (folder / "tables").mkdir()
    (folder / "healthy.csv").rename(folder / "tables" / "healthy.csv")
    card.write_text(whole.replace("healthy.csv", "tables/healthy.csv"))
    done = run_convert(store, tmp_path, "models:/press/1")
    (folder / "tables" / "healthy.csv").rename(folder / "healthy.csv")
    (folder / "tables").rmdir()
    card.write_text(whole)
    assert done.exception is None, done.exception


def test_pickle_in_the_registry_does_not_run_without_the_flag(store: Store, tmp_path: Path) -> None:
    proof, file = tmp_path / "it-ran", next(store.path.glob("artifacts/**/model.pkl"))
    whole = file.read_bytes()
    file.write_bytes(pickle.dumps(Writes(proof)))
    done = run_convert(store, tmp_path, "models:/press@challenger")
    assert isinstance(done.exception, ModelFileError)
    assert done.exception.message.startswith("models:/press@challenger/model.pkl is a pickle: opening it runs")
    assert not proof.exists()
    run_convert(store, tmp_path, "models:/press@challenger", "--trust-pickle")
    assert proof.exists()  # so it would have run
    file.write_bytes(whole)


def test_trusted_pickle_is_converted(store: Store, tmp_path: Path) -> None:
    done = run_convert(store, tmp_path, "models:/press@challenger", "--trust-pickle", "--json")
    assert done.exception is None, done.exception
    assert json.loads(done.stdout)["version"] == "2.0.0"


def test_registry_is_left_as_it_was(store: Store, tmp_path: Path) -> None:
    files = sorted(path for path in store.path.rglob("*") if path.is_file())
    before = [digest(path) for path in files]
    run_convert(store, tmp_path, "models:/press@champion")
    assert sorted(path for path in store.path.rglob("*") if path.is_file()) == files
    assert [digest(path) for path in files] == before


def test_environment_names_the_registry(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    places = ["--models", str(tmp_path / "models"), "--key", str(tmp_path / "key")]
    done = CliRunner().invoke(app, ["convert", "models:/press@champion", *places])
    assert done.exception is None, done.exception


def test_file_is_converted_without_mlflow() -> None:
    """In a process of its own: this one has imported it long ago."""
    ask = "import sys, converters.cli; print([name for name in ('mlflow', 'sqlalchemy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
