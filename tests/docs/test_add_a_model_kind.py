"""docs/how-to/add-a-model-kind.md, carried out: the page's kind is registered, and no file of ours is touched."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

from converters.cli import app
from converters.errors import UnsupportedModelError
from converters.kinds import KINDS, convert
from edge_agent.bundles.store import BundleStore
from tests.support.card_folder import make_card_folder

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-model-kind.md"
CONVERTER, PAGES_TEST = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture
def kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "pca_residual.py").write_text(CONVERTER, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("pca_residual")
    yield
    del KINDS["sklearn", "PCA"], sys.modules["pca_residual"]


@pytest.mark.usefixtures("kind")
def test_the_pages_own_test_passes() -> None:
    names: dict[str, object] = {}
    exec(PAGES_TEST, names)  # noqa: S102 - the page's own code
    (test,) = [value for name, value in names.items() if name.startswith("test_")]
    test()


@pytest.mark.usefixtures("kind")
def test_the_pages_command_makes_a_champion_the_agent_loads(tmp_path: Path) -> None:
    folder = make_card_folder(tmp_path)
    model = make_pipeline(StandardScaler(), PCA(n_components=2)).fit(folder.rows)
    skops.io.dump(model, folder.path / "model.skops")
    arguments = re.findall(r"```sh\nedge-convert (.*?)\n```", PAGE.read_text(encoding="utf-8"))[0].split()
    arguments = [str(folder.path / word) if word in ("model.skops", "model.toml") else word for word in arguments]
    places = ["--models", str(tmp_path / "models"), "--key", str(tmp_path / "key"), "--json"]
    done = CliRunner().invoke(app, [*arguments, *places], catch_exceptions=False)
    report = json.loads(done.stdout)
    assert report["kind"] == "StandardScaler + PCA"
    assert report["parity"]["verdict_flips"] == 0
    champion = BundleStore(tmp_path / "models").load_champion("press")
    scaled = model[0].transform(folder.rows)
    distance = np.linalg.norm(scaled - model[1].inverse_transform(model[1].transform(scaled)), axis=1)
    np.testing.assert_allclose(champion.model.score(folder.rows.astype(np.float32)), distance, atol=1e-5)


def test_without_it_the_model_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModelError, match=r"no converter for sklearn\.PCA; there are: "):
        convert(PCA(n_components=1).fit(np.eye(3)), feature_names=("a", "b", "c"))
