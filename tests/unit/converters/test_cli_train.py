"""`edge-convert` builds a bundle the agent believes, and says in words why it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from converters.bundle.signing import make_key
from converters.bundle.writer import write_bundle
from converters.cli import RECIPES, app
from converters.training import ai4i
from edge_agent.bundles.store import BundleStore, champion_version
from edge_agent.errors import BundleError
from tests.support.places import REPOSITORY

ROOT = REPOSITORY
DATA = ROOT / "tests" / "data"
runner = CliRunner()


def test_trained_bundle_is_champion_and_proven(tmp_path: Path) -> None:
    models, key = tmp_path / "models", tmp_path / "build" / "signing.key"
    arguments = ["train", ai4i.NAME, "--data", str(DATA), "--models", str(models), "--key", str(key), "--json"]
    done = runner.invoke(app, arguments, catch_exceptions=False)
    report = json.loads(done.stdout)["bundles"][0]
    assert report["name"] == ai4i.NAME
    assert report["parity"]["verdict_flips"] == 0
    assert BundleStore(models).load_champion(ai4i.NAME).golden.windows == report["golden"]["windows"]


def test_training_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (ai4i.build(DATA) for _ in range(2))
    assert (first.model, first.golden, first.manifest) == (second.model, second.golden, second.manifest)


def test_bundle_that_fails_its_golden_run_replaces_nothing(tmp_path: Path) -> None:
    content = ai4i.build(DATA)
    key = make_key(tmp_path / "key")
    write_bundle(content, tmp_path, key)
    before = (tmp_path / ai4i.NAME / "1.0.0" / "manifest.json").read_bytes()
    manifest = content.manifest.model_copy(update={"feature_spec": content.manifest.feature_spec.model_copy(
        update={"extractor": "wavelet"})})  # fmt: skip
    broken = type(content)(manifest, content.model, content.golden)
    with pytest.raises(BundleError, match="no feature family wavelet"):
        write_bundle(broken, tmp_path, key)
    assert (tmp_path / ai4i.NAME / "1.0.0" / "manifest.json").read_bytes() == before
    assert champion_version(tmp_path, ai4i.NAME) == "1.0.0"
    assert sorted(entry.name for entry in (tmp_path / ai4i.NAME).iterdir()) == ["1.0.0", "champion.json"]


def test_unknown_recipe_names_the_known_ones() -> None:
    done = runner.invoke(app, ["train", "prophet"])
    assert done.exit_code == 2
    assert all(name[:20] in done.output for name in RECIPES)


def test_keygen_makes_a_pair_once(tmp_path: Path) -> None:
    arguments = ["keygen", "--key", str(tmp_path / "key"), "--models", str(tmp_path / "models"), "--json"]
    made = json.loads(runner.invoke(app, arguments, catch_exceptions=False).stdout)
    assert Path(made["public_key"]).parent == tmp_path / "models" / "keys"
    assert isinstance(runner.invoke(app, arguments).exception, BundleError)


def test_nobody_else_may_write_the_keys_whatever_the_umask(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "converters.cli",
        "keygen",
        "--key",
        str(tmp_path / "mine" / "key"),
        "--models",
        str(tmp_path / "m"),
    ]
    subprocess.run(command, capture_output=True, cwd=ROOT, check=True, umask=0o000)
    made = [*tmp_path.rglob("*")]
    assert len(made) == 5
    assert [path for path in made if path.stat().st_mode & 0o002] == []


def test_verify_reports_a_shipped_bundle() -> None:
    bundle = ROOT / "models_onnx" / ai4i.NAME / "1.0.0"
    report = json.loads(runner.invoke(app, ["verify", str(bundle), "--json"], catch_exceptions=False).stdout)
    assert report["golden"]["windows"] == 40
    readable = runner.invoke(app, ["verify", str(bundle)], catch_exceptions=False).stdout
    assert "golden run" in readable


def test_refusal_is_said_in_words_with_exit_code_1(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "converters.cli", "verify", str(tmp_path / "nothing")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert "no such bundle folder" in done.stderr
    assert "Traceback" not in done.stderr
